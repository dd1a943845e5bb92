"""Parts that a name chooses, such as a temporal module or a loss: those of expnet, of other packages, and one's own.

A name is looked up in three places, in this order:

1. what expnet registers itself (`expnet.config.built_in_parts`);
2. the entry points of installed packages, in the group ``expnet.KIND``, such as ``expnet.temporal_modules``;
3. ``module:Class``, which is imported; the current folder is searched, too.

Weights and checkpoints name parts as well, and those may come from a stranger. So ``module:Class`` is imported only if
the user named it: in a configuration file or on the command line, in the environment variable `ALLOW_VARIABLE`, or by
`allow_parts`. An entry point needs no such permission, since its package was installed on purpose.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points, packages_distributions, version
from typing import Any

from expnet.config.built_in_parts import BUILT_IN, KINDS
from expnet.errors import ConfigError

ALLOW_VARIABLE = "EXPNET_ALLOW_PARTS"
"""Environment variable with the modules, or ``module:Class``, that weights may name; separated by commas."""
_REFERENCE = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<attribute>[^\W\d]\w*)")
_allowed: set[str] = set()
_named_by_user: ContextVar[bool] = ContextVar("named_by_user", default=False)


@dataclass(frozen=True)
class Part:
    """A part and where it comes from.

    Attributes:
        kind: One of `expnet.config.built_in_parts.KINDS`.
        name: The name that chose it.
        module: The module that holds it.
        attribute: Its name in that module.
        package: The distribution that installed the module; empty for a module that none installed.
        version: Version of the package; empty without one.
        target: The class or function itself; None for a part that is nothing, such as the temporal module ``none``.
    """

    kind: str
    name: str
    module: str
    attribute: str
    package: str
    version: str
    target: Any = field(default=None, repr=False)

    @property
    def built_in(self) -> bool:
        """Whether expnet registers it itself."""
        return self.name in BUILT_IN[self.kind]

    @property
    def origin(self) -> str:
        """Return where it comes from, in words, for messages and configurations."""
        reference = f"{self.module}:{self.attribute}"
        return f"{self.package} {self.version} ({reference})" if self.package else reference

    def record(self) -> dict[str, str]:
        """Return all but the part itself in plain values, which a checkpoint keeps."""
        return {name: getattr(self, name) for name in sorted(RECORD)}


RECORD = frozenset({"kind", "name", "module", "attribute", "package", "version"})
"""Keys of `Part.record`."""


def allow_parts(*references: str) -> None:
    """Allow weights and checkpoints to name parts of these modules.

    Args:
        *references: ``module:Class`` for one part, or ``module`` for all parts of a module.
    """
    _allowed.update(references)


def is_reference(name: str) -> bool:
    """Return whether a name is ``module:Class``."""
    return _REFERENCE.fullmatch(name) is not None


def allow_named(name: str) -> None:
    """Allow a part that the user named on the command line, if its name is ``module:Class``."""
    if is_reference(name):
        allow_parts(name)


@contextmanager
def named_by_user() -> Iterator[None]:
    """Allow every ``module:Class`` that is looked up within: it stands in the user's own configuration."""
    token = _named_by_user.set(True)
    try:
        yield
    finally:
        _named_by_user.reset(token)


def part_names(kind: str) -> tuple[str, ...]:
    """Return the names of a kind of part: those of expnet, then those of installed packages."""
    built_in = BUILT_IN[kind]
    installed = {entry.name for entry in entry_points(group=f"expnet.{kind}")}
    return (*built_in, *sorted(installed - set(built_in)))


def find_part(kind: str, name: str, key: str = "") -> Part:
    """Return the part of a kind that a name chooses.

    Args:
        kind: One of `expnet.config.built_in_parts.KINDS`.
        name: A name that expnet or an installed package registers, or ``module:Class``.
        key: What the user set, for messages; empty for the kind.

    Raises:
        ConfigError: There is no such part, it cannot be imported, or it is ``module:Class`` and only weights name it.
    """
    key = key or KINDS[kind].replace(" ", "_")
    if name in BUILT_IN[kind]:
        return _built_in(kind, name)
    found = list(entry_points(group=f"expnet.{kind}", name=name))
    if found:
        return _installed(kind, name, found, key)
    reference = _REFERENCE.fullmatch(name)
    if reference is None:
        known = part_names(kind)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        if not known:
            raise ConfigError(f"{key}: no installed package registers a {KINDS[kind]} {name!r}; write MODULE:CLASS.")
        raise ConfigError(f"{key} must be one of {', '.join(known)}, or MODULE:CLASS, not {name!r}.{hint}")
    module, attribute = reference["module"], reference["attribute"]
    if _named_by_user.get():
        allow_parts(name)
    if not _may_be_imported(module, name):
        raise ConfigError(
            f"{key}={name} is code from outside expnet that only a file of weights names: if you trust it, allow it "
            f"with the environment variable {ALLOW_VARIABLE}={name}, or in Python with "
            f"expnet.config.parts.allow_parts({name!r})."
        )
    target = _imported(module, attribute, f"{key}={name}")
    package = _package_of(module)
    return Part(kind, name, module, attribute, package, version(package) if package else "", target)


def describe_missing(record: dict[str, str], file: str) -> str:
    """Return what to do about a part that weights need and that is not here, in one sentence.

    Args:
        record: What `Part.record` returned when the weights were made.
        file: The file of the weights.
    """
    what = f"{file} needs the {KINDS.get(record['kind'], 'part')} {record['name']}"
    if ":" in record["name"]:
        source = f" of the package {record['package']} {record['version']}" if record["package"] else ""
        return (
            f"{what}{source}, code from outside expnet: if you trust it, make its module importable and allow it with "
            f"the environment variable {ALLOW_VARIABLE}={record['name']}."
        )
    return (
        f"{what}, which the package {record['package']} {record['version']} provided "
        f"({record['module']}:{record['attribute']}): install that package."
    )


def _built_in(kind: str, name: str) -> Part:
    reference = BUILT_IN[kind][name]
    module, _, attribute = reference.partition(":")
    target = getattr(importlib.import_module(module), attribute) if reference else None
    return Part(kind, name, module, attribute, "", "", target)


def _installed(kind: str, name: str, found: list[EntryPoint], key: str) -> Part:
    if len({entry.value for entry in found}) > 1:
        packages = " and ".join(sorted({entry.dist.name for entry in found if entry.dist}))
        raise ConfigError(
            f"{key}={name} is registered by several packages, {packages}: uninstall all but one, or write MODULE:CLASS."
        )
    entry = found[0]
    target = _imported(entry.module, entry.attr, f"{key}={name}")
    package, number = (entry.dist.name, entry.dist.version) if entry.dist else ("", "")
    return Part(kind, name, entry.module, entry.attr, package, number, target)


def _may_be_imported(module: str, reference: str) -> bool:
    given = os.environ.get(ALLOW_VARIABLE, "").split(",")
    return bool({module, reference} & (_allowed | {item.strip() for item in given}))


def _imported(module: str, attribute: str, what: str) -> Any:
    """Import a part that the user, or a package that the user installed, names."""
    if os.getcwd() not in sys.path:  # behind all others, so that no file there hides a package
        sys.path.append(os.getcwd())
    try:
        found = importlib.import_module(module)
    except Exception as error:  # a module of somebody else may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"{what}: the module {module} cannot be imported ({reason}).") from error
    if not hasattr(found, attribute):
        near = difflib.get_close_matches(attribute, dir(found), n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ConfigError(f"{what}: the module {module} has no {attribute}{hint}")
    target = getattr(found, attribute)
    if not callable(target):
        raise ConfigError(f"{what} must be a class or a function, not {type(target).__name__}.")
    return target


def _package_of(module: str) -> str:
    return next(iter(packages_distributions().get(module.partition(".")[0], [])), "")
