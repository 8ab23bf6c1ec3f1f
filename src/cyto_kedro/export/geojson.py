"""Cells as polygons: a GeoJSON that QuPath and `kedro cyto import` read.

Coordinates are pixels of the film in the files, from the corner of the top-left one; frames are its
frames, from 0. A cell has the outline that was drawn of it, where its mask is still that one; else the
line half-way between its pixels and those around it, of which the same mask comes back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.core import ndi
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.datasets.planned import whole_shape
from cyto_kedro.export.field import FieldGraph, label_films
from cyto_kedro.partitions import partition_id

Rings = list[np.ndarray]


def write_geojson(
    path: Path, catalog: Any, manifest: Manifest, graph: FieldGraph, population: str
) -> None:
    """Write the cells of a population of a field, a feature per cell and frame."""
    view, fov = manifest.view, graph.fov
    y0, _, x0, _ = view.crop_px or (0, 0, 0, 0)
    corner, k = np.array([y0, x0], float), view.bin_px
    frames = view.frames(whole_shape(manifest, fov)[0])
    drawn = _drawn(catalog, manifest, fov, population)
    own = graph.nodes[graph.nodes["population"] == population].dropna(subset=["label"])
    tracks = {
        (frame, label): track
        for frame, label, track in own[["frame", "label", "track_id"]].itertuples(index=False)
    }
    masks = label_films(catalog, manifest, fov, population)
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        before = "\n"
        for t, mask in enumerate(masks):
            for label, rings in outlines_of(mask, drawn.get(t, {})):
                whole = [ring * k + corner + k / 2 for ring in rings]
                geometry = as_geometry(whole) | {"plane": {"c": -1, "z": 0, "t": frames[t]}}
                said = {"frame": frames[t], "label": label, "name": f"{population} {label}"}
                if (t, label) in tracks:
                    said["track_id"] = int(tracks[t, label])
                    said["name"] = f"{population} {said['track_id']}"
                feature = {"type": "Feature", "geometry": geometry, "properties": said}
                file.write(before + json.dumps(feature))
                before = ",\n"
        file.write("\n]}\n")


def _drawn(
    catalog: Any, manifest: Manifest, fov: str, population: str
) -> dict[int, dict[int, tuple[int, Rings]]]:
    """Frame -> label -> the digest of its mask, and its rings."""
    from cyto_kedro.schemas import Outlines, empty

    dataset = catalog.get("outlines")
    groups = manifest.groups(dataset.grain, {"fov": fov, "population": population})
    tables = [dataset.load_one(partition_id(dataset.grain, group)) for group in groups]
    rows = pd.concat([empty(Outlines), *(each for each in tables if each is not None)])
    found: dict[int, dict[int, tuple[int, Rings]]] = {}
    order = rows.sort_values(["frame", "label", "ring", "corner"])
    for _, ring in order.groupby(["frame", "label", "ring"]):
        frame, label, digest = map(int, ring[["frame", "label", "mask_digest"]].iloc[0])
        _, rings = found.setdefault(frame, {}).setdefault(label, (digest, []))
        rings.append(ring[["y_px", "x_px"]].to_numpy())
    return found


def outlines_of(
    mask: np.ndarray, drawn: dict[int, tuple[int, Rings]]
) -> Iterator[tuple[int, Rings]]:
    """Label and rings, (n, 2) y and x from the centre of the top-left pixel, of each cell of a frame."""
    from skimage.measure import find_contours

    from cyto_kedro.algorithms.tabulation.drawn import mask_digests

    labels, digests = mask_digests(mask)
    numbered = np.zeros(mask.shape, np.int32)
    inside = mask > 0
    numbered[inside] = np.searchsorted(labels, mask[inside]) + 1
    boxes = ndi.find_objects(numbered)
    cells = zip(labels.tolist(), digests.tolist(), boxes, strict=True)
    for number, (label, digest, box) in enumerate(cells, 1):
        known, rings = drawn.get(label, (None, []))
        if known != digest:
            part = np.pad(numbered[box] == number, 1).astype(float)
            corner = np.array([box[0].start - 1, box[1].start - 1])
            rings = [ring[:-1] + corner for ring in find_contours(part, 0.5)]
        yield label, rings


def as_geometry(rings: Rings) -> dict[str, Any]:
    """A Polygon, or a MultiPolygon, of rings of which what lies in an odd number is inside."""
    holders = [
        [j for j, other in enumerate(rings) if j != i and _holds(other, ring[0])]
        for i, ring in enumerate(rings)
    ]
    parts: dict[int, list[Any]] = {
        i: [_closed(ring)] for i, ring in enumerate(rings) if len(holders[i]) % 2 == 0
    }
    for i, ring in enumerate(rings):
        if i not in parts:
            parts[max(holders[i], key=lambda j: len(holders[j]))].append(_closed(ring))
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": next(iter(parts.values()))}
    return {"type": "MultiPolygon", "coordinates": list(parts.values())}


def _closed(ring: np.ndarray) -> list[list[float]]:
    corners: list[list[float]] = ring[:, ::-1].tolist()
    return [*corners, corners[0]]


def _holds(ring: np.ndarray, point: np.ndarray) -> bool:
    """Whether a point lies in a ring: an odd number of its edges to the right."""
    (y, x), after = ring.T, np.roll(ring, -1, axis=0).T
    passed = (y > point[0]) != (after[0] > point[0])
    share = (point[0] - y[passed]) / (after[0] - y)[passed]
    right = x[passed] + share * (after[1] - x)[passed] > point[1]
    return bool(right.sum() % 2)
