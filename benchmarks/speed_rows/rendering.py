"""Rendering at 256 pixels, compared with the encoder alone."""

from __future__ import annotations

from collections.abc import Iterator

from expnet.face.morphable import builtin_face_model
from expnet.media.video_reader import write_video
from expnet.render.frame_prefetch import prefetch
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.portrait import open_portrait
from shared.swaying_head import swaying
from speed_rows.measure import Row, Spread, compare, speed_row
from speed_rows.setting import Setting


def rendering(setting: Setting) -> Iterator[Row]:
    """A head that never rests, rendered, and rendered and encoded."""
    model, frames = builtin_face_model(), 50 if setting.quick else 200
    portrait = open_portrait(setting.portrait, model)
    renderer = MeshRenderer(portrait.image, portrait.fit, portrait.points, model, matte=portrait.matte)
    coefficients = swaying(portrait.fit, frames)
    drawn = list(renderer.render(coefficients))
    output = setting.folder / "rendered.mp4"
    copies = compare(
        lambda: sum(1 for _ in renderer.render(coefficients)),
        lambda: [frame.copy() for frame in drawn],
        repeats=setting.repeats,
    )
    rates = Spread.of([frames / seconds.processor / 200.0 for seconds in copies.ours])
    ours, copy = (frames / seconds for seconds in copies.seconds("processor"))
    yield Row(
        "render",
        "render 256 pixels",
        "200 frames/s",
        ours,
        200.0,
        "frames/s",
        rates,
        1.0,
        "processor",
        note=f"copying a frame: {copy:.0f} frames/s",
    )
    pairs = compare(
        lambda: write_video(output, prefetch(renderer.render(coefficients))),
        lambda: write_video(output, iter(drawn)),
        repeats=setting.repeats,
    )
    what, rate = "render 256 pixels and encode", {"amount": frames, "unit": "frames/s"}
    note = "the encoder has threads of its own; a free core beside them hides the renderer"
    yield speed_row("render", what, "the encoder alone", pairs, 0.7, clock="wall", note=note, **rate)
