"""Animates many portraits in one process: reads a manifest of videos to make, writes a table of results."""

import csv
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from expnet.animate.animator import Animator
from expnet.animate.controls.controls import CONTROL_NAMES, Controls, parse_controls
from expnet.audio.speech_synthesis import synthesize_speech
from expnet.errors import ExpnetError, InputError
from expnet.io.atomic import atomic_path
from expnet.io.machine_faults import is_machine_fault, machine_error
from expnet.io.overwriting import refuse_overwriting

logger = logging.getLogger(__name__)

RESULTS = "results.csv"
_ANY_NAME = "surrogateescape"  # how a name that is not UTF-8 is written and read back
_SOURCES = ("audio", "text", "idle")
_COLUMNS = ("image", *_SOURCES, "language", "output")
# Controls that may be files. Like images and recordings, their paths are relative to the manifest's folder.
_FILE_CONTROLS = ("pose_style", "reference_video", "background")


@dataclass(frozen=True)
class Job:
    """One video to make.

    Attributes:
        row: Text of each column of the manifest, without empty cells.
        output: Path of the video.
        folder: Folder that paths in the manifest are relative to.
    """

    row: dict[str, str]
    output: Path
    folder: Path

    @property
    def inputs(self) -> list[str]:
        """Paths of the portrait, the recording and the controls that may be files."""
        names = {name.replace("-", "_"): text for name, text in self.row.items()}
        return [self.path(names[name]) for name in ("image", "audio", *_FILE_CONTROLS) if name in names]

    def path(self, text: str) -> str:
        """Return a path that is written in the manifest."""
        return str(self.folder / text)


@dataclass(frozen=True)
class Result:
    """Outcome of a job; a row of results.csv.

    Attributes:
        output: Path of the video, as in the manifest.
        status: ``done`` or ``failed``.
        seconds: Time that it took.
        reason: Why it failed.
        image: Portrait, as in the manifest.
        source: Recording, text, or seconds of idle motion.
        job: Checksum of everything that was asked for; a job that changes is run again.
    """

    output: str
    status: str
    seconds: str
    reason: str
    image: str
    source: str
    job: str


def animate_batch(
    open_animator: Callable[[], Animator],
    manifest: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    controls: Controls | None = None,
    *,
    renderer: str = "mesh",
) -> list[Result]:
    """Make every video of a manifest; the networks are loaded once.

    A row that fails becomes a row of ``results.csv`` with the reason, and the others continue. A second run skips the
    rows that are unchanged and whose video exists.

    Args:
        open_animator: Returns the animator; called once, if there is anything to do.
        manifest: A csv file; docs/guides/controls.md describes its columns.
        folder: Folder for the videos and results.csv.
        controls: Controls for rows that do not set their own.
        renderer: What the animator's renderer is called; with another one, every video is made anew.

    Returns:
        One result for each row, in the manifest's order.

    Raises:
        InputError: The manifest cannot be used, or an output is also an input.
        ExpnetError: Some videos failed; raised after all rows were tried.
    """
    folder, controls = Path(folder), controls or Controls()
    jobs = read_manifest(manifest, folder)
    refuse_overwriting(folder / RESULTS, [manifest])
    folder.mkdir(parents=True, exist_ok=True)
    earlier = {result.job: result for result in _read_results(folder / RESULTS)}
    _check_outputs(jobs, controls, made={folder / result.output for result in earlier.values()})
    results: list[Result] = []
    animator: Animator | None = None
    for number, job in enumerate(jobs, start=1):
        key = _checksum(job, controls, renderer)
        known = earlier.get(key)
        if known is not None and known.status == "done" and job.output.is_file():
            results.append(known)
            continue
        animator = animator or open_animator()
        results.append(_run(animator, job, controls, key, folder))
        logger.info("%d of %d: %s %s", number, len(jobs), results[-1].status, job.output)
        # Earlier results of the remaining jobs are kept, so that a run that is killed loses nothing.
        keys = (_checksum(remaining, controls, renderer) for remaining in jobs[number:])
        later = [known for one in keys if (known := earlier.get(one))]
        _write_results(folder / RESULTS, [*results, *later])
    _write_results(folder / RESULTS, results)
    failed = sum(result.status == "failed" for result in results)
    if failed:
        raise ExpnetError(
            f"{failed} of {len(results)} videos could not be made; {folder / RESULTS} says why. The same command tries "
            "them again."
        )
    return results


def read_manifest(manifest: str | os.PathLike[str], folder: Path) -> list[Job]:
    """Read a manifest.

    Raises:
        InputError: The file does not exist or has no rows, a column is unknown, a row lacks an image or a source, or
            two rows have the same output.
    """
    manifest = Path(manifest)
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, restkey="", restval="")
            columns = [name.strip() for name in reader.fieldnames or []]
            rows = [{name.strip(): (text or "").strip() for name, text in row.items() if name} for row in reader]
    except FileNotFoundError as error:
        raise InputError(f"{manifest}: the file does not exist; check the path.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{manifest}: not a readable csv file ({error}); expected one in UTF-8.") from error
    unknown = [name for name in columns if name.replace("-", "_") not in (*_COLUMNS, *CONTROL_NAMES)]
    if unknown or "image" not in columns or not any(name in columns for name in _SOURCES):
        found = f"the columns {', '.join(columns)}" if columns else "nothing"
        raise InputError(
            f"{manifest}: found {found}; expected image, one of {', '.join(_SOURCES)}, and optionally output, "
            f"language, {', '.join(CONTROL_NAMES)}."
        )
    jobs = []
    for number, row in enumerate(rows, start=2):
        filled = {name: text for name, text in row.items() if text}
        if "image" not in filled or sum(name in filled for name in _SOURCES) != 1:
            raise InputError(f"{manifest}, line {number}: expected an image and one of {', '.join(_SOURCES)}.")
        jobs.append(Job(filled, folder / filled.get("output", _default_output(filled, number)), manifest.parent))
    outputs = [job.output.resolve() for job in jobs]
    for number, output in enumerate(outputs, start=2):
        if outputs.index(output) != number - 2:
            raise InputError(f"{manifest}, line {number}: the output {output.name} is also that of an earlier line.")
    if not jobs:
        raise InputError(f"{manifest}: there is no row in the file; expected one for each video.")
    return jobs


def _check_outputs(jobs: list[Job], controls: Controls, made: set[Path]) -> None:
    """Refuse outputs that would replace an input of any row, except for videos that an earlier run made here."""
    for job in jobs:
        others = [] if job.output in made else [path for other in jobs for path in other.inputs]
        refuse_overwriting(job.output, [*job.inputs, *controls.files, *others])


def _default_output(row: dict[str, str], number: int) -> str:
    source = Path(row["audio"]).stem if "audio" in row else next(name for name in _SOURCES if name in row)
    return f"{number - 1:04d}-{Path(row['image']).stem}-{source}.mp4"


def _run(animator: Animator, job: Job, controls: Controls, key: str, folder: Path) -> Result:
    start = time.monotonic()
    reason = ""
    try:
        _animate(animator, job, controls)
    except (ExpnetError, OSError) as error:
        if is_machine_fault(error):  # which would fail the remaining rows as well
            raise machine_error(error) from error
        reason = str(error)
    return Result(
        output=str(job.output.relative_to(folder)) if job.output.is_relative_to(folder) else str(job.output),
        status="failed" if reason else "done",
        seconds=f"{time.monotonic() - start:.1f}",
        reason=reason,
        image=job.row["image"],
        source=next(job.row[name] for name in _SOURCES if name in job.row),
        job=key,
    )


def _animate(animator: Animator, job: Job, controls: Controls) -> None:
    texts = {name.replace("-", "_"): text for name, text in job.row.items() if name not in _COLUMNS}
    for name in _FILE_CONTROLS:
        if name in texts and (job.folder / texts[name]).is_file():
            texts[name] = job.path(texts[name])
    chosen = replace(controls, **parse_controls(texts))
    image = job.path(job.row["image"])
    job.output.parent.mkdir(parents=True, exist_ok=True)
    if "idle" in job.row:
        animator.idle(image, _seconds(job.row["idle"]), job.output, chosen)
    elif "text" in job.row:
        speech = synthesize_speech(job.row["text"], language=job.row.get("language", "en")).samples
        animator.animate(image, speech, job.output, chosen)
    else:
        animator.animate(image, job.path(job.row["audio"]), job.output, chosen)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"idle {text}: expected a number of seconds.") from error


def _checksum(job: Job, controls: Controls, renderer: str) -> str:
    """Identify a job by everything that was asked for, and by when the portrait and the recording last changed."""
    asked: dict[str, object] = {"row": job.row, "controls": asdict(controls), "output": str(job.output)}
    if renderer != "mesh":  # results of before the choice stay valid
        asked["renderer"] = renderer
    for name in ("image", "audio"):
        path = job.folder / job.row.get(name, "")
        if name in job.row and path.is_file():
            asked[name] = path.stat().st_mtime_ns
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _read_results(path: Path) -> list[Result]:
    names = [field.name for field in fields(Result)]
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors=_ANY_NAME) as stream:
        reader = csv.DictReader(stream)
        if reader.fieldnames != names:
            raise InputError(f"{path}: not the results of a batch; choose another folder, or move the file.")
        return [Result(**row) for row in reader]


def _write_results(path: Path, results: list[Result]) -> None:
    # Reasons may name files whose names are not UTF-8.
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8", errors=_ANY_NAME) as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Result)])
        writer.writeheader()
        writer.writerows(asdict(result) for result in results)
