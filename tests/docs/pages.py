"""Finds the code of README and docs, and says what is wrong with a command."""

from __future__ import annotations

import argparse
import ast
import configparser
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from expnet.cli import command_line, main

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(
    r"^(?:<!-- test: run(?P<extra>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$",
    flags=re.DOTALL | re.MULTILINE,
)
SHELL = ("sh", "bash", "shell", "console")
CONFIGURED = ("train", "sweep", "evaluate", "ablate")
SYSTEM = ("ssh", "for", "ffprobe", "wandb", "scancel", "uv")
"""Programs that are not part of the project; what follows them is not looked at."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: Path from the root of the repository.
        language: What stands behind the fence.
        code: The lines.
        extra: Arguments that a test appends to every command; None for a block that is not run.
    """

    page: str
    language: str
    code: str
    extra: str | None


def pages() -> list[Path]:
    """README, CONTRIBUTING and every page of the site that is written by hand."""
    written = [path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(written)]


def blocks(path: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    for found in BLOCK.finditer(path.read_text(encoding="utf-8")):
        yield Block(str(path.relative_to(ROOT)), found["language"], found["code"], found["extra"])


def commands(code: str) -> list[str]:
    """Return the commands of a shell block: continued lines joined, comments left out."""
    lines = [line.strip() for line in code.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def words_of(line: str) -> list[str]:
    """Split a command into words, without what it redirects and without assignments before it."""
    words = shlex.split(line, comments=True)
    for sign in (">", "|", "&&"):
        words = words[: words.index(sign)] if sign in words else words
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return words


def fault(line: str) -> str:
    """Return what is wrong with a command, an empty text if nothing is."""
    words = words_of(line)
    program, rest = words[0].removeprefix(".venv/bin/"), words[1:]
    checks: dict[str, Callable[[list[str]], str]] = {
        "expnet": _expnet,
        "python": _python,
        "torchrun": lambda rest: _python(rest[rest.index("train.py") :]),
        "sbatch": _sbatch,
        "make": _make,
        "pip": _pip,
        "pytest": _pytest,
    }
    if program in SYSTEM:
        return ""
    return checks[program](rest) if program in checks else f"unknown program {program}"


def _quietly(run: Callable[[], int | None]) -> str:
    errors = StringIO()
    try:
        with redirect_stderr(errors), redirect_stdout(StringIO()):
            code = run() or 0
    except SystemExit as end:
        code = int(end.code or 0)
    return "" if code == 0 else errors.getvalue().strip().splitlines()[-1]


def _expnet(words: list[str]) -> str:
    if words and words[0] in CONFIGURED:
        known = [word if not _missing_file(word) else "configs/expression.yaml" for word in words]
        return _quietly(lambda: main([*known, "--print-config"]))
    return _quietly(lambda: command_line._parser().parse_args(words) and 0)


def _missing_file(word: str) -> bool:
    """Whether a configuration file is one of the reader's own, such as that of an exported model."""
    return word.endswith(".yaml") and "=" not in word and not word.startswith("configs/")


def _python(words: list[str]) -> str:
    first, rest = words[0], words[1:]
    if first in ("train.py", "evaluate.py"):
        return _expnet([first.removesuffix(".py"), *rest])
    if first == "-m":
        return _pytest(rest[1:]) if rest[0] == "pytest" else f"unknown module {rest[0]}"
    if first == "-c":
        compile(rest[0], "command", "exec")
        return ""
    if not (ROOT / first).is_file():
        return f"there is no script {first}"
    source = "".join(path.read_text() for path in (ROOT / first).parent.rglob("*.py") if _shares(path, ROOT / first))
    known = set(re.findall(r"""["'](--[\w-]+)["']""", source))
    usage = ast.get_docstring(ast.parse((ROOT / first).read_text())) or ""
    known |= set(re.findall(r"--[a-z][\w-]+", usage))  # options that a loop adds
    unknown = [word.partition("=")[0] for word in rest if word.startswith("--") and word.partition("=")[0] not in known]
    return f"{first} has no option {unknown[0]}" if unknown else ""


def _shares(path: Path, script: Path) -> bool:
    """Whether a file is the script, or a module that the script imports its options from."""
    return path == script or bool(re.search(rf"\b{path.stem}\b.*import|import .*\b{path.stem}\b", script.read_text()))


def _sbatch(words: list[str]) -> str:
    scripts = [word for word in words if word.endswith(".sh")]
    if not scripts:
        return ""
    if not (ROOT / scripts[0]).is_file():
        return f"there is no script {scripts[0]}"
    return _expnet(["train", *words[words.index(scripts[0]) + 1 :]])


def _make(words: list[str]) -> str:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) \?=", makefile, flags=re.MULTILINE))
    names = [word.partition("=")[0] for word in words]
    unknown = [name for name in names if name not in targets | variables]
    return f"make has no {unknown[0]}" if unknown else ""


def _pip(words: list[str]) -> str:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    if words[1:3] == ["torch", "torchvision"] and words[3:4] == ["--index-url"]:
        words = [words[0], "expnet", *words[5:]]
    asked = re.fullmatch(r"expnet(?:\[(\w+)\])?", words[-1])
    if words[0] != "install" or len(words) != 2 or not asked:
        return "expected pip install 'expnet[EXTRA]'"
    return "" if not asked[1] or asked[1] in setup["options.extras_require"] else f"there is no extra {asked[1]}"


def _pytest(words: list[str]) -> str:
    paths = [word for word in words if word.startswith("tests/")]
    missing = [path for path in paths if not (ROOT / path).exists()]
    return f"there is no {missing[0]}" if missing else ""


def inline_fault(code: str) -> str:
    """Return what is wrong with a command in running text, which may lack what it needs to be run."""
    try:
        words = words_of(code)
    except ValueError:
        return ""
    words = [word for word in words if word not in ("...", "COMMAND")]
    if words[:1] == ["make"]:
        return _make(words[1:])
    if words[:1] == ["python"] and len(words) > 1 and words[1].startswith(("benchmarks/", "scripts/")):
        return _python(words[1:])
    if words[:1] != ["expnet"] or len(words) < 2 or words[1] in CONFIGURED:
        return ""
    parser = command_line._parser()
    (choices,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    if words[1] not in choices.choices:
        return f"there is no command expnet {words[1]}"
    known = {option for action in choices.choices[words[1]]._actions for option in action.option_strings}
    unknown = [word for word in words if word.startswith("--") and word not in known]
    return f"expnet {words[1]} has no option {unknown[0]}" if unknown else ""
