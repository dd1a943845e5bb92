"""Every command of README and docs is parsed, those that are marked are run, and what pages name is there."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from pages import ROOT, SHELL, Block, blocks, commands, fault, inline_fault, pages, words_of
from PIL import Image
from skimage.data import astronaut

from expnet import metrics
from expnet.audio.wave import write_wav
from expnet.cli import main
from expnet.config.benchmark import METRIC_KEYS
from expnet.media.video_writer import write_video
from expnet.metrics import NamedMetric

ALL = [block for path in pages() for block in blocks(path)]
MARKED = sorted({block.page for block in ALL if block.extra is not None})


def test_pages_have_commands() -> None:
    assert sum(len(commands(block.code)) for block in ALL if block.language in SHELL) > 80
    assert len(MARKED) > 4


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_right(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = [(line, fault(line)) for block in blocks(path) if block.language in SHELL for line in commands(block.code)]
    prose = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    codes = re.findall(r"`((?:expnet|python|make) [^`]+)`", prose)
    found += [(code, inline_fault(code)) for code in codes]
    assert [(line, wrong) for line, wrong in found if wrong] == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("expnet animate --image a.png --audio b.wav --outptu c.mp4", "--output"),
        ("expnet animte --image a.png", "animte"),
        ("python train.py configs/expression.yaml optim.learning_rate=1", "learning_rate"),
        ("python train.py configs/gone.yaml", "gone.yaml"),
        ("python evaluate.py configs/benchmark.yaml reference=real metrics=[sharpness]", "sharpness"),
        ("expnet ablate data.store=a seed=1", "seed"),
        ("python benchmarks/speed.py --clip VIDEOS", "--clip"),
        ("python benchmarks/gone.py", "gone.py"),
        ("make instal", "instal"),
        ("pip install 'expnet[speach]'", "speach"),
        ("torchrun --standalone train.py configs/expression.yaml trainer.device=2", "device"),
        ("sbatch configs/cluster/slurm.sh configs/expression.yaml data.stroe=a", "stroe"),
        ("gradio run", "gradio"),
    ],
)
def test_a_wrong_command_is_found(line: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert wrong in fault(line)


@pytest.mark.parametrize(
    "code", ["expnet animate --lip-scal 2", "expnet animte", "python benchmarks/gone.py", "make al"]
)
def test_a_wrong_command_in_running_text_is_found(code: str) -> None:
    assert inline_fault(code)


def test_python_blocks_are_python() -> None:
    code = [block for block in ALL if block.language == "python"]
    assert len(code) > 8
    for block in code:
        compile(block.code, block.page, "exec")


NAMED = re.compile(
    r"(?<![\w/.])((?:configs|benchmarks|scripts|expnet|metrics|callbacks|tests)/[\w/.]+\.(?:py|yaml|sh|md))"
)


def test_files_that_pages_name_are_there() -> None:
    named = {name for path in pages() for name in NAMED.findall(path.read_text(encoding="utf-8"))}
    assert len(named) > 60
    assert sorted(name for name in named if not (ROOT / name).is_file()) == []


def test_pages_that_the_code_names_are_there() -> None:
    sources = [
        path
        for folder in ("expnet", "metrics", "callbacks", "configs", "benchmarks", "scripts")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".yaml", ".sh", ".md")
    ]
    named = {(name, path) for path in sources for name in re.findall(r"docs/[\w/]+\.md", path.read_text())}
    assert len(named) > 10
    assert sorted(f"{path.relative_to(ROOT)}: {name}" for name, path in named if not (ROOT / name).is_file()) == []


def test_links_between_pages_lead_somewhere() -> None:
    """The site is built with warnings as errors; README and CONTRIBUTING are not part of it."""
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        assert len(links) > 5
        assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_metric_has_an_entry() -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    classes = [name for name, kind in vars(metrics).items() if isinstance(kind, type) and issubclass(kind, NamedMetric)]
    concrete = set(classes) - {"ClipMetric", "NamedMetric"}
    assert len(concrete) > 20
    assert sorted(name for name in concrete if f"`{name}`" not in page) == []
    assert sorted(key for key in METRIC_KEYS if f"`{key}`" not in page) == []


def test_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 90


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what the commands of the first pages take: a portrait, speech, and videos."""
    generator = np.random.default_rng(0)
    loud = np.abs(np.sin(np.arange(20800) / 16000 * 2 * np.pi * 2))
    speech = (0.2 * loud * generator.normal(size=20800)).clip(-1, 1).astype(np.float32)
    portrait = np.ascontiguousarray(astronaut()[:256, 90:346])
    Image.fromarray(portrait).save(tmp_path / "portrait.jpg", quality=95)
    write_wav(tmp_path / "speech.wav", speech)
    for name, noise in (("real", 0), ("ours", 4), ("other", 12)):
        frames = [
            (portrait + generator.normal(0, noise + 1e-6, portrait.shape)).clip(0, 255).astype(np.uint8)
            for _ in range(30)
        ]
        (tmp_path / name / "anna").mkdir(parents=True)
        write_video(tmp_path / name / "anna" / "1.mp4", frames, audio=speech[:19200])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(block: Block) -> None:
    """Run a marked block in the working folder."""
    assert block.extra is not None
    if block.language == "python":
        exec(compile(block.code, block.page, "exec"), {})
        return
    for line in commands(block.code):
        words = words_of(f"{line} {block.extra}")
        if words[0] == "python":
            words = ["expnet", words[1].removesuffix(".py"), *words[2:]]
        assert words[0] == "expnet", line
        assert main(words[1:]) == 0, line


@pytest.mark.slow
@pytest.mark.parametrize("page", MARKED)
def test_marked_commands_run(page: str, folder: Path) -> None:
    for block in blocks(ROOT / page):
        if block.extra is not None:
            run(block)


def test_examples_in_docstrings() -> None:
    found = 0
    for folder, package in (("metrics", "expnet.metrics"), ("callbacks", "expnet.callbacks"), ("expnet", "expnet")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if re.search(r"^\s*>>> ", path.read_text(), flags=re.MULTILINE):
                parts = path.relative_to(ROOT / folder).with_suffix("").parts
                result = doctest.testmod(importlib.import_module(".".join((package, *parts)).removesuffix(".__init__")))
                assert result.failed == 0, path
                found += result.attempted
    assert found > 0
