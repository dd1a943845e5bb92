"""The renderers that the page offers: those that run on this machine without fetching anything."""

from __future__ import annotations

from dataclasses import dataclass

from expnet.assets.sadtalker import found_sizes
from expnet.render.open_renderer import RendererChoice


@dataclass(frozen=True)
class OfferedRenderer:
    """One choice of the page.

    Attributes:
        value: Its name in requests.
        label: Its name on the page.
        renderer: What `expnet.animate.animator.Animator` takes as its renderer.
        size: Side in pixels of the squares that it draws, where it has a choice.
    """

    value: str
    label: str
    renderer: RendererChoice
    size: int | None = None


def offered_renderers(first: str = "mesh") -> tuple[OfferedRenderer, ...]:
    """Return the mesh renderer, and SadTalker's at the sizes whose weight files are found.

    Args:
        first: The renderer that the page starts with, which is offered first.
    """
    known = [
        OfferedRenderer("mesh", "mesh (fast)", "mesh"),
        *(OfferedRenderer(f"sadtalker-{size}", f"SadTalker, {size} px", "sadtalker", size) for size in found_sizes()),
    ]
    if first not in {one.renderer for one in known}:
        known.append(OfferedRenderer("given", first, first))
    return tuple(sorted(known, key=lambda one: one.renderer != first))
