"""How realistic is the motion? Real clips' other halves, the packaged networks, replayed clips and a still face.

Usage: python benchmarks/realism.py STORE [--features FOLDER] [--expression RUN] [--motion packaged|RUN]
           [--samples 4] [--limit 0] [--output FILE.md]

Scores the realism of the motion of every clip of a store, as evaluate.py does, without training anything: the second
half of each real clip against the first, which is the yardstick; an expression network (the packaged one on the mel)
with the packaged head-pose cVAE, several samples of the head; a motion network, several samples of everything; the
motion of the store's next person, looped to the length of the clip, which is real motion that does not fit the audio;
and the first frame, held. Prints a table of all metrics; the protocol is in docs/reference/metrics.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from expnet.config.evaluate import ProtocolConfig
from expnet.data.even_spacing import evenly_spaced
from expnet.data.store.feature_cache import FeatureCache
from expnet.data.store.track_store import TrackStore
from expnet.evaluation.report.results import Results, ScoredClip
from expnet.evaluation.report.tables import results_as_markdown
from expnet.evaluation.scores import Scores
from expnet.evaluation.statistics.summary import summarise
from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.prediction import Prediction, System
from expnet.evaluation.store.realism_record import OTHER_HALF, RealismRecord
from expnet.evaluation.store.sampled_system import SampledMotion
from expnet.evaluation.store.systems import Networks
from expnet.evaluation.store.trivial_systems import HoldFirstFrame
from expnet.face.morphable import builtin_face_model
from expnet.io.versions import package_versions
from expnet.models.interfaces import load_expression_network, load_head_pose_network, load_motion_network
from expnet.models.packaged_weights import packaged_weights
from shared.folds import read_clip


class Replayed:
    """The motion of another person's clip, looped to the length of this one, from this clip's first frame on."""

    name = "replayed"
    title = "Another person's motion"
    kind = "trivial"
    description = "The real motion of the next person's clip, looped, added to the first frame; the audio is not used."

    def __init__(self, clips: Sequence[Clip]) -> None:
        self.clips = clips
        self.places = {clip.clip_id: place for place, clip in enumerate(clips)}

    def predict(self, clip: Clip) -> Prediction:
        """Add the other clip's motion, relative to its own first frame, to the first frame of this clip."""
        place = self.places[clip.clip_id]
        following = [*self.clips[place + 1 :], *self.clips[:place]]
        other = next((one for one in following if one.track.speaker != clip.track.speaker), clip)
        frames = torch.arange(clip.frames) % (2 * other.frames)
        frames = torch.minimum(frames, 2 * other.frames - 1 - frames)  # forth and back, without a jump
        expression, pose = (
            own[:1] + moved[frames] - moved[:1]
            for own, moved in ((clip.expression, other.expression), (clip.pose, other.pose))
        )
        return Prediction(expression, pose)


def score(clips: Sequence[Clip], systems: Sequence[System]) -> Results:
    """Score the realism of the systems on all clips."""
    protocol, realism = ProtocolConfig(), RealismRecord(builtin_face_model())
    rows: list[ScoredClip] = []

    def keep(clip: Clip, system: str, scores: Scores, frames: int) -> None:
        speaker = clip.track.speaker
        rows.append(ScoredClip(clip.clip_id, system, speaker, frames, "ok", "", scores.values, scores.weights))

    for clip in clips:
        real, other_half = realism.add_real(clip)
        keep(clip, OTHER_HALF, other_half, clip.frames // 2)
        for system in systems:
            scores = Scores()
            realism.add(clip, system.name, system.predict(clip), real, scores)
            keep(clip, system.name, scores, clip.frames)
    infos = realism.infos()
    results = realism.complete(summarise(realism.described(systems), infos, rows, {}, protocol))
    used = {key for system in results for key in system.metrics}
    return Results(
        title="Realism of motion",
        metrics=tuple(info for info in infos if info.key in used),
        systems=results,
        clips=tuple(rows),
        protocol=realism.protocol(),
        versions=package_versions(),
        notes=tuple(realism.windows.notes()),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Score the systems and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--features", type=Path, metavar="FOLDER", help="Speech features of the store.")
    parser.add_argument("--expression", metavar="RUN", help="Expression network in place of the packaged one.")
    parser.add_argument("--motion", metavar="RUN", help="Motion network, or 'packaged'.")
    parser.add_argument("--samples", type=int, default=4, help="Motions sampled for each clip (%(default)s).")
    parser.add_argument("--limit", type=int, default=0, help="Largest number of clips, evenly spaced; 0 for all.")
    parser.add_argument("--output", type=Path, help="File for the table.")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    store = TrackStore(arguments.store)
    cache = FeatureCache(arguments.features, store) if arguments.features else None
    clips = [read_clip(store, row, cache) for row in evenly_spaced(store.rows, arguments.limit or None)]
    networks = Networks(
        "ours",
        "expnet",
        "model",
        "The expression network and the packaged head-pose cVAE.",
        expression=load_expression_network(arguments.expression or packaged_weights("expression")),
        pose=load_head_pose_network(packaged_weights("pose")),
        pose_samples=arguments.samples,
    )
    systems: list[System] = [networks, Replayed(clips), HoldFirstFrame()]
    if arguments.motion:
        weights = packaged_weights("motion") if arguments.motion == "packaged" else arguments.motion
        systems.insert(1, SampledMotion(load_motion_network(weights), samples=arguments.samples))
    text = results_as_markdown(score(clips, systems))
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
