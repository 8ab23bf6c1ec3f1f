"""Lazily opened partitions, and those of a group. Which there are: `cyto_kedro.plan`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from cyto_kedro.blocks import Tile
from cyto_kedro.errors import InputError
from cyto_kedro.plan import (
    KEYS,
    Grain,
    Plan,
    PlannedFov,
    check_name,
    check_names,
    parse_grain,
    parse_id,
    partition_id,
)
from cyto_kedro.shown import Shown

__all__ = [
    "KEYS",
    "SMALL_FILM_BYTES",
    "Grain",
    "Partitions",
    "Plan",
    "PlannedFov",
    "Selection",
    "Source",
    "check_name",
    "check_names",
    "parse_grain",
    "parse_id",
    "partition_id",
    "select",
]


class Source(Protocol):
    """What `Partitions` reads from: a dataset that opens one partition by id."""

    name: str
    grain: Grain

    def load_one(self, identity: str) -> Any:
        """Load a partition."""

    def list_ids(self) -> list[str]:
        """The ids found in storage (slow; not used by runs)."""

    def content(self, identity: str) -> str | None:
        """A hash of a partition's content, or None when it does not exist."""


@dataclass(frozen=True, repr=False)
class Partitions(Shown, Mapping[str, Callable[[], Any]]):
    """``{partition id: load function}``, opened by id without listing the folder.

    Kedro hands this to a node for every partitioned dataset. Iterating lists what storage holds, as
    `kedro_datasets.partitions.PartitionedDataset` does; pipelines use the plan instead.

    What a partition held when it was first opened is kept until `forget`: a result is recorded as
    made from what was read, not from what lies there when it is saved. At a prompt it shows what it
    holds; ``to_pandas()`` and ``to_dask()`` open all of it (`Shown`).
    """

    source: Source
    check: Callable[..., Any] | None = field(default=None)
    read: dict[str, str | None] = field(default_factory=dict, repr=False, compare=False)

    __hash__: ClassVar[None]  # type: ignore[assignment]

    @property
    def grain(self) -> Grain:
        """The keys of a partition id."""
        return self.source.grain

    def _note(self, identity: str) -> None:
        """Keep what a partition holds when it is first opened."""
        if identity not in self.read:
            self.read[identity] = self.source.content(identity)

    def __getitem__(self, identity: str) -> Callable[[], Any]:
        def load() -> Any:
            self._note(identity)
            return self.source.load_one(identity)

        return load if self.check is None else self.check(identity, load)

    def columns(self, identity: str, names: Collection[str]) -> Any:
        """Those of some columns that a partition, a table, has; of Parquet no others are read."""

        def load() -> Any:
            self._note(identity)
            some = getattr(self.source, "load_columns", None)
            table = self.source.load_one(identity) if some is None else some(identity, names)
            return None if table is None else table[[name for name in names if name in table]]

        return load() if self.check is None else self.check(identity, load, names)()

    def stacked(self, ids: Iterable[str], names: Collection[str] | None = None) -> Iterator[Any]:
        """Some partitions, tables, one below the other in a few; `names` as in `columns`."""

        def noted() -> Iterator[str]:
            for each in ids:
                self._note(each)
                yield each

        def one(identity: str) -> Any:
            return self[identity]() if names is None else self.columns(identity, names)

        several = getattr(self.source, "load_stacked", None)
        if several is None:
            yield from map(one, ids)
            return
        for identities, found in several(noted(), names):
            table = found if names is None else found[[each for each in names if each in found]]
            try:
                if self.check is not None:
                    self.check(identities[0], lambda table=table: table, names)()
            except InputError:
                for each in identities:  # which of them is it?
                    one(each)
                raise
            yield table

    def __iter__(self) -> Iterator[str]:
        return iter(self.source.list_ids())

    def __len__(self) -> int:
        return len(self.source.list_ids())

    def __contains__(self, identity: object) -> bool:
        return isinstance(identity, str) and self.source.content(identity) is not None

    def checked(self, check: Callable[..., Any]) -> Partitions:
        """The same partitions, each passed through `check(id, load function)` when asked for.

        Where some columns are asked for, their names are its third argument.
        """
        return Partitions(self.source, check, self.read)

    def content(self, identity: str) -> str | None:
        """A hash of a partition's content, or None when it does not exist."""
        return self.source.content(identity)

    def as_read(self, identity: str) -> str | None:
        """A hash of what a partition held when it was opened; of what it holds if it was not."""
        return self.read[identity] if identity in self.read else self.content(identity)

    def corrected(self, identity: str) -> bool:
        """Whether a partition is what a person put in its place."""
        return getattr(self.source, "correction", lambda _: None)(identity) is not None

    def forget(self) -> None:
        """Begin a new group: what is opened from now on is what the next result is made from."""
        self.read.clear()

    def changed(self) -> list[str]:
        """Partitions that were opened and do not hold any more what they held then."""
        return [each for each, content in self.read.items() if self.content(each) != content]


# A film of fewer bytes is read at once: each frame of a lazy one costs 2 ms of Dask's scheduler.
SMALL_FILM_BYTES = 16_000_000
_MOST_HELD = 4


def _settled(value: Any) -> Any:
    """`value`, in memory if it is a small lazy film."""
    if hasattr(value, "__dask_graph__") and value.nbytes <= SMALL_FILM_BYTES:
        read = getattr(value, "read_whole", None)  # `datasets.lazy.read_by`
        return value.compute(scheduler="synchronous") if read is None else read()
    return value


@dataclass(frozen=True)
class Selection(Mapping[Any, Any]):
    """The partitions of one group, keyed by the keys the group leaves open, loaded when read.

    With one open key the mapping's keys are its values (``{block: image}``), with more, tuples.
    The last small films are held, since nodes come back to a block for each of its frames.
    """

    partitions: Partitions
    ids: dict[Any, str]
    _held: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def __getitem__(self, key: Any) -> Any:
        if key in self._held:
            return self._held[key]
        found = self.partitions[self.ids[key]]()
        value = _settled(found)
        if value is not found:
            if len(self._held) == _MOST_HELD:
                del self._held[next(iter(self._held))]
            self._held[key] = value
        return value

    def __iter__(self) -> Iterator[Any]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


def select(partitions: Partitions, plan: Plan, group: Mapping[str, str]) -> Any:
    """What of `partitions` belongs to `group`: the data itself, or a `Selection` of several."""
    grain = partitions.grain
    if "tile" in group:
        group = {"block": str(Tile.parse(group["tile"]).block), **group}
    open_keys = [key for key in grain if key not in group]
    if not open_keys:
        return _settled(partitions[partition_id(grain, group)]())
    ids = {}
    for each in plan.groups(grain, group):
        rest = tuple(each[key] for key in open_keys)
        ids[rest[0] if len(rest) == 1 else rest] = partition_id(grain, each)
    return Selection(partitions, ids)
