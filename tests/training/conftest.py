"""Fixtures of the training tests, whose helper modules lie in this folder."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from killable import finish, log_of, start
from small import arguments, write_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of five training clips and three validation clips of other speakers, of unequal length."""
    return write_store(tmp_path_factory.mktemp("data") / "store")


@pytest.fixture(scope="session")
def whole(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that trains an uninterrupted run, once per set of arguments, and returns its folder."""
    made: dict[tuple[object, ...], Path] = {}

    def run(task: str, *overrides: str, processes: int = 1) -> Path:
        key = (task, overrides, processes)
        if key not in made:
            folder = tmp_path_factory.mktemp("whole")
            ended = finish(start(arguments(task, store, *overrides), folder, processes=processes))
            assert ended == [0] * processes, log_of(folder)
            made[key] = folder / "run"
        return made[key]

    return run


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXPNET_RUN", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
