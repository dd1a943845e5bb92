"""Templates of the HTML pages that are part of the package."""

from importlib import resources

from jinja2 import Environment, StrictUndefined, Template


def html_template(package: str, name: str) -> Template:
    """Return a template of a package, which escapes what it is given and refuses a name that it is not given.

    Args:
        package: The package that contains the file, as ``expnet.ui``.
        name: The name of the file.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(packaged_text(package, name))


def packaged_text(package: str, name: str) -> str:
    """Return the text of a file of a package."""
    return (resources.files(package) / name).read_text(encoding="utf-8")
