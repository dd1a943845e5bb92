"""The folder of a leaderboard: what is added to it, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expnet.errors import DataError, InputError
from expnet.evaluation.leaderboard.published import PublishedScore, read_published
from expnet.evaluation.report.compare import merge
from expnet.evaluation.report.results import Results, protocol_hash
from expnet.evaluation.report.results_files import first_difference, from_json, read_results
from expnet.io.atomic import atomic_path, write_atomically

_RESULTS, _PUBLISHED = "results", "published"


@dataclass(frozen=True)
class Board:
    """Everything that a leaderboard holds.

    Attributes:
        results: The result files merged: all systems, all metrics, paired differences where clips coincide.
        parts: The results by the name of their file.
        published: Numbers that others published.
    """

    results: Results
    parts: Mapping[str, Results]
    published: tuple[PublishedScore, ...] = field(default=())

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits of the protocol, whatever the clips and whichever metrics a file has."""
        metrics = {key: info for part in self.parts.values() for key, info in part.protocol["metrics"].items()}
        rules = {key: value for key, value in self.results.protocol.items() if key != "data"}
        return protocol_hash({**rules, "metrics": metrics})


def add_results(folder: Path, path: str | Path, name: str = "") -> str:
    """Copy a result file into the folder of a leaderboard, in place of one of the same name.

    Args:
        folder: The folder; it is made if it does not exist.
        path: A ``results.json``, or the folder that contains it.
        name: The name of the file in the leaderboard; that of its folder by default.

    Returns:
        The name.

    Raises:
        DataError: The file is no result file, or its protocol is not that of the leaderboard.
        InputError: The name has other signs than letters, digits, ``-``, ``_`` and ``.``.
    """
    content = read_results(path)
    if "metrics" not in content["protocol"]:
        raise DataError(f"{path} names no metrics in its protocol; expected the result file of evaluate.py")
    path = Path(path).expanduser()
    name = name or (path if path.is_dir() else path.parent).resolve().name
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        raise InputError(f"'{name}' cannot be a name in a leaderboard; give one of letters, digits, - and _ as --name.")
    for other, known in _result_files(folder).items():
        if other != name:
            check_comparable(other, known, name, content)
    write_atomically(_made(folder / _RESULTS) / f"{name}.json", json.dumps(content, ensure_ascii=False) + "\n")
    return name


def import_published(folder: Path, path: str | Path) -> int:
    """Copy a csv file of published numbers into the folder, in place of one of the same name.

    Returns:
        The number of its values.

    Raises:
        DataError: The file cannot be used.
    """
    path = Path(path).expanduser()
    scores = read_published(path)
    with atomic_path(_made(folder / _PUBLISHED) / f"{path.stem}.csv") as partial:
        shutil.copyfile(path, partial)
    return len(scores)


def remove(folder: Path, name: str) -> None:
    """Remove a result file or a file of published numbers.

    Raises:
        InputError: The leaderboard has none of this name.
    """
    files = [folder / _RESULTS / f"{name}.json", folder / _PUBLISHED / f"{name}.csv"]
    present = [file for file in files if file.is_file()]
    if not present:
        known = ", ".join([*_result_files(folder), *(file.stem for file in _published_files(folder))])
        raise InputError(f"{folder} has nothing of the name {name}; it has {known or 'no file yet'}.")
    for file in present:
        file.unlink()


def read_board(folder: Path) -> Board:
    """Read a leaderboard.

    Raises:
        InputError: The folder holds no result file.
        DataError: A file cannot be read, or two protocols differ.
    """
    contents = _result_files(folder)
    if not contents:
        raise InputError(f"{folder} holds no results; add some with expnet leaderboard add results.json --board DIR.")
    (first, content), *others = contents.items()
    for name, other in others:
        check_comparable(first, content, name, other)
    parts = {name: from_json(content) for name, content in contents.items()}
    published = [score for file in _published_files(folder) for score in read_published(file)]
    return Board(merge(parts), parts, tuple(published))


def check_comparable(name: str, first: Mapping[str, Any], other: str, second: Mapping[str, Any]) -> None:
    """Refuse two results of different protocols. Other clips, and metrics that only one of them has, are no difference.

    Raises:
        DataError: The protocols differ; the message names both hashes and the first entry in which they do.
    """
    shared = first["protocol"]["metrics"].keys() & second["protocol"]["metrics"].keys()
    one, two = (_without_clips(file["protocol"], shared) for file in (first, second))
    if one != two:
        raise DataError(
            f"{other} was scored under another protocol ({second['protocol_hash']}) than {name} of the leaderboard "
            f"({first['protocol_hash']}): they differ in {first_difference(one, two)}; evaluate it again under that "
            "protocol, or add it to a leaderboard of its own"
        )


def _without_clips(protocol: Mapping[str, Any], metrics: Set[str]) -> dict[str, Any]:
    """Return a protocol without its clips, and with some of its metrics alone."""
    return {**protocol, "data": None, "metrics": {key: protocol["metrics"][key] for key in sorted(metrics)}}


def _result_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the contents of the result files, in the order in which they were added."""
    files = sorted((folder / _RESULTS).glob("*.json"), key=lambda file: (file.stat().st_mtime_ns, file.name))
    return {file.stem: read_results(file) for file in files}


def _published_files(folder: Path) -> list[Path]:
    return sorted((folder / _PUBLISHED).glob("*.csv"))


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}); give another --board DIR.") from error
    return folder
