"""Outlines that came in with masks, up to contacts: exact, as long as the masks are theirs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from films import FILM, FOV, come_in, masks_of
from shapely.geometry import mapping

from cyto_kedro.corrections import keep
from cyto_kedro.errors import InputError
from tiny_project import BLOCKS, FOVS, N_FRAMES, Project

GAP = 1.37  # pixels between the two squares: 1.87 between centres of their nearest pixels


def squares(shift: float = 0.0) -> dict[str, list[shapely.Geometry]]:
    """A T cell 8 px wide and a cancer cell to its right, by frame; they move by 0.1 px a frame."""
    made: dict[str, list[shapely.Geometry]] = {"TCell": [], "CancerCell": []}
    for t in range(N_FRAMES):
        y, x = 30.2, 20.3 + 0.1 * t
        made["TCell"].append(shapely.box(x, y, x + 8, y + 8))
        left = x + 8 + GAP + shift
        made["CancerCell"].append(shapely.box(left, y - 1, left + 11, y + 10))
    return made


def written(path: Path, shapes: list[shapely.Geometry]) -> Path:
    features = [
        {
            "type": "Feature",
            "geometry": mapping(shape),
            "properties": {"frame": t, "track_id": 1},
        }
        for t, shape in enumerate(shapes)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), "utf-8")
    return path


def bring_in(project: Project, tmp_path: Path, **changes: Any) -> None:
    for population, shapes in squares(**changes).items():
        come_in(project, written(tmp_path / f"{population}.geojson", shapes), population)


def gaps(project: Project, name: str = "touches") -> np.ndarray:
    table = project.table(name)
    table = table[table["fov"] == FOV].sort_values("frame")
    return table["distance_px"].to_numpy()


@pytest.fixture(scope="module")
def analysed(finished: Project, tmp_path_factory: Any) -> Project:
    """Both populations came in as polygons, and contacts were made of them."""
    folder = tmp_path_factory.mktemp("outlines")
    project = finished.copy(folder / "project")
    reach = {"name": "OutlineDistance", "args": {"max_distance_um": 1.0}}
    project.block("tabulation", touches=reach)
    bring_in(project, folder)
    project.resume("tabulation", "tracking", "contacts")
    return project


def test_distances_are_those_of_the_polygons(analysed: Project) -> None:
    assert gaps(analysed) == pytest.approx([GAP] * N_FRAMES, abs=1e-9)
    assert gaps(analysed, "contacts") == pytest.approx([GAP] * N_FRAMES, abs=1e-9)
    bouts = analysed.table("bouts")
    of_field = bouts[bouts["fov"] == FOV]
    assert of_field[["start_frame", "end_frame"]].to_numpy().tolist() == [[0, N_FRAMES - 1]]
    corners = analysed.catalog.load("outlines")[f"{FOV}/TCell/{BLOCKS[1]}"]()
    assert corners["frame"].unique().tolist() == [7, 8] and len(corners) == 8
    assert analysed.catalog.load("outlines")[f"{FOVS[0]}/TCell/{BLOCKS[0]}"]() is None


def test_what_a_person_changes_counts_by_its_mask(analysed: Project, tmp_path: Path) -> None:
    project = analysed.copy(tmp_path / "project")
    label = masks_of(project)[7:]
    label[0, 30:38, 21] = 0  # a column of the T cell's far side, in frame 7
    keep(project.catalog, "labels", f"{FOV}/TCell/{BLOCKS[1]}", label, tmp_path, "Ada", "too wide")
    saved = project.resume("tabulation", "tracking", "contacts")
    assert ("touches", f"{FOV}/{BLOCKS[1]}") in saved
    assert ("touches", f"{FOV}/{BLOCKS[0]}") not in saved
    found = gaps(project)
    assert np.delete(found, 7) == pytest.approx([GAP] * (N_FRAMES - 1), abs=1e-9)
    assert abs(found[7] - GAP) < 0.6 and found[7] != pytest.approx(GAP, abs=1e-6)


def test_an_outline_moved_within_its_pixels_makes_touches_anew(
    analysed: Project, tmp_path: Path
) -> None:
    project = analysed.copy(tmp_path / "project")
    before = masks_of(project)
    shapes = squares(shift=0.02)["CancerCell"]
    come_in(project, written(tmp_path / "a.geojson", shapes), "CancerCell")
    np.testing.assert_array_equal(masks_of(project), before)
    assert ("touches", f"{FOV}/{BLOCKS[0]}") in project.resume("tabulation")
    assert gaps(project) == pytest.approx([GAP + 0.02] * N_FRAMES, abs=1e-9)
    # a definition by masks does not know of outlines
    masks = {"name": "Touches", "args": {"max_distance_um": 1.0}}
    project.block("tabulation", touches=masks)
    project.resume("tabulation")
    come_in(project, written(tmp_path / "b.geojson", squares()["CancerCell"]), "CancerCell")
    assert not [name for name, _ in project.resume("tabulation") if name == "touches"]


def test_outlines_outlive_deleted_results(analysed: Project, tmp_path: Path) -> None:
    project = analysed.copy(tmp_path / "project")
    shutil.rmtree(project.path / "data" / "03_primary" / "outlines")
    corners = project.catalog.load("outlines")[f"{FOV}/TCell/{BLOCKS[0]}"]()
    assert len(corners) == 28
    assert not [name for name, _ in project.resume("tabulation") if name == "touches"]
    dropped = project.catalog.get("outlines").drop_correction(f"{FOV}/TCell/{BLOCKS[0]}")
    assert dropped is not None
    assert project.catalog.load("outlines")[f"{FOV}/TCell/{BLOCKS[0]}"]() is None
    assert ("touches", f"{FOV}/{BLOCKS[0]}") in project.resume("tabulation")


def test_crossing_lines_are_named(ingested: Project, tmp_path: Path, caplog: Any) -> None:
    knot = [(10, 10), (20, 20), (20, 10), (10, 20)]
    path = written(tmp_path / "a.geojson", [shapely.Polygon(knot)])
    come_in(ingested, path)
    assert "1 outlines cross themselves" in caplog.text and "feature 1" in caplog.text
    assert "row 15.0, column 15.0" in caplog.text
    y, x = np.abs(np.indices(FILM[1:]) - 14.5)
    of_knot, clear = (x < 5) & (y < x), x != y  # what lies on a line may be of either side
    near = slice(10, 20)
    label = masks_of(ingested)[0]
    np.testing.assert_array_equal(((label > 0) & clear)[near, near], (of_knot & clear)[near, near])
    flat = shapely.Polygon([(10, 10), (20, 20), (30, 30)])
    with pytest.raises(InputError, match=r"feature 1 encloses nothing"):
        come_in(ingested, written(tmp_path / "b.geojson", [flat]))


def test_lines_along_pixels_say_no_more_than_masks(ingested: Project, tmp_path: Path) -> None:
    shapes = [shapely.box(20, 30, 28, 38), shapely.box(20, 30, 28, 38.25)]
    come_in(ingested, written(tmp_path / "a.geojson", shapes))
    kept = ingested.catalog.load("outlines")[f"{FOV}/TCell/{BLOCKS[0]}"]()
    assert kept["frame"].unique().tolist() == [1]
