"""The command line: --help is fast, and mistakes give one sentence and exit code 2."""

from __future__ import annotations

import subprocess
import sys

import pytest

from expnet import cli
from expnet.cli import choices
from expnet.errors import ExpnetError, InputError


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from expnet.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'mediapipe', 'pytorch_lightning') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith("[]")
    for command in ("animate", "preprocess", "synthesize", "train", "evaluate", "compare", "assets", "doctor"):
        assert command in result.stdout


def test_choices_are_those_of_the_libraries() -> None:
    from expnet.assets.encoders import ENCODERS as ENCODER_ASSETS
    from expnet.audio.speech_encoders import ENCODERS
    from expnet.coefficients import DEFAULT_FACE_MODEL
    from expnet.face.emotions import EMOTIONS
    from expnet.formats.convert import FORMATS
    from expnet.render.open_renderer import RENDERERS

    assert tuple(FORMATS) == choices.EXPORT_FORMATS
    assert choices.SPEECH_ENCODERS == ENCODERS
    assert choices.ENCODER_ASSETS == ENCODER_ASSETS
    assert choices.EMOTIONS == EMOTIONS
    assert choices.RENDERERS == RENDERERS
    assert choices.FACE_MODEL == DEFAULT_FACE_MODEL


@pytest.mark.parametrize(
    ("error", "code"), [(InputError("The file x is not there."), 2), (ExpnetError("The disk is full."), 1)]
)
def test_errors_become_one_sentence(error: ExpnetError, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise error

    assert cli.guarded(fail) == code
    assert capsys.readouterr().err == f"expnet: {error}\n"


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        cli.guarded(lambda: 1 // 0)


def test_unknown_option_is_usage_error() -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["animate", "--colour", "red"])
    assert stop.value.code == 2


@pytest.mark.parametrize("value", ["nan", "-1", "much"])
def test_a_scale_is_a_number_of_zero_or_more(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["animate", "--image", "a.png", "--output", "b.mp4", "--text", "a", "--expression-scale", value])
    assert stop.value.code == 2
    assert "--expression-scale" in capsys.readouterr().err


def test_animate_needs_audio_or_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["animate", "--image", "a.png", "--output", "b.mp4"]) == 2
    assert "either --audio" in capsys.readouterr().err
