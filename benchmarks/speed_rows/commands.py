"""Whole commands: their startup time, and the time from the shell to a finished short video."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from expnet.audio.wave import write_wav
from speed_rows.measure import Row, Spread, Work, compare, speed_row
from speed_rows.setting import Setting

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("lightning", "pytorch_lightning", "librosa", "wandb", "torchmetrics")
"""Packages that ``expnet animate`` must not import."""
ANIMATE = (
    "import sys; from expnet.cli import main; code = main(sys.argv[1:]); "
    f"heavy = {HEAVY!r}; found = [name for name in heavy if name in sys.modules]; "
    "sys.exit(f'imported: {found}' if found else code)"
)


def run(*arguments: str) -> Work:
    """Run a process of this interpreter in the checkout's root."""
    command = [sys.executable, *arguments]
    return lambda: subprocess.run(command, check=True, cwd=ROOT, capture_output=True)  # noqa: S603 - ourselves


def startup(setting: Setting) -> Iterator[Row]:
    """``--help`` and ``--print-config`` compared with importing torch."""
    torch_alone = run("-c", "import torch")
    helping = run("-c", "import sys; from expnet.cli import main; sys.exit(main(['--help']))")
    showing = run("train.py", "configs/expression.yaml", "--print-config")
    pairs = compare(helping, torch_alone, repeats=setting.repeats)
    shares = Spread.of([seconds.wall / 0.5 for seconds in pairs.ours])
    used = Spread.of([seconds.processor / 0.5 for seconds in pairs.ours])
    ours = pairs.seconds("wall")[0]
    yield Row("startup", "expnet --help", "0.5 s", ours, 0.5, "s", shares, 1.0, "wall", used, at_most=True)
    pairs = compare(showing, torch_alone, repeats=setting.repeats)
    what = "python train.py --print-config"
    yield speed_row("startup", what, "1.5 times python -c 'import torch'", pairs, 1 / 1.5, clock="wall")


def animate(setting: Setting) -> Iterator[Row]:
    """Ten seconds of speech at 256 pixels, in a process of its own, with every packaged kind of motion."""
    recording, picture = setting.folder / "speech.wav", setting.folder / "portrait.png"
    write_wav(recording, setting.speech(10.0))
    Image.fromarray(setting.portrait).save(picture)
    output = str(setting.folder / "talking.mp4")
    files = ("--image", str(picture), "--audio", str(recording), "--output", output, "--size", "256")
    kinds = {"--expression mel": 5.0}
    if setting.hearing_animator is not None:
        kinds |= {"--motion regressed --expression whisper": 5.0, "--motion sampled": 6.0}
    for kind, aim in kinds.items():
        yield _animate_row(setting, kind, aim, *files)


def _animate_row(setting: Setting, kind: str, aim: float, *files: str) -> Row:
    whole = run("-c", ANIMATE, "animate", *kind.split(), *files)
    imports = run("-c", "import torch, mediapipe")
    pairs = compare(whole, imports, repeats=min(setting.repeats, 5))
    taken = list(zip(pairs.ours, pairs.theirs, strict=True))
    shares = Spread.of([(own.wall - other.wall) / aim for own, other in taken])
    used = Spread.of([(own.processor - other.processor) / aim for own, other in taken])
    ours, theirs = pairs.seconds("wall")
    return Row(
        "animate",
        f"expnet animate {kind}, 10 s of speech, 256 pixels, whole process",
        f"import torch, mediapipe, and {aim:g} s",
        ours,
        theirs + aim,
        "s",
        shares,
        1.0,
        "wall",
        used,
        at_most=True,
        note=f"the ratio is of the time beyond the imports; none of {', '.join(HEAVY)} is imported",
    )
