"""The memory that a process may take: the smaller of what the machine has free and the container allows."""

from pathlib import Path

import pytest

from expnet.config.benchmark import DevicesConfig, VideoBenchmarkConfig
from expnet.config.grammar import merge
from expnet.errors import ConfigError
from expnet.evaluation.videos import processes
from expnet.io.available_memory import available_memory
from expnet.io.launcher import LaunchedProcess

GIGABYTE = 2**30


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    path = tmp_path / "meminfo"
    path.write_text(f"MemTotal: 99 kB\nMemAvailable:   {8 * GIGABYTE // 1024} kB\n")
    return path


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [
        (None, None, 8),
        ("max", "5", 8),
        (f"{6 * GIGABYTE}", f"{2 * GIGABYTE}", 4),
        (f"{GIGABYTE}", f"{2 * GIGABYTE}", 0),
    ],
)
def test_the_smaller_limit_counts(
    machine: Path, tmp_path: Path, limit: str | None, used: str | None, expected: int
) -> None:
    container = tmp_path / "group"
    container.mkdir()
    if limit is not None and used is not None:
        (container / "memory.max").write_text(f"{limit}\n")
        (container / "memory.current").write_text(f"{used}\n")
    assert available_memory(machine, container) == expected * GIGABYTE


def test_a_system_that_does_not_say(tmp_path: Path) -> None:
    assert available_memory(tmp_path / "meminfo", tmp_path / "group") is None


@pytest.mark.parametrize(("free", "expected"), [(None, 16), (5 * GIGABYTE, 2), (GIGABYTE, 1), (99 * GIGABYTE, 16)])
def test_all_processes_are_as_many_as_the_memory_allows(
    free: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "available_cores", lambda: 16)
    monkeypatch.setattr(processes, "available_memory", lambda: free)
    assert processes.process_count(DevicesConfig(accelerator="cpu"), LaunchedProcess()) == expected
    assert processes.process_count(DevicesConfig(7, accelerator="cpu"), LaunchedProcess()) == 7


def test_devices_may_be_a_number_or_auto() -> None:
    def devices(value: str) -> int:
        return merge(VideoBenchmarkConfig, ["systems.a=.", f"devices={value}"]).trainer.devices

    assert [devices(value) for value in ("auto", "3", "-1")] == [-1, 3, -1]
    with pytest.raises(ConfigError, match="devices must be auto or a whole number, not many"):
        devices("many")
    with pytest.raises(ConfigError, match=r"trainer\.devices must be 1 or more"):
        devices("0")
