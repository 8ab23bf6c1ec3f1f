"""The contract of a group of features: measured for all cells of a frame at once, named in YAML."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from inspect import isabstract
from typing import Any, TypedDict

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm, construct
from cyto_kedro.algorithms.tabulation.frame import FrameCells
from cyto_kedro.errors import ConfigError, unknown


class FrameColumns(TypedDict):
    """What a group makes of one frame."""

    columns: Mapping[str, np.ndarray]


class FeatureGroup(Algorithm):
    """Columns that `Features` adds to the table, one group a class.

    Measured on the cells of one frame: ``{name: (n_cells,) float64}``, one value a cell in the order of
    its labels, NaN where it is not defined; the same names for every frame, also one without cells.
    """

    @abstractmethod
    def measure(self, cells: FrameCells) -> dict[str, np.ndarray]:
        """Columns of one frame."""

    def run(self, cells: FrameCells) -> FrameColumns:
        """`measure`, as an algorithm."""
        return {"columns": self.measure(cells)}


class ChannelGroup(FeatureGroup):
    """A group measured in every channel: columns ``<channel>_<stat>``."""

    channels: tuple[str, ...] | None = Field(
        default=None, description="channels it is measured in; null: every channel"
    )

    @abstractmethod
    def stats(self, cells: FrameCells, channel: str) -> dict[str, np.ndarray]:
        """Stats of one channel in one frame."""

    def measure(self, cells: FrameCells) -> dict[str, np.ndarray]:
        """Columns of one frame. Raises ConfigError if a channel is unknown."""
        for channel in self.channels or ():
            if channel not in cells.images:
                name = f"{cells.where}, feature group {type(self).__name__}"
                raise ConfigError(f"{name}: {unknown('channel', channel, cells.images)}")
        return {
            f"{channel}_{stat}": column
            for channel in (cells.images if self.channels is None else self.channels)
            for stat, column in self.stats(cells, channel).items()
        }


def known_groups(base: type[FeatureGroup] = FeatureGroup) -> dict[str, type[FeatureGroup]]:
    """Every group class by name: the project's own, and those of any imported module."""
    found: dict[str, type[FeatureGroup]] = {}
    for cls in base.__subclasses__():
        if not isabstract(cls):
            found[cls.__name__] = cls
        found |= known_groups(cls)
    return found


def make_groups(value: Any) -> tuple[FeatureGroup, ...]:
    """Groups from ``[{name: Quantiles, args: {...}}, ...]``; groups that are made pass.

    Raises ConfigError if it is no list of those, or a name, an argument or its value is not valid.
    """
    if not isinstance(value, Iterable) or isinstance(value, str | Mapping):
        raise ConfigError(f"expected a list of groups, {{name: ..., args: {{...}}}}, got {value!r}")
    groups = []
    for each in value:
        if isinstance(each, FeatureGroup):
            groups.append(each)
            continue
        if not isinstance(each, Mapping) or "name" not in each or set(each) - {"name", "args"}:
            raise ConfigError(f"a group is written {{name: ..., args: {{...}}}}, got {each!r}")
        known = known_groups()
        if each["name"] not in known:
            raise ConfigError(unknown("feature group", each["name"], known))
        groups.append(construct(known[each["name"]], each.get("args")))
    return tuple(groups)
