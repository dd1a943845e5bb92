"""The main job end to end: a corpus, two trained networks, a talking portrait, a page of results.

Usage: python scripts/demo.py --output DIR [--clips FOLDER]

Each stage is one public command, printed before it runs, so that it can be repeated by hand. A stage whose result is
already there is not run again.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from skimage import data, io

REPOSITORY = Path(__file__).resolve().parents[1]
EXPNET = str(Path(sys.executable).with_name("expnet"))
TEXT = (
    "Hello! I am a single picture, and I learned to speak from many faces. "
    "My lips follow the sound, and my head moves along."
)


@dataclass(frozen=True)
class Stage:
    """One command of the demo, and the file or folder that shows that it is done."""

    title: str
    command: list[str]
    result: Path


def stages(output: Path, clips: Path | None) -> list[Stage]:
    """The demo's commands in order."""
    tracks, portrait, video, page = (output / name for name in ("tracks", "portrait.png", "talking.mp4", "results"))
    expression, pose = output / "expression", output / "pose"
    if clips is None:
        corpus = [
            EXPNET,
            "synthesize",
            "--output",
            str(tracks),
            "--clips",
            "240",
            "--seed",
            "0",
            "--workers",
            "2",
        ]
    else:
        corpus = [EXPNET, "preprocess", str(clips), "--output", str(tracks), "--workers", "2"]
    train = [sys.executable, str(REPOSITORY / "train.py")]
    evaluate = [
        sys.executable,
        str(REPOSITORY / "evaluate.py"),
        str(REPOSITORY / "configs" / "evaluate.yaml"),
    ]
    return [
        Stage("Corpus", corpus, tracks / "manifest.parquet"),
        Stage(
            "Expression network",
            [
                *train,
                str(REPOSITORY / "configs" / "expression.yaml"),
                f"data.store={tracks}",
                f"output={expression}",
            ],
            expression / "model.safetensors",
        ),
        Stage(
            "Head-pose network",
            [*train, str(REPOSITORY / "configs" / "pose.yaml"), f"data.store={tracks}", f"output={pose}"],
            pose / "model.safetensors",
        ),
        Stage(
            "Talking portrait",
            [
                *[EXPNET, "animate", "--image", str(portrait), "--text", TEXT, "--output", str(video)],
                *["--expression", str(expression), "--pose", str(pose)],
            ],
            video,
        ),
        Stage(
            "Evaluation on speakers it did not train on",
            [*evaluate, f"data.store={tracks}", f"expression={expression}", f"pose={pose}", f"output={page}"],
            page / "index.html",
        ),
    ]


def main() -> int:
    """Run the stages, say what they took, and where to look."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder for everything the demo makes"
    )
    parser.add_argument("--clips", type=Path, metavar="FOLDER", help="videos to use in place of the built-in corpus")
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    io.imsave(output / "portrait.png", data.astronaut(), check_contrast=False)

    todo = stages(output, arguments.clips)
    started = time.monotonic()
    for number, stage in enumerate(todo, 1):
        print(f"\n[{number}/{len(todo)}] {stage.title}", flush=True)
        if stage.result.exists():
            print(f"    already there: {stage.result}", flush=True)
            continue
        print(f"    $ {shlex.join(stage.command)}", flush=True)
        before = time.monotonic()
        code = subprocess.run(stage.command, check=False).returncode  # noqa: S603
        if code:
            print(f"The demo stopped: '{stage.title}' ended with exit code {code}.", file=sys.stderr)
            return code
        print(f"    {time.monotonic() - before:.0f} s", flush=True)
    print(f"\nDone in {(time.monotonic() - started) / 60:.1f} minutes.")
    print(f"  video  {output / 'talking.mp4'}\n  page   {output / 'results' / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
