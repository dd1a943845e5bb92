"""The columns of a motion vector: which of them are expression, head motion and lids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from expnet.errors import ConfigError
from expnet.models.pose_motion import POSE

GROUPS = ("expression", "head", "lids")
"""Everything that can be drawn, in the order of the columns."""


class MotionLayout:
    """The columns of the groups that a network draws.

    Args:
        groups: Some of `GROUPS`, in any order.
        expression_size: Number of expression coefficients E.

    Raises:
        ConfigError: There is no such group, or none at all.
    """

    def __init__(self, groups: Sequence[str], expression_size: int) -> None:
        unknown = [name for name in groups if name not in GROUPS]
        if unknown or not groups:
            raise ConfigError(f"groups must be some of {', '.join(GROUPS)}, not {list(groups)}.")
        every = {"expression": expression_size, "head": POSE, "lids": 1}
        self.groups = tuple(name for name in GROUPS if name in groups)
        self.sizes = {name: every[name] for name in self.groups}
        self.size = sum(self.sizes.values())
        self._all = every

    def __contains__(self, group: str) -> bool:
        return group in self.sizes

    def slice(self, group: str) -> slice:
        """Return the columns of a group."""
        before = self.groups[: self.groups.index(group)]
        first = sum(self.sizes[name] for name in before)
        return slice(first, first + self.sizes[group])

    def spread(self, per_group: Tensor) -> Tensor:
        """Repeat values of the groups (..., G) over their columns, to (..., M)."""
        parts = [per_group[..., place, None].expand(*per_group.shape[:-1], n) for place, n in self._numbered()]
        return torch.cat(parts, dim=-1)

    def of_all(self, values: Tensor) -> Tensor:
        """Choose the columns of these groups from those of all groups (..., E + 7)."""
        found, first = [], 0
        for name in GROUPS:
            if name in self:
                found.append(values[..., first : first + self._all[name]])
            first += self._all[name]
        return torch.cat(found, dim=-1)

    @property
    def all_columns(self) -> int:
        """Number of columns of all groups, E + 7."""
        return sum(self._all.values())

    def _numbered(self) -> list[tuple[int, int]]:
        return [(place, self.sizes[name]) for place, name in enumerate(self.groups)]
