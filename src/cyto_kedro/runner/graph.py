"""What the runners ask of a pipeline: what is to run, where its nodes live, where it writes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from cyto_kedro.currency import place_of, plan_of, stale_groups
from cyto_kedro.datasets.partitioned import PartitionedDataset
from cyto_kedro.errors import ConfigError
from cyto_kedro.lift import is_lifted, spec_of
from cyto_kedro.runner.planning import Group
from cyto_kedro.runner.resources import ResourceFile

log = logging.getLogger(__name__)


def find_stale(node: Node, catalog: Any, only_stale: bool) -> tuple[list[Group] | None, str]:
    """The groups of a node to run, and why; None where a whole node is to run.

    The plan may not be there yet in a dry run: what its loading raises is the caller's.
    """
    if not only_stale and not is_lifted(node.func):
        return None, "all"
    inputs = {name: catalog.load(name) for name in node.inputs}
    if only_stale:
        stale = stale_groups(node, inputs, catalog)
        if not stale:
            return [], "current"
        groups: list[Group] = [each.group for each in stale]
        return (groups if is_lifted(node.func) else None), stale[0].reason
    return _groups(node, inputs), "all"


def groups_of(node: Node, catalog: Any) -> list[Group]:
    """All groups of a lifted node, in the plan's order."""
    return _groups(node, {name: catalog.load(name) for name in node.inputs})


def _groups(node: Node, inputs: Mapping[str, Any]) -> list[Group]:
    plan = plan_of(inputs)
    if plan is None:
        raise ConfigError(f"{node.name}: it has partitions, but no manifest among its inputs")
    return list(spec_of(node.func).groups(plan))


def is_light(node: Node, file: ResourceFile, homes: Any) -> bool:
    """Whether a node runs in the driver: by its resources, else because it has no partitions."""
    light = file.of(node.name, None, node.tags, homes.get(node.name, ())).light
    return not is_lifted(node.func) if light is None else light


def pipelines_of(pipeline: Pipeline) -> Mapping[str, list[str]]:
    """The registered pipelines that hold each node of a run, the smallest first."""
    from kedro.framework.project import pipelines

    sized = sorted((len(found.nodes), name) for name, found in pipelines.items())
    holds = {name: {node.name for node in pipelines[name].nodes} for _, name in sized}
    return {
        node.name: [name for _, name in sized if node.name in holds[name]]
        for node in pipeline.nodes
    }


def output_places(pipeline: Pipeline, catalog: Any) -> list[str]:
    """Where a run writes: path (or name) of every output that outlives the process."""
    return places_of(catalog, (name for node in pipeline.nodes for name in node.outputs))


def places_of(catalog: Any, names: Iterable[str]) -> list[str]:
    """Path (or URL) of every dataset that is kept in files."""
    places = []
    for name in names:
        dataset = catalog.get(name)
        path = getattr(dataset, "_path", None) or getattr(dataset, "_filepath", None)
        fs = getattr(dataset, "_fs", None)
        if path is None:
            continue
        if str(path).startswith("file://"):
            path = LocalFileSystem._strip_protocol(str(path))
        if "://" in str(path):
            places.append(str(path))
        elif fs is not None and not isinstance(fs, LocalFileSystem):
            places.append(str(fs.unstrip_protocol(str(path))))
        else:
            places.append(str(Path(str(path)).absolute()))
    return places


def sweep(pipeline: Pipeline, catalog: Any) -> None:
    """Remove what killed workers left half written where this run writes."""
    for name in {name for node in pipeline.nodes for name in node.outputs}:
        dataset = catalog.get(name)
        if isinstance(dataset, PartitionedDataset) and (count := dataset.sweep()):
            log.info("%s: removed %d half-written files of killed writers", name, count)


def merge_ledgers(hold: Any, nodes: Iterable[Node], catalog: Any) -> None:
    """Put the ledger of each output of `nodes` into one file, while their lease (`Hold`) is held."""
    if hold is None or hold.lost.is_set():
        return
    for name in {name for node in nodes for name in node.outputs}:
        dataset = catalog.get(name)
        if isinstance(dataset, PartitionedDataset):
            dataset.ledger.merge()
            dataset.corrections.merge()
        elif (place := place_of(dataset)) is not None:
            place.ledger.merge()
