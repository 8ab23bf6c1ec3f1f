"""Cells as polygons, and back: equal masks, tracks and drawn outlines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
from films import FILM, FOV, come_in, dividing, masks_of, paths_of, points_of
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import mapping, shape

from cyto_kedro.corrections import keep
from cyto_kedro.export.command import export_to
from cyto_kedro.export.geojson import as_geometry, outlines_of
from cyto_kedro.view import View
from tiny_project import BLOCKS, Project


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_line_around_any_mask_holds_its_pixels(seed: int) -> None:
    """Masks with holes, islands in holes, parts that touch at corners, at the border."""
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 2, (7, 8)).repeat(rng.integers(1, 3), 0) * rng.integers(1, 3)
    mask = mask.astype(np.uint32) * 70_000
    y, x = (each.ravel() for each in np.indices(mask.shape))
    for label, rings in outlines_of(mask, {}):
        area = shape(as_geometry(rings))
        assert area.is_valid
        inside = shapely.contains_xy(area, x, y).reshape(mask.shape)
        np.testing.assert_array_equal(inside, mask == label)


def drawn(path: Path) -> Path:
    """Cell 1, with a hole and in two parts, moves by a third of a pixel; cell 2 stays."""
    features = []
    for t in range(FILM[0]):
        x = 20.1 + t / 3
        ring = shapely.box(x, 20, x + 9, 29) - shapely.box(x + 3, 23, x + 6, 26)
        for track, area in (
            (1, ring | shapely.box(x, 32, x + 4, 36)),
            (2, shapely.box(60.25, 60.25, 66.25, 70.25)),
        ):
            said = {"frame": t, "track_id": track}
            features.append({"type": "Feature", "geometry": mapping(area), "properties": said})
    path.write_text(json.dumps(features), "utf-8")
    return path


def corners(project: Project) -> np.ndarray:
    parts = project.catalog.load("outlines")
    rows = pd.concat([parts[f"{FOV}/TCell/{block}"]() for block in BLOCKS])
    return np.sort(rows[["frame", "y_px", "x_px"]].to_numpy(), axis=0)


@pytest.mark.parametrize("view", [{}, {"first_frame": 1, "crop_px": [2, 90, 4, 90], "bin_px": 2}])
def test_what_came_in_goes_out_and_comes_in_again(
    ingested: Project, tmp_path: Path, view: dict[str, object]
) -> None:
    project = ingested
    if view:
        raw = project.read("parameters")["assay"]["raw"]
        project.assay(raw={**raw, "view": view})
        project.run("ingestion")
    catalog = project.catalog
    blocks = catalog.load("manifest").blocks(FOV)
    for population in ("TCell", "CancerCell"):
        come_in(project, drawn(tmp_path / "a.geojson"), population)
    before, paths = masks_of(project), paths_of(points_of(project))
    label = before[: len(catalog.load("labels")[f"{FOV}/TCell/{blocks[0]}"]())].copy()
    label[0][label[0] == label[0].max()] = 0  # one cell less
    label[1][np.nonzero(label[1])[0][0], :] = 0  # one with a row less
    keep(catalog, "labels", f"{FOV}/TCell/{blocks[0]}", label, tmp_path, "Ada", "not a cell")
    changed = masks_of(project)
    assert (changed != before).any()
    export_to(catalog, "geojson", tmp_path / "out", (FOV,))
    for population in ("TCell", "CancerCell"):
        come_in(project, tmp_path / "out" / FOV / f"{population}.geojson", population)
    after = masks_of(project)
    np.testing.assert_array_equal(after > 0, changed > 0)
    assert (View.model_validate(view).bin_px == 2) == (before.shape[1] < FILM[1])
    assert len(paths) == 2 and len(paths_of(points_of(project))) == 2
    of_last = after[-1]
    assert len(np.unique(of_last)) == 3


def test_drawn_corners_are_kept(ingested: Project, tmp_path: Path) -> None:
    for population in ("TCell", "CancerCell"):
        come_in(ingested, drawn(tmp_path / "a.geojson"), population)
    first = corners(ingested)
    export_to(ingested.catalog, "geojson", tmp_path / "out", (FOV,))
    content = json.loads((tmp_path / "out" / FOV / "TCell.geojson").read_text("utf-8"))
    areas = [shape(each["geometry"]) for each in content["features"]]
    assert all(area.is_valid for area in areas) and areas[0].geom_type == "MultiPolygon"
    assert areas[0].area == pytest.approx(81 - 9 + 16) and areas[1].area == pytest.approx(60)
    come_in(ingested, tmp_path / "out" / FOV / "TCell.geojson")
    np.testing.assert_allclose(corners(ingested), first, atol=1e-9)


def test_divisions_are_not_part_of_polygons(ingested: Project, tmp_path: Path) -> None:
    """A cell without a mask in a frame has no polygon there; its track goes on."""
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", dividing(), photometric="minisblack")
    for population in ("TCell", "CancerCell"):
        come_in(ingested, tmp_path / "a.tif", population)
    export_to(ingested.catalog, "geojson", tmp_path / "out", (FOV,))
    content = json.loads((tmp_path / "out" / FOV / "TCell.geojson").read_text("utf-8"))
    assert len(content["features"]) == sum(len(np.unique(t)) - 1 for t in dividing())
    assert {each["geometry"]["plane"]["t"] for each in content["features"]} == {*range(FILM[0])}
    come_in(ingested, tmp_path / "out" / FOV / "TCell.geojson")
    np.testing.assert_array_equal(masks_of(ingested) > 0, dividing() > 0)
