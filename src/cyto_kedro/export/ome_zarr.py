"""A field as OME-Zarr 0.4: film, masks and cells in one place, each film with smaller copies of itself.

By the specification, https://ngff.openmicroscopy.org/0.4/. Masks are ``labels/<population>``. Tables are
no part of it: cells are Parquet files ``tables/<population>/table.parquet``, as ngio has them, joined
to the masks by ``frame`` and ``label``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cyto_kedro.blocks import Block
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.datasets.table import TableDataset
from cyto_kedro.export.field import FieldGraph, label_films
from cyto_kedro.partitions import partition_id

SMALLEST = 256  # pixels: no smaller copy of a film whose sides are within it
CHUNK = 1024
_COLOURS = {"effector": "00FF00", "target": "FF00FF", "death": "FF0000"}
# as ngio names tables: https://biovisioncenter.github.io/ngio
_TABLE = {"type": "generic_table", "table_version": "1", "backend": "parquet"}
Halve = Callable[[np.ndarray], np.ndarray]


def write_ome_zarr(path: Path, catalog: Any, manifest: Manifest, graph: FieldGraph) -> None:
    """Write the film of a field as it is analysed, its masks, and its cells."""
    import zarr

    image = zarr.open_group(str(path), mode="w", zarr_format=2)
    channels = list(manifest.channels)
    windows = _write_levels(image, _frames(catalog, manifest, graph.fov), _mean)
    size, step = graph.pixel_size_um, graph.frame_interval_s
    shapes = _shapes(image)
    image.attrs["multiscales"] = [_multiscales(graph.fov, shapes, size, step, "tcyx")]
    image.attrs["omero"] = {
        "version": "0.4",
        "channels": [
            {
                "label": channel,
                "color": _COLOURS.get(manifest.channel_roles.get(channel, ""), "FFFFFF"),
                "active": True,
                "window": window,
            }
            for channel, window in zip(channels, windows, strict=True)
        ],
    }
    labels = image.create_group("labels")
    labels.attrs["labels"] = list(manifest.populations)
    for population in manifest.populations:
        masks = labels.create_group(population)
        _write_levels(masks, label_films(catalog, manifest, graph.fov, population), _corner)
        shapes = _shapes(masks)
        masks.attrs["multiscales"] = [_multiscales(population, shapes, size, step, "tyx")]
        masks.attrs["image-label"] = {"version": "0.4", "source": {"image": "../../"}}
    tables = image.create_group("tables")
    tables.attrs["tables"] = list(manifest.populations)
    for population in manifest.populations:
        tables.create_group(population).attrs.update(_TABLE)
        cells = graph.nodes[graph.nodes["population"] == population].reset_index(drop=True)
        TableDataset(filepath=path / "tables" / population / "table.parquet").save(cells)


def _frames(catalog: Any, manifest: Manifest, fov: str) -> Iterable[np.ndarray]:
    """The film, a frame (C, Y, X) at a time."""
    parts, grain = catalog.load("raw_images"), ("fov", "channel", "block")
    for group in manifest.groups(("fov", "block"), {"fov": fov}):
        films = [
            parts[partition_id(grain, {**group, "channel": channel})]()
            for channel in manifest.channels
        ]
        for t in range(len(Block.parse(group["block"]))):
            yield np.stack([np.asarray(film[t]) for film in films])


def _write_levels(group: Any, frames: Iterable[np.ndarray], halve: Halve) -> list[dict[str, float]]:
    """Frames (…, Y, X) as arrays ``0``, ``1``, … of which each is half as large as that before.

    Returns the display range of each channel, of the first frame.
    """
    arrays: list[Any] = []
    windows: list[dict[str, float]] = []
    for t, frame in enumerate(frames):
        level, part = 0, frame
        while True:
            if t == 0:
                chunks = (1,) * (part.ndim - 1) + tuple(min(CHUNK, n) for n in part.shape[-2:])
                arrays.append(
                    group.create_array(
                        str(level),
                        shape=(0, *part.shape),
                        chunks=chunks,
                        dtype=part.dtype,
                        chunk_key_encoding={"name": "v2", "separator": "/"},
                        fill_value=0,
                    )
                )
            arrays[level].resize((t + 1, *part.shape))
            arrays[level][t] = part
            if max(part.shape[-2:]) <= SMALLEST:
                break
            level, part = level + 1, halve(part)
        if t == 0 and frame.ndim == 3:
            windows = [_window(channel) for channel in frame]
    return windows


def _window(channel: np.ndarray) -> dict[str, float]:
    start, end = (float(each) for each in np.percentile(channel, (1, 99.9)))
    least, most = float(channel.min()), float(channel.max())
    return {"start": start, "end": max(end, start + 1), "min": least, "max": max(most, least + 1)}


def _even(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[-2:]
    more = [(0, 0)] * (frame.ndim - 2) + [(0, height % 2), (0, width % 2)]
    return np.pad(frame, more, mode="edge")


def _mean(frame: np.ndarray) -> np.ndarray:
    """Half the size, by the mean of four pixels."""
    even = _even(frame)
    *rest, height, width = even.shape
    mean = even.reshape(*rest, height // 2, 2, width // 2, 2).mean(axis=(-3, -1))
    return (
        mean.round().astype(frame.dtype) if frame.dtype.kind in "iu" else mean.astype(frame.dtype)
    )


def _corner(frame: np.ndarray) -> np.ndarray:
    """Half the size, by one pixel of four: a mean of labels is none."""
    return frame[..., ::2, ::2]


def _shapes(group: Any) -> list[tuple[int, ...]]:
    names = sorted((name for name, _ in group.arrays()), key=int)
    return [group[name].shape for name in names]


def _multiscales(
    name: str,
    shapes: list[tuple[int, ...]],
    size_um: float | None,
    step_s: float | None,
    axes: str,
) -> dict[str, Any]:
    """Axes and scales; units only where calibration is known. Axes are of ``tcyx``."""
    kinds = {"t": ("time", "second"), "c": ("channel", None)}
    unit = {"t": step_s, "y": size_um, "x": size_um}
    said: list[Mapping[str, str]] = []
    for axis in axes:
        kind, named = kinds.get(axis, ("space", "micrometer"))
        known = {"unit": named} if named and unit.get(axis) is not None else {}
        said.append({"name": axis, "type": kind, **known})
    datasets = []
    for level in range(len(shapes)):
        scale = [(unit.get(a) or 1.0) * (2**level if a in "yx" else 1) for a in axes]
        # the middle of what a pixel stands for
        shift = [(unit.get(a) or 1.0) * (2**level - 1) / 2 if a in "yx" else 0.0 for a in axes]
        moves: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        moves += [{"type": "translation", "translation": shift}] if level else []
        datasets.append({"path": str(level), "coordinateTransformations": moves})
    return {"version": "0.4", "name": name, "axes": said, "datasets": datasets}
