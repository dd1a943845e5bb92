"""Templates escape the text of users and refuse what is missing."""

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from expnet.io.html_template import html_template, packaged_text


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "package_of_a_page"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "page.html").write_text("{% if name %}\n<b>{{ name }}</b>\n{% endif %}\né", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return folder.name


def test_what_it_is_given_is_escaped(package: str) -> None:
    assert html_template(package, "page.html").render(name="<script>") == "<b>&lt;script&gt;</b>\né"


def test_a_name_that_is_missing_is_an_error(package: str) -> None:
    with pytest.raises(UndefinedError, match="name"):
        html_template(package, "page.html").render()


def test_the_text_of_a_file_is_as_it_was_written(package: str) -> None:
    assert packaged_text(package, "page.html").startswith("{% if name %}\n")
