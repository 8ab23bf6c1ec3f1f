"""GEFF, the graph exchange of live imaging, https://liveimagetrackingtools.org/geff: nodes, edges.

Read from its Zarr group as its specification says, versions 0.4 to 1. Masks are our own.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.errors import InputError
from cyto_kedro.importing.place import Found, Place
from cyto_kedro.importing.spots import laid_on_masks, pixels_per, spots_film

log = logging.getLogger(__name__)

_LABELS = ("label", "seg_id", "segmentation_id", "mask_id")
_OURS = ("track", "division")  # of the kinds of edges that our own export has


def is_geff(path: Path) -> bool:
    """Whether a folder is a GEFF."""
    for name in (".zattrs", "zarr.json"):
        if (path / name).is_file():
            try:
                said = json.loads((path / name).read_text("utf-8"))
            except ValueError:
                return False
            return "geff" in said.get("attributes", said)
    return False


def geff(path: Path, place: Place) -> Found:
    """Nodes and edges as tracks of our masks; of our own export, those of the population alone.

    Raises InputError if it is damaged, its axes are not time and two of space, times are not frame
    numbers, units are unknown, or it has no node of the population.
    """
    import zarr

    try:
        group: Any = zarr.open_group(str(path), mode="r")
        said: dict[str, Any] = dict(group.attrs["geff"])
        axes = list(said.get("axes") or [])
        ids = np.asarray(group["nodes/ids"]).astype(np.int64)
        edges = np.asarray(group["edges/ids"]).astype(np.int64).reshape(-1, 2)
        names = [*(axis["name"] for axis in axes), *_LABELS, "population", "radius"]
        held = set(group["nodes/props"]) if "nodes/props" in group else set()
        columns = {name: _property(group, "nodes", name) for name in {*names} & held}
        flags = [name for name in _OURS if f"edges/props/{name}" in group]
        kept = [_property(group, "edges", name) for name in flags]
        nodes = pd.DataFrame({"spot_id": ids, **columns})
    except (KeyError, ValueError, TypeError, OSError, RuntimeError) as error:
        raise InputError(f"{path} is not a whole GEFF ({error!r}); export it again") from error
    extra = said.get("extra") or {}
    if extra.get("fov") not in (None, place.fov):
        log.warning("%s is of field %r, and is taken for %r", path, extra["fov"], place.fov)
    if kept:
        edges = edges[np.logical_or.reduce([each.fillna(0).to_numpy(bool) for each in kept])]
    if "population" in nodes:
        populations = sorted(set(nodes["population"].dropna()))
        nodes = nodes[nodes["population"] == place.population]
        if not len(nodes):
            raise InputError(f"{path} has no node of {place.population!r}, only of {populations}")
    spots = _in_pixels(nodes, axes, place, str(path), ours="fov" in extra)
    links = pd.DataFrame(edges, columns=["source", "target"])
    links = _forward(links, spots, str(path), strict="population" not in nodes)
    film = spots_film("GEFF", spots, links, place, str(path), seen="fov" in extra)
    return laid_on_masks(film, place, str(path))


def _property(group: Any, part: str, name: str) -> pd.Series:
    values = pd.Series(np.asarray(group[f"{part}/props/{name}/values"]))
    if f"{part}/props/{name}/missing" not in group:
        return values
    missing = np.asarray(group[f"{part}/props/{name}/missing"]).astype(bool)
    whole = values.dtype.kind in "iu"
    return (values.astype("Int64") if whole else values).mask(missing)


def _in_pixels(
    nodes: pd.DataFrame, axes: list[dict[str, Any]], place: Place, where: str, ours: bool
) -> pd.DataFrame:
    """`nodes` as spots: frame, positions in pixels."""
    time = [axis["name"] for axis in axes if axis.get("type") == "time"]
    space = [axis for axis in axes if axis.get("type") == "space"]
    by_name = {axis["name"][0].lower(): axis for axis in space}
    plane = [by_name["y"], by_name["x"]] if {"y", "x"} <= {*by_name} else space[-2:]
    lacking = [name for name in time if name not in nodes]
    lacking += [axis["name"] for axis in plane if axis["name"] not in nodes]
    if len(time) != 1 or len(space) < 2 or lacking:
        raise InputError(
            f"{where}: its axes must be one of time and y and x of space, with a property of nodes for "
            f"each; it names {[axis['name'] for axis in axes]}"
            + (f", and no node has {lacking[0]!r}" if lacking else "")
        )
    for axis in space:
        if not any(axis is each for each in plane) and nodes[axis["name"]].nunique() > 1:  # noqa: PD101
            raise InputError(
                f"{where}: nodes lie in several planes ({axis['name']}); films are flat"
            )
    found = {"spot_id": nodes["spot_id"]}
    t = pd.to_numeric(nodes[time[0]])
    if not (t.notna() & (t == t.round())).all():
        raise InputError(f"{where}: times of nodes ({time[0]}) must be numbers of frames, from 0")
    found["frame"] = t.astype(np.int64)
    scale = 1.0
    for key, axis in zip(("y_px", "x_px"), plane, strict=True):
        scale = pixels_per(str(axis.get("unit") or "pixel"), place, where, seen=ours)
        found[key] = nodes[axis["name"]].astype(float) * scale
    radius = nodes.get("radius", pd.Series(np.nan, nodes.index))
    found["radius_px"] = pd.to_numeric(radius, errors="coerce") * scale
    spots = pd.DataFrame(found)
    if not np.isfinite(spots[["y_px", "x_px"]]).all(axis=None):
        raise InputError(f"{where}: a node has no position")
    named = next((name for name in _LABELS if name in nodes), None)
    return spots if named is None else spots.assign(label=nodes[named].astype("Int64"))


def _forward(links: pd.DataFrame, spots: pd.DataFrame, where: str, strict: bool) -> pd.DataFrame:
    """Links from the earlier node to the later one. Raises InputError if one names a stranger."""
    frame = spots.set_index("spot_id")["frame"]
    if frame.index.has_duplicates:
        raise InputError(
            f"{where}: two nodes have the id {frame.index[frame.index.duplicated()][0]}"
        )
    known = links.isin(set(frame.index)).all(axis=1)
    if strict and not known.all():
        raise InputError(f"{where}: an edge names a node that is not there; export it again")
    links = links[known].reset_index(drop=True)
    ends = links.apply(lambda column: column.map(frame)).to_numpy().reshape(-1, 2)
    if level := int((ends[:, 0] == ends[:, 1]).sum()):
        log.warning("%s: %d edges join nodes of one frame and are left out", where, level)
    backwards = ends[:, 0] > ends[:, 1]
    links.loc[backwards, ["source", "target"]] = links.loc[
        backwards, ["target", "source"]
    ].to_numpy()
    return links[ends[:, 0] != ends[:, 1]].reset_index(drop=True)
