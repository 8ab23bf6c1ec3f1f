"""OME-Zarr as napari's plugin and the format's own library read it, and plates that the latter wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr

from cyto_kedro.datasets.raw import open_raw, scan
from cyto_kedro.export import ome_zarr
from cyto_kedro.export.field import FieldGraph
from tiny_project import FOVS, N_FRAMES, POPULATIONS, Project

pytestmark = pytest.mark.companion("napari", "napari_ome_zarr", "ome_zarr")
SCALE = (60.0, 0.5, 0.5)
SIDE = 96


def layers(path: Path) -> dict[str, Any]:
    """What napari makes of a file by its plugin, without a window."""
    from napari.components import ViewerModel
    from npe2 import PluginManager

    PluginManager.instance().discover()
    model = ViewerModel()
    model.open(str(path), plugin="napari-ome-zarr")
    return {layer.name: layer for layer in model.layers}


@pytest.fixture(scope="module")
def exported(tiny_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A field with two smaller copies of itself and masks of their own in each frame; its film."""
    folder = tmp_path_factory.mktemp("viewed")
    project = Project.make(folder / "project", tiny_raw)
    project.run("ingestion")
    catalog, manifest = project.catalog, project.catalog.load("manifest")
    catalog.save(
        "labels",
        {
            "/".join(group.values()): masks(group["population"])[_frames(group["block"])]
            for group in manifest.groups(("fov", "population", "block"), {"fov": FOVS[1]})
        },
    )
    nodes = pd.DataFrame({"population": ["TCell"], "frame": [0], "label": [1]})
    graph = FieldGraph(FOVS[1], (SIDE, SIDE), N_FRAMES, 0.5, 60.0, nodes, pd.DataFrame())
    path = folder / f"{FOVS[1]}.ome.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ome_zarr, "SMALLEST", 30)
        ome_zarr.write_ome_zarr(path, catalog, manifest, graph)
    raw = {each.channel: each for each in manifest.raw if each.fov == FOVS[1]}
    source = catalog.load("raw_images").source
    return path, np.stack([source.open(raw[each]).compute() for each in manifest.channels], 1)


def _frames(block: str) -> slice:
    first, last = (int(n) for n in block.removeprefix("t").split("-"))
    return slice(first, last + 1)


def masks(population: str) -> np.ndarray:
    """Squares that move, with large labels."""
    made = np.zeros((N_FRAMES, SIDE, SIDE), np.uint32)
    for t in range(N_FRAMES):
        made[t, 5 + t : 20 + t, 30:50] = 70_000 + t + POPULATIONS.index(population)
    return made


def test_napari_shows_a_field_as_it_is(exported: tuple[Path, np.ndarray]) -> None:
    path, film = exported
    shown = layers(path)
    channels = ("TCell", "CancerCell", "Dead")
    assert list(shown) == [
        *(f"{FOVS[1]}: {each}" for each in channels),
        *(f"labels/labels/{each}" for each in POPULATIONS),
    ]
    for layer in shown.values():
        assert tuple(layer.scale) == SCALE and not any(layer.translate)
        assert [str(unit) for unit in layer.units] == ["second", "micrometer", "micrometer"]
        assert tuple(layer.axis_labels) == ("t", "y", "x")
        assert [level.shape[1:] for level in layer.data] == [(n, n) for n in (96, 48, 24)]
    for number, channel in enumerate(channels):
        layer = shown[f"{FOVS[1]}: {channel}"]
        np.testing.assert_array_equal(layer.data[0], film[:, number])
        low, high = layer.contrast_limits
        assert low >= film[:, number].min() and high <= film[:, number].max() + 1
    for population in POPULATIONS:
        layer = shown[f"labels/labels/{population}"]
        np.testing.assert_array_equal(layer.data[0], masks(population))
        # what is seen at a place is the same whichever copy is drawn
        np.testing.assert_array_equal(layer.data[2], masks(population)[:, ::4, ::4])


def test_the_format_s_own_library_reads_the_same(exported: tuple[Path, np.ndarray]) -> None:
    from ome_zarr.format import FormatV04
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    path, film = exported
    image, _, *labels = Reader(parse_url(path, fmt=FormatV04()))()
    np.testing.assert_array_equal(image.data[0], film)
    said = image.metadata
    assert said["channel_names"] == ["TCell", "CancerCell", "Dead"]
    first, second, third = said["coordinateTransformations"]
    assert first == [{"type": "scale", "scale": [60.0, 1.0, 0.5, 0.5]}]
    assert second[0]["scale"][2:] == [1.0, 1.0] and third[0]["scale"][2:] == [2.0, 2.0]
    # the middle of the first pixel of a copy, from the middle of the first pixel
    assert second[1]["translation"][2:] == [0.25, 0.25]
    assert third[1]["translation"][2:] == [0.75, 0.75]
    for node, population in zip(labels, POPULATIONS, strict=True):
        assert node.metadata["name"] == population
        np.testing.assert_array_equal(node.data[0], masks(population))


WELLS = {"A/1": 0, "B/3": 1}


def film_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 4000, (3, 2, 20, 24)).astype(np.uint16)


def write_plate(path: Path, version: str) -> None:
    """A plate as the format's own library writes it, with masks."""
    from ome_zarr import writer
    from ome_zarr.format import format_from_version

    fmt = format_from_version(version)
    plate = zarr.open_group(str(path), mode="w", zarr_format=fmt.zarr_format)
    writer.write_plate_metadata(plate, ["A", "B"], ["1", "2", "3"], list(WELLS), fmt=fmt, name="P9")
    units = {"t": ("time", "second"), "y": ("space", "micrometer"), "x": ("space", "micrometer")}
    axes = [
        {"name": a, "type": units[a][0], "unit": units[a][1]}
        if a in units
        else {"name": a, "type": "channel"}
        for a in "tcyx"
    ]
    for well, number in WELLS.items():
        group = plate.require_group(well)
        writer.write_well_metadata(group, ["0"], fmt=fmt)
        image = group.require_group("0")
        scale = [{"type": "scale", "scale": [120.0, 1.0, 0.5, 0.5]}]
        writer.write_multiscale(
            [film_of(number)], image, fmt=fmt, axes=axes, coordinate_transformations=[scale]
        )
        shown = {"color": "FFFFFF", "window": {"start": 0, "end": 9, "min": 0, "max": 9}}
        channels = [{"label": name, **shown} for name in ("TCell", "Dead")]
        writer.add_metadata(image, {"omero": {"channels": channels}}, fmt=fmt)
        writer.write_multiscale_labels(
            [film_of(number)[:, 0] % 5],
            image,
            "cells",
            fmt=fmt,
            axes=[axes[0], *axes[2:]],
            coordinate_transformations=[[{"type": "scale", "scale": [120.0, 0.5, 0.5]}]],
        )


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plate_is_the_same_here_and_in_napari(tmp_path: Path, version: str) -> None:
    from cyto_kedro.datasets.label import LabelDataset

    write_plate(tmp_path / "run7.ome.zarr", version)
    found = scan(str(tmp_path), "*.zarr")
    assert [(raw.fov, raw.well, raw.plate, raw.channel) for raw in found] == [
        (well, well, "P9", channel) for well in ("A1", "B3") for channel in ("TCell", "Dead")
    ]
    shown = layers(tmp_path / "run7.ome.zarr")
    cells = next(layer for layer in shown.values() if type(layer).__name__ == "Labels")
    assert tuple(cells.scale) == (120.0, 0.5, 0.5)
    for raw in found:
        assert raw.time_s == (0, 120, 240) and raw.pixel_size_um == 0.5
        layer = next(each for name, each in shown.items() if name.endswith(raw.channel))
        assert tuple(layer.scale) == (120.0, 0.5, 0.5)
        row, column = "AB".index(raw.well[0]), int(raw.well[1:]) - 1
        here = (slice(None), slice(20 * row, 20 * row + 20), slice(24 * column, 24 * column + 24))
        np.testing.assert_array_equal(np.asarray(layer.data)[here], open_raw(raw).compute())
        label = LabelDataset(filepath=f"{raw.files[0]}/labels/cells")
        np.testing.assert_array_equal(np.asarray(cells.data)[here], label.load())
