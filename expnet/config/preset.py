"""What a preset of the video benchmark says about itself: whose protocol it follows, and how far."""

from dataclasses import dataclass, field


@dataclass
class PresetConfig:
    """The published protocol that a benchmark follows; set by the files in configs/presets."""

    name: str = ""
    """Name of the preset, that of its file; empty for a benchmark of your own."""
    title: str = ""
    """Name of the protocol for people."""
    sources: list[str] = field(default_factory=list)
    """Where the protocol was published."""
    fixes: list[str] = field(default_factory=list)
    """What the preset fixes, one sentence each."""
    differs: list[str] = field(default_factory=list)
    """What it cannot reproduce, one sentence each."""
    needs: list[str] = field(default_factory=list)
    """Keys that the user must set."""
