"""Which groups of a node can run: a group needs its own input partitions, not all of them.

A group of a node needs the groups of a producer that agree with it on the keys that both have: that
is what `lift` hands to it. So a node starts on what its producers have finished, and a group that
failed stops only what is made from it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from cyto_kedro.blocks import Tile
from cyto_kedro.lift import is_lifted, spec_of
from cyto_kedro.runner.backend import Submission
from cyto_kedro.runner.planning import Group, Key, key_of
from cyto_kedro.runner.report import Failure, left


def ready(
    node: Node,
    groups: Sequence[Group],
    missing: Mapping[Node, Collection[Group]],
    parameters: Mapping[str, Any] | None = None,
) -> list[Group]:
    """Those of a node's `groups` that need none of what is `missing` of its producers.

    `parameters`: of the node, by name, which say what it looks at where that is up to them.
    """
    spec, found = spec_of(node.func), list(groups)
    for maker, absent in missing.items():
        gone = [_with_block(group) for group in absent]
        if not found or not gone:
            continue
        seen = dict.fromkeys((*spec.by, "block"), "")
        for name in {*node.inputs} & {*maker.outputs}:  # a wide input is seen for all blocks
            for group in groups if spec.looking else [seen]:
                kept = spec.seen(name, {**dict.fromkeys(seen, ""), **group}, parameters)
                seen = {key: "" for key in seen if key in kept}
        shared = [key for key in seen if key in gone[0] and key in _with_block(found[0])]
        stops = {tuple(group[key] for key in shared) for group in gone}
        held = [_with_block(group) for group in found]
        found = [
            group
            for group, keys in zip(found, held, strict=True)
            if tuple(keys[key] for key in shared) not in stops
        ]
    return found


def _with_block(group: Group) -> Group:
    """A group of tiles is of a block, too."""
    return {**group, "block": str(Tile.parse(group["tile"]).block)} if "tile" in group else group


@dataclass
class NodeRun:
    """What the driver keeps of a node that has started."""

    node: Node
    total: int = 0
    done: int = 0
    ended: int = 0  # tasks
    open: int = 0  # tasks submitted, and batches that wait to be
    #: groups that cannot run since what they need failed
    cut: int = 0
    #: groups whose inputs are not all there
    waiting: list[Group] = field(default_factory=list)
    #: groups that can run, and wait until a batch is full
    fresh: list[Group] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    adopted: set[Submission] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)
    seen: int = -1

    @property
    def over(self) -> bool:
        """Whether nothing of it runs or waits."""
        return not (self.open or self.adopted or self.waiting or self.fresh)

    def progress(self, states: Mapping[str, int]) -> str:
        """How far it is, in a line; `states` counts tasks by node and state."""
        name, failed = self.node.name, len(self.failures)
        running, pending = states.get(f"{name} running", 0), states.get(f"{name} pending", 0)
        why = [
            f"{key.partition(' waits: ')[2]} {n}"
            for key, n in sorted(states.items())
            if key.startswith(f"{name} waits: ")
        ]
        waits = f" ({', '.join(why)})" if why else ""
        rest = left(self.done + failed, self.total, time.monotonic() - self.began)
        return (
            f"{name}: {self.done} of {self.total} partitions done, {failed} failed; "
            f"{running} tasks running, {pending} pending{waits}{rest}"
        )


class Flow:
    """What has ended, what is missing of what runs or ended in part, and what cannot run.

    Attributes
    ----------
    ended
        Nodes that are done.
    missing
        For lifted nodes that run, or ended without all of their groups: the groups not there.
    blocked
        Nodes that ended without all of their groups, or did not run; whether they failed themselves.
    version
        Counted up whenever something came to be there.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._needs: Mapping[Node, Any] = pipeline.node_dependencies
        self.ended: set[Node] = set()
        self.missing: dict[Node, dict[Key, Group]] = {}
        self.blocked: dict[Node, bool] = {}
        self.version = 0

    def never(self, node: Node) -> bool:
        """Whether a node can run no group of its own: a node that it needs as a whole failed."""
        failed = self._needs[node] & self.blocked.keys()
        return any(each not in self.missing or not is_lifted(node.func) for each in failed)

    def may_start(self, node: Node, whole: bool) -> bool:
        """Whether the inputs of a node are there, or (unless `whole`) come in group by group."""
        needs = self._needs[node] - self.ended
        if not needs:
            return True
        if not is_lifted(node.func):
            return False
        over = all(each in self.blocked for each in needs)
        return all(each in self.missing for each in needs) and (over or not whole)

    def missing_for(self, node: Node) -> dict[Node, Collection[Group]]:
        """What is missing of each producer of a node."""
        found = self._needs[node] & self.missing.keys()
        return {each: self.missing[each].values() for each in found}

    def runs_on(self, node: Node) -> bool:
        """Whether a producer of a node still runs, so that more of its groups may become ready."""
        return any(each not in self.blocked for each in self._needs[node] & self.missing.keys())

    def expect(self, node: Node, groups: Sequence[Group]) -> None:
        """A node begins that will make these groups."""
        self.missing[node] = {key_of(group): group for group in groups}

    def made(self, node: Node, group: Group) -> None:
        """A group is there."""
        self.missing.get(node, {}).pop(key_of(group), None)
        self.version += 1

    def end(self, node: Node, failed: bool, cut: bool = False) -> None:
        """A node ended: done, failed itself, or cut short by what it needs."""
        self.version += 1
        if failed or cut:
            self.blocked[node] = failed
        else:
            self.missing.pop(node, None)
            self.ended.add(node)
