"""The container file: it copies what is there, installs from the constraints, and passes an option that exists."""

import re
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "Containerfile").read_text().replace("\\\n", " ").splitlines()
STEPS = [line.split(maxsplit=1) for line in LINES if line.strip() and not line.startswith("#")]


def test_everything_that_it_copies_is_there() -> None:
    copied = [name for step, rest in STEPS if step == "COPY" for name in rest.split()[:-1]]
    assert {"constraints.txt", "setup.cfg", "pyproject.toml", "expnet"} <= set(copied)
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_every_packaged_folder_and_described_file_is_copied() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    copied = {name for step, rest in STEPS if step == "COPY" for name in rest.split()[:-1]}
    folders = {line.split("=")[1].strip() for line in setup["options"]["package_dir"].strip().splitlines()}
    assert folders <= copied
    described = setup["metadata"]["long_description"].removeprefix("file:").strip()
    assert {described, setup["metadata"]["license_files"].strip()} <= copied


def test_it_installs_from_the_constraints_and_runs_expnet() -> None:
    install = next(rest for step, rest in STEPS if step == "RUN" and "--constraint" in rest)
    assert "--constraint constraints.txt" in install
    assert "--torch-backend ${TORCH}" in install
    extras = re.search(r'"\.\[(.*)\]"', install)
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert extras is not None
    assert set(extras[1].split(",")) <= set(setup["options.extras_require"])
    assert ["ENTRYPOINT", '["expnet"]'] in STEPS
    assert ["ARG", "TORCH=cpu"] in STEPS
    python = next(rest for step, rest in STEPS if step == "FROM")
    assert re.search(r"python:3\.1[1-4]-slim", python)


def test_its_cuda_is_that_of_the_pinned_packages() -> None:
    pinned = re.search(r"^nvidia-cuda-runtime==(\d+)\.(\d+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    backend = f"TORCH=cu{pinned[1]}{pinned[2]}"  # another one's packages contradict the constraints
    for page in ("Containerfile", "docs/guides/benchmark.md"):
        assert set(re.findall(r"TORCH=cu\d+", (ROOT / page).read_text())) == {backend}
