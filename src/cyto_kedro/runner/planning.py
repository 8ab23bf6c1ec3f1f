"""From a node's groups to arrays of batches: pure, so that it is tested alone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cyto_kedro.runner.resources import ResourceFile, Resources

Group = Mapping[str, str]
Key = tuple[tuple[str, str], ...]
SLOTS = 64  # tasks at once that `batch_size: auto` reckons with where max_parallel says nothing


def key_of(group: Group) -> Key:
    """A group as something that can be looked up."""
    return tuple(sorted(group.items()))


@dataclass(frozen=True)
class Array:
    """Tasks of one node that ask for the same: one job array, one task per batch."""

    node: str
    resources: Resources
    batches: tuple[tuple[Group, ...], ...]
    #: 1 for the first try, counted up whenever its groups are run again
    attempt: int = 1
    #: how many of these tries were not the node's fault (a machine died, a job was preempted)
    restarts: int = 0

    @property
    def n_groups(self) -> int:
        """Groups in all batches."""
        return sum(len(batch) for batch in self.batches)

    @property
    def cpu_hours(self) -> float:
        """Core hours if every task used all the time it asks for."""
        asked = self.resources
        return len(self.batches) * asked.cpus_per_task * asked.time_s / 3600


def plan_node(
    node: str,
    groups: Sequence[Group],
    resources: ResourceFile,
    *,
    tags: Iterable[str] = (),
    pipelines: Iterable[str] = (),
    slots: int = SLOTS,
    total: int | None = None,
    whole_batches: bool = False,
) -> list[Array]:
    """Cut the groups of a node into batches, and these into arrays of equal resources.

    Parameters
    ----------
    node, tags, pipelines
        What the resources are looked up by.
    groups
        Groups to run, in order; a node without partitions has one, ``{}``.
    slots
        Tasks that the machine runs at once, where ``max_parallel`` says nothing.
    total
        Groups that the node will run in all, which sizes its batches (default: those given).
    whole_batches
        Leave out groups that fill no batch, since more are to come.
    """
    total = len(groups) if total is None else total
    tags, pipelines = tuple(tags), tuple(pipelines)
    found: dict[tuple[str, ...], Resources] = {}
    parts = tuple({part for key in resources.nodes if (part := _part(node, key))})
    by_resources: dict[str, tuple[Resources, list[Group]]] = {}
    for group in groups:
        # 10,000 groups have a handful of different resources: look each up once
        key = tuple(
            sorted(v for v in group.values() if any(v in part.split("/") for part in parts))
        )
        if key not in found:
            found[key] = resources.of(node, group, tags, pipelines)
        asked = found[key]
        by_resources.setdefault(asked.model_dump_json(), (asked, []))[1].append(group)
    arrays = []
    for asked, members in by_resources.values():
        size = _batch_size(asked, total, slots)
        end = len(members) - len(members) % size if whole_batches else len(members)
        batches = tuple(tuple(members[at : at + size]) for at in range(0, end, size))
        if batches:
            arrays.append(Array(node, asked, batches))
    return arrays


def _part(node: str, selector: str) -> str | None:
    name, _, rest = selector.partition("[")
    return rest.rstrip("]") if name == node and rest else None


def _batch_size(asked: Resources, total: int, slots: int) -> int:
    if asked.batch_size != "auto":
        return asked.batch_size
    return max(1, math.ceil(total / (4 * (asked.max_parallel or slots))))


def again(
    array: Array,
    batches: Iterable[Sequence[Group]],
    *,
    mem: bool,
    time: bool,
    restart: bool,
    limits: tuple[float | None, float | None] = (None, None),
) -> Array:
    """The array of a further try: `batches` with more memory, with more time, or as they were."""
    return replace(
        array,
        batches=tuple(tuple(batch) for batch in batches),
        resources=array.resources.more(mem=mem, time=time, limits=limits),
        attempt=array.attempt + 1,
        restarts=array.restarts + restart,
    )


def safe_name(text: str) -> str:
    """`text` as a folder's or a job's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._") or "node"
