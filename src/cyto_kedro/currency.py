"""What of a node's outputs is current: the ledger's entries against what a run would find now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import fsspec
from kedro.io import AbstractDataset
from kedro.pipeline.node import Node

from cyto_kedro.datasets.partitioned import PartitionedDataset
from cyto_kedro.errors import PartitionError
from cyto_kedro.journals import looked_at_once
from cyto_kedro.ledger import Entry, Ledger, changed, digest
from cyto_kedro.lift import Lifted, by_field, is_lifted, narrow, spec_of
from cyto_kedro.partitions import Partitions, Plan, parse_id

#: why a step is run whose inputs have no content that could be compared
EVERY_RUN = "made in every run: what it reads may have changed"


@dataclass(frozen=True)
class Stale:
    """A group of a node that has to be run, and why."""

    group: dict[str, str]
    reason: str


def plan_of(inputs: Mapping[str, Any]) -> Plan | None:
    """The plan among a node's loaded inputs."""
    return next((value for value in inputs.values() if isinstance(value, Plan)), None)


def input_digests(
    func: Callable[..., Any],
    inputs: Mapping[str, Any],
    group: Mapping[str, str],
    known: dict[tuple[str, ...], str] | None = None,
    now: bool = False,
) -> dict[str, str]:
    """One hash per input of a group, and one for the code (its name and version).

    Partitions are hashed by the content of the group's own, as it was when they were opened;
    everything else as `narrow` gives it. Inputs that the group does not use are left out.

    `known`: kept from group to group of the same inputs: what `narrow` gives is the same for all
    blocks of a field and population (tables are cut by field, parameters by population), and is
    hashed once. `now`: partitions as they are now, whatever was read of them: what a run would
    find. Raises PartitionError for an input whose content cannot be hashed: such a node is never
    current.
    """
    plan = plan_of(inputs)
    known = {} if known is None else known
    if ("code",) not in known:
        worker = spec_of(func).func if is_lifted(func) else func
        version = getattr(worker, "version", 1)
        known["code",] = digest([worker.__module__, worker.__name__, version])
    digests = {"code": known["code",]}
    used = spec_of(func).needed(inputs, group) if is_lifted(func) else inputs
    for name, value in used.items():
        seen = spec_of(func).seen(name, group, inputs) if is_lifted(func) else group
        if isinstance(value, Partitions):
            ids = plan.ids(value.grain, seen) if plan else value.source.list_ids()
            content = value.content if now else value.as_read
            digests[name] = digest([[each, content(each)] for each in ids])
        else:
            key = (name, *(f"{k}={v}" for k, v in seen.items() if k not in ("block", "tile")))
            if key not in known:
                part = narrow(value, plan, seen) if plan else value
                if part is not value:
                    known[key] = digest(part)
                else:  # the same for all groups
                    known[key] = known[name, ""] = known.get((name, "")) or digest(value)
            digests[name] = known[key]
    return digests


@dataclass(frozen=True)
class Place:
    """A dataset kept in one file: where the file is, and its ledger."""

    fs: fsspec.AbstractFileSystem
    path: str

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePosixPath(self.path).name

    @property
    def ledger(self) -> Ledger:
        """The ledger of the file's folder."""
        return Ledger(self.fs, str(PurePosixPath(self.path).parent))

    def content(self) -> str | None:
        """Hash of the file, or None when it is not there."""
        return self.ledger.content(self.name, self.path)

    def is_stranger(self) -> bool:
        """Whether a file is there that the ledger does not know."""
        return self.ledger.stranger(self.name, self.path) is not None


def place_of(dataset: AbstractDataset) -> Place | None:
    """Where a single-file dataset lies; None for what has no file."""
    path = getattr(dataset, "_filepath", None)
    if path is None:
        return None
    fs = getattr(dataset, "_fs", None) or fsspec.filesystem("file")
    return Place(fs, str(path))


def record(
    dataset: AbstractDataset, identity: str | None, inputs: dict[str, str], **more: Any
) -> Entry | None:
    """Write the ledger entry of what was just saved.

    None where there is no file to describe, or a person's correction was kept instead.
    """
    if isinstance(dataset, PartitionedDataset) and identity is not None:
        if dataset.correction(identity) is not None:
            dataset.restore(identity)  # it may have landed just now
            return None
        entry = dataset.record(identity, inputs, **more)
        dataset.restore(identity)
        return entry
    place = place_of(dataset)
    if place is None or not place.fs.isfile(place.path):
        return None
    return place.ledger.record(place.name, place.path, inputs, **more)


@looked_at_once()
def stale_groups(node: Node, inputs: Mapping[str, Any], catalog: Any) -> list[Stale]:
    """The groups of a node that are missing or made from something else than is there now.

    A node that was not lifted has one group, ``{}``.
    """
    plan = plan_of(inputs)
    outputs = [catalog.get(name) for name in node.outputs]
    if not is_lifted(node.func) or plan is None:
        given = [name for name, value in inputs.items() if is_there(value)]
        if any(getattr(catalog.get(name), "optional", False) for name in given):
            return [Stale({}, EVERY_RUN)]  # it may not fit the other inputs any more
        reason = _whole_reason(node, inputs, outputs)
        return [Stale({}, reason)] if reason else []
    spec = spec_of(node.func)
    found = []
    inputs = {name: by_field(value) for name, value in inputs.items()}
    known: dict[tuple[str, ...], str] = {}
    for group in spec.groups(plan):
        digests = input_digests(node.func, inputs, group, known, now=True)
        reason = _group_reason(spec, plan, group, digests, outputs)
        if reason:
            found.append(Stale(group, reason))
    return found


def is_there(value: Any) -> bool:
    """Whether an optional input was made."""
    return value is not None and not (isinstance(value, Partitions) and not len(value))


def _group_reason(
    spec: Lifted,
    plan: Plan,
    group: dict[str, str],
    digests: dict[str, str],
    outputs: list[AbstractDataset],
) -> str | None:
    for grain, output in zip(spec.outs, outputs, strict=True):
        if not isinstance(output, PartitionedDataset):
            raise PartitionError(f"{type(output).__name__} cannot hold the partitions of a node")
        for identity in plan.ids(grain, group):
            try:
                of_person = output.corrections.read(identity)
                own = None if of_person else output.ledger.read(identity)
                content = output.content(identity, own)
                reason = _reason(of_person or own, content, digests, identity)
            except PartitionError as error:  # this group fails when it is saved, and no other
                reason = str(error)
            if reason:
                return f"{output.name}: {reason}"
    return None


def _whole_reason(
    node: Node, inputs: Mapping[str, Any], outputs: list[AbstractDataset]
) -> str | None:
    try:
        digests = input_digests(node.func, inputs, {}, now=True)
    except PartitionError:
        return EVERY_RUN
    for name, output in zip(node.outputs, outputs, strict=True):
        place = place_of(output)
        if place is None:
            return f"{name} is not kept in a file"
        reason = _reason(place.ledger.read(place.name), place.content(), digests, name)
        if reason:
            return reason
    return None


def _reason(
    entry: Entry | None, content: str | None, digests: dict[str, str], what: str
) -> str | None:
    """Why a saved thing is not current, or None when it is."""
    if content is None:
        return f"{what} is missing"
    if entry is None:
        return f"{what} is in no ledger"
    if entry.correction is not None and entry.content == content:
        return None
    if entry.correction is not None:
        return (
            f"{what} was changed after {entry.correction.who} corrected it (put the change in place "
            "with `kedro cyto correct`; else the correction is put back, the change moved aside)"
        )
    if entry.content != content:
        return f"{what} was changed outside the project (put it in place with `kedro cyto correct`)"
    different = changed(entry, digests)
    return f"{what} was made from another {', '.join(different)}" if different else None


def group_of(spec: Lifted, out: int, identity: str) -> dict[str, str]:
    """The group that makes partition `identity` of output number `out`."""
    keys = parse_id(spec.outs[out], identity)
    return {key: keys[key] for key in spec.by}
