"""From edits to corrections: what is put in place, what will be redone, how long that takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.pipeline import Pipeline

from cyto_kedro import schemas
from cyto_kedro.corrections import keep, writing
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.lift import is_lifted, spec_of
from cyto_kedro.partitions import parse_id, partition_id
from cyto_kedro.runner import history
from cyto_kedro.runner.report import about
from cyto_kedro.viewing.films import EditedMasks, blocks_of
from cyto_kedro.viewing.track_edits import fitted_to_masks

SOURCE = Path("napari")


@dataclass(frozen=True)
class Change:
    """A partition as a person wants it."""

    dataset: str
    partition: str
    data: Any


def changes(
    catalog: Any,
    fov: str,
    masks: Mapping[str, EditedMasks],
    tracks: Mapping[str, pd.DataFrame],
    events: Mapping[str, pd.DataFrame],
) -> list[Change]:
    """What edits of a field come to, by population.

    Where masks were changed, tracks that a person holds (edited now, or corrected before) are fitted to
    them: else they would name masks that are gone, and no node would make them again.
    """
    manifest: Manifest = catalog.load("manifest")
    labels, track_points = catalog.get("labels"), catalog.get("track_points")
    made = []
    for population in manifest.populations:
        edited = masks.get(population)
        changed = {} if edited is None else edited.changed()
        if edited is not None:
            blocks = blocks_of(manifest, fov, population, labels.grain, edited)
            made += [Change("labels", name, data) for name, data in blocks]
        group = {"fov": fov, "population": population}
        name = partition_id(track_points.grain, group)
        points = tracks.get(population)
        if points is None and changed and track_points.correction(name) is not None:
            points = track_points.load_one(name)
        if points is not None:
            pixel = manifest.fovs[fov].pixel_size_um
            data = fitted_to_masks(points, changed, pixel) if changed else points
            made.append(Change("track_points", name, data))
        if population in events:
            name = partition_id(catalog.get("event_corrections").grain, group)
            table = schemas.conform(schemas.EventCorrections, events[population])
            made.append(Change("event_corrections", name, table))
    return made


def save(catalog: Any, given: Iterable[Change], who: str, why: str) -> None:
    """Put changes in place through the door of corrections, under the datasets' leases."""
    given = list(given)
    with writing(catalog, *sorted({each.dataset for each in given})):
        for each in given:
            keep(catalog, each.dataset, each.partition, each.data, SOURCE, who, why)


def redone(
    pipeline: Pipeline,
    manifest: Manifest,
    given: Sequence[Change],
    grains: Mapping[str, tuple[str, ...]],
    seconds: Mapping[str, float],
) -> pd.DataFrame:
    """What the next run redoes at most: one row per node, ``node``, ``groups``, ``seconds``.

    A node whose result turns out equal spares those after it.

    Parameters
    ----------
    grains
        Of the changed datasets.
    seconds
        What a group of a node took in earlier runs; unknown ones count as none.
    """
    rows = []
    names = sorted({each.dataset for each in given} & pipeline.datasets())
    touched: dict[str, list[dict[str, str]]] = {
        name: [parse_id(grains[name], each.partition) for each in given if each.dataset == name]
        for name in names
    }
    for node in pipeline.from_inputs(*names).nodes if names else []:
        if node.outputs[0] in names:  # a correction is not made again
            continue
        seen = [group for name in node.inputs for group in touched.get(name, [])]
        if is_lifted(node.func):
            spec = spec_of(node.func)
            groups = [
                each
                for each in manifest.groups(spec.by)
                if any(all(each.get(k, v) == v for k, v in group.items()) for group in seen)
            ]
            out = groups
        else:
            groups, out = [{}], [{}]
        for name in node.outputs:
            touched[name] = out
        n = len(groups)
        rows.append({"node": node.name, "groups": n, "seconds": n * seconds.get(node.name, 0.0)})
    return pd.DataFrame(rows, columns=["node", "groups", "seconds"])


def seconds_of(runs: Path) -> dict[str, float]:
    """Node -> mean seconds that a partition of it took, in the newest run that made any."""
    found: dict[str, float] = {}
    for path in sorted(runs.glob("*/manifest.json"), reverse=True):
        try:
            table = pd.DataFrame(history.read(path.parent).get("partitions", []))
        except (OSError, ValueError, KeyError):
            continue
        if {"node", "seconds"} <= set(table.columns):
            for node, mean in table.groupby("node")["seconds"].mean().items():
                found.setdefault(str(node), float(mean))
    return found


def told(plan: pd.DataFrame) -> str:
    """`redone` in a few words, for a person about to save.

    Examples
    --------
    >>> told(pd.DataFrame({"node": ["track"], "groups": [2], "seconds": [1.5]}))
    'The next kedro run redoes at most 1 step (track), about 2 s.'
    """
    if not len(plan):
        return "Nothing has to be redone."
    names = ", ".join(plan["node"].head(8)) + (", …" if len(plan) > 8 else "")
    time = plan["seconds"].sum()
    steps = "step" if len(plan) == 1 else "steps"
    spent = about(time) if time > 0 else "for a time that no earlier run tells"
    return f"The next kedro run redoes at most {len(plan)} {steps} ({names}), {spent}."
