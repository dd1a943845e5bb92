"""Presets: benchmarks that follow a published protocol, with a hash of what they fix."""

from __future__ import annotations

from dataclasses import asdict, fields
from importlib import resources
from pathlib import Path
from typing import Any

from expnet.config.benchmark import VideoBenchmarkConfig, VideoProtocolConfig
from expnet.config.grammar import merge
from expnet.errors import ConfigError
from expnet.evaluation.report.results import Preset, protocol_hash

_NOT_OF_THE_PROTOCOL = ("interval", "resamples")
"""Options of the statistics, which change no score."""


def preset_of(config: VideoBenchmarkConfig) -> Preset | None:
    """Return the preset of a benchmark with the hash of its settings, or None where it follows none.

    Two tables under one preset and hash were scored with the same options. Which clips were scored, with which weights
    and which version, is in the hash of the protocol beside it.

    Raises:
        ConfigError: The preset needs a key that is not set.
    """
    options = config.preset
    if not options.name:
        return None
    missing = [key for key in options.needs if getattr(config, key) in (None, "")]
    if missing:
        needed = " and ".join(f"{key}=DIR" for key in missing)
        raise ConfigError(f"The preset {options.name} needs {needed}, which its file explains at the top.")
    content = {"name": options.name, **_settings(config)}
    return Preset(
        name=options.name,
        title=options.title or options.name,
        hash=protocol_hash(content)[:8],
        sources=tuple(options.sources),
        fixes=tuple(options.fixes),
        differs=tuple(options.differs),
        changes=tuple(_changes(config)),
    )


def _settings(config: VideoBenchmarkConfig) -> dict[str, Any]:
    """Return what decides the scores: only what is not the default, so that new options leave the hash as it is."""
    default = VideoProtocolConfig()
    protocol = {
        item.name: getattr(config.protocol, item.name)
        for item in fields(VideoProtocolConfig)
        if item.name not in _NOT_OF_THE_PROTOCOL and getattr(config.protocol, item.name) != getattr(default, item.name)
    }
    given = ("reference", "reference_set", "audio", "portraits")
    return {
        "metrics": list(config.wanted),
        "protocol": protocol,
        "given": [key for key in given if getattr(config, key) is not None],
        "dubbed": config.dubbed,
        "limit": config.limit,
    }


def _changes(config: VideoBenchmarkConfig) -> list[str]:
    """Return in which options a benchmark departs from the file of its preset, as ``key=value``."""
    file = Path(str(resources.files("expnet.configs"))) / "presets" / f"{config.preset.name}.yaml"
    if not file.is_file():
        return []  # a preset of the user's own has no file here to depart from
    shipped = merge(VideoBenchmarkConfig, [str(file), "systems.any=."])
    plain = [key for key in ("metrics", "dubbed", "limit") if getattr(config, key) != getattr(shipped, key)]
    found = [f"{key}={_text(getattr(config, key))}" for key in plain]
    own, usual = asdict(config.protocol), asdict(shipped.protocol)
    found += [f"protocol.{key}={_text(own[key])}" for key in own if own[key] != usual[key]]
    return [change for change in found if not change.startswith(tuple(f"protocol.{k}=" for k in _NOT_OF_THE_PROTOCOL))]


def _text(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
