"""The whole pipeline: a corpus, two trained networks, a talking portrait, and a page of results.

Usage: python scripts/demo.py --output DIR [--clips FOLDER] [--quick]

Each stage is one public command, printed before it runs so that it can be repeated by hand. A stage whose result exists
is skipped, and an interrupted training resumes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from skimage import data, io

from stages import EXPNET, Stage, resume, run_stages, script

TEXT = (
    "Hello! I am a single picture, and I learned to speak from many faces. "
    "My lips follow the sound, and my head moves along."
)


def train(task: str, tracks: Path, run: Path, *, quick: bool, real: bool) -> list[str]:
    """The command that trains a network, or resumes its training."""
    overrides = [f"data.store={tracks}", f"output={run}"]
    if real and task == "expression":
        # A few minutes of video teach little; weights from synthetic speech are a better start than random ones.
        overrides.append("init=synthetic")
    overrides += resume(run)
    if quick:
        overrides += ["trainer.max_steps=4", "trainer.validate_every=2", "data.limit_validation_clips=2"]
    return script("train.py", f"demo_{task}.yaml", *overrides)


def stages(output: Path, clips: Path | None, *, quick: bool) -> list[Stage]:
    """The demo's commands in order."""
    tracks, portrait, video, results = (output / n for n in ("tracks", "portrait.png", "talking.mp4", "results"))
    expression, pose = output / "expression", output / "pose"
    if clips is None:
        corpus = [EXPNET, "synthesize", "--clips", "24" if quick else "240"]
    else:
        corpus = [EXPNET, "preprocess", str(clips)]
    corpus += ["--output", str(tracks), "--workers", "2"]
    animate = [EXPNET, "animate", "--image", str(portrait), "--text", "Hello." if quick else TEXT]
    animate += ["--output", str(video), "--expression", str(expression), "--pose", str(pose)]
    overrides = [f"data.store={tracks}", f"expression={expression}", f"pose={pose}", f"output={results}"]
    if quick:
        overrides += ["baselines.per_frame_steps=2", "data.limit=2", "pictures.clips=1", "pictures.frames=10"]
    evaluate = script("evaluate.py", "evaluate.yaml", *overrides)
    return [
        Stage("Corpus", corpus, tracks / "manifest.parquet"),
        Stage(
            "Expression",
            train("expression", tracks, expression, quick=quick, real=clips is not None),
            expression / "model.safetensors",
        ),
        Stage(
            "Head pose", train("pose", tracks, pose, quick=quick, real=clips is not None), pose / "model.safetensors"
        ),
        Stage("Talking portrait", animate, video),
        Stage("Evaluation on speakers that were not trained on", evaluate, results / "index.html"),
    ]


def main() -> int:
    """Run the stages and print where the results are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="Folder for all results.")
    parser.add_argument("--clips", type=Path, metavar="FOLDER", help="Videos to use instead of the built-in corpus.")
    parser.add_argument("--quick", action="store_true", help="Run only a few steps of everything, as a smoke test.")
    arguments = parser.parse_args()
    if arguments.clips is not None and not arguments.clips.is_dir():
        parser.error(f"--clips: there is no folder {arguments.clips}")
    output = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    io.imsave(output / "portrait.png", data.astronaut(), check_contrast=False)

    code = run_stages(stages(output, arguments.clips, quick=arguments.quick))
    if code:
        return code
    print(f"  video  {output / 'talking.mp4'}\n  page   {output / 'results' / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
