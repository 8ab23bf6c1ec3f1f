"""Outlines as masks: traced along pixels' edges they are the masks they were traced on."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from films import FILM, come_in, dividing, masks_of, points_of
from shapely.geometry import mapping

from cyto_kedro.errors import InputError
from cyto_kedro.importing.polygons import _centroid
from tiny_project import Project


def traced(mask: np.ndarray) -> shapely.Geometry:
    """The outline along the edges of pixels, from the corner of the top-left one."""
    return shapely.union_all([shapely.box(x, y, x + 1, y + 1) for y, x in np.argwhere(mask)])


def features(label: np.ndarray, **keys: str) -> list[dict[str, Any]]:
    made = []
    for t, frame in enumerate(label):
        for name in np.unique(frame[frame > 0]).tolist():
            said = {keys.get("frame", "frame"): t, "name": f"Zelle {name}"}
            if "track" in keys:
                said[keys["track"]] = name
            geometry = mapping(traced(frame == name))
            made.append({"type": "Feature", "geometry": geometry, "properties": said})
    return made


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def same_cells(label: np.ndarray, truth: np.ndarray) -> None:
    """Equal but for the numbers, which are new in every frame."""
    for mine, his in zip(label, truth, strict=True):
        pairs = np.unique(np.stack([mine.ravel(), his.ravel()]), axis=1).T
        assert len(pairs) == len(np.unique(mine)) == len(np.unique(his))
        np.testing.assert_array_equal(mine > 0, his > 0)


def odd() -> np.ndarray:
    """Cells with a hole, with a notch, in two parts, at the border."""
    label = np.zeros(FILM, np.uint32)
    label[:, 5:15, 5:15], label[:, 8:11, 8:11] = 1, 0
    label[:, 30:40, 30:40], label[:, 34:40, 33:35] = 2, 0
    label[:, 60:64, 60:64] = label[:, 66:68, 60:62] = 3
    label[:, 90:, 90:] = 4
    return label


def test_traced_masks_come_back_with_holes_and_parts(ingested: Project, tmp_path: Path) -> None:
    path = write(tmp_path / "ä.geojson", {"type": "FeatureCollection", "features": features(odd())})
    found = come_in(ingested, path)
    assert str(found) == "GeoJSON polygons: 36 cells; `kedro run` joins them to tracks"
    same_cells(masks_of(ingested), odd())


def test_a_property_says_which_outlines_are_one_cell(ingested: Project, tmp_path: Path) -> None:
    found = come_in(ingested, write(tmp_path / "a.json", features(dividing(), track="track_id")))
    assert found.n_tracks == 4
    points = points_of(ingested)
    of_mother = points.groupby("track_id").filter(lambda p: p["y_px"].iloc[0] == 12.5)
    assert of_mother["interpolated"].tolist() == [False, False, True, False, False]
    np.testing.assert_allclose(of_mother["y_px"], 12.5 + 2 * np.arange(5))


def test_qupaths_plane(ingested: Project, tmp_path: Path) -> None:
    content = features(dividing(), frame="other")
    for each in content:
        each["geometry"]["plane"] = {"c": -1, "z": 0, "t": each["properties"]["other"]}
    come_in(ingested, write(tmp_path / "a.geojson", content))
    same_cells(masks_of(ingested), dividing())


def test_a_circle_has_its_area_and_overlaps_go_to_the_nearer(
    ingested: Project, tmp_path: Path, caplog: Any
) -> None:
    circles = [shapely.Point(x, 30.25).buffer(9.7, 64) for x in (30.6, 44.6)]
    content = [
        {"type": "Feature", "geometry": mapping(each), "properties": {"t": 3}} for each in circles
    ]
    come_in(ingested, write(tmp_path / "a.geojson", content))
    label = masks_of(ingested)[3]
    y, x = np.indices(label.shape) + 0.5
    inside = [np.hypot(y - 30.25, x - at) < 9.7 for at in (30.6, 44.6)]
    first, second = (label[30, 25], label[30, 50])
    np.testing.assert_array_equal(label > 0, inside[0] | inside[1])
    np.testing.assert_array_equal(label == first, inside[0] & ~(inside[1] & (x > 37.6)))
    assert second not in (0, first)
    assert f"overlap in {(inside[0] & inside[1]).sum()} pixels" in caplog.text


def test_centroids() -> None:
    shape = shapely.Polygon([(0, 0), (9, 1), (4, 5), (3, 11), (-2, 4)])
    ring = np.array(shape.exterior.coords)[:-1]
    expected = shape.centroid.y, shape.centroid.x
    for each in (ring, ring[::-1]):
        np.testing.assert_allclose(_centroid([each[:3] + 90, each[:, ::-1]]), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"properties": {}}, r"feature 1 names no frame, and the film has 9"),
        ({"properties": {"frame": 9}}, r"frame 9, but the film has 0 to 8"),
        ({"properties": {"frame": 1.5}}, r"frame 1.5 is not a whole number"),
        ({"geometry": None}, r"its part 1 is no feature"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[1, 2], [3]]]}}, "not pairs of numbers"),
        (
            {"geometry": {"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]}},
            "three points or more",
        ),
        ({"geometry": {"type": "Polygon", "coordinates": []}}, "not pairs of numbers"),
        ({"geometry": {"type": "Point", "coordinates": [1, 2]}}, "no outline of an area"),
        (
            {"geometry": {"type": "Polygon", "coordinates": [[[200, 2], [203, 2], [203, 9]]]}},
            r"outside of the film of \(96, 96\)",
        ),
    ],
)
def test_damaged_features(
    ingested: Project, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    square = {"type": "Polygon", "coordinates": [[[1, 1], [1, 5], [5, 5], [5, 1], [1, 1]]]}
    feature = {"type": "Feature", "geometry": square, "properties": {"frame": 0}} | change
    with pytest.raises(InputError, match=message):
        come_in(ingested, write(tmp_path / "a.geojson", [feature]))
    (tmp_path / "a.geojson").write_text('{"type": "FeatureCol')
    with pytest.raises(InputError, match="not a whole JSON"):
        come_in(ingested, tmp_path / "a.geojson")


@pytest.mark.companion("roifile")
def test_rois_of_imagej(ingested: Project, tmp_path: Path, caplog: Any) -> None:
    """Written by the library that knows the format; whole and sub-pixel numbers."""
    import roifile

    path = tmp_path / "RoiSet.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i, each in enumerate(features(dividing())):
            ring = np.array(each["geometry"]["coordinates"][0])[:-1]
            ring = ring.astype(np.int32) if i % 2 else ring.astype(np.float32)
            where = {"t": each["properties"]["frame"]} if i % 3 else {}
            place = {} if where else {"position": each["properties"]["frame"]}
            roi = roifile.ImagejRoi.frompoints(ring, name=f"細胞 {i}", **where, **place)
            archive.writestr(f"{i}.roi", roi.tobytes())
        line = roifile.ImagejRoi.frompoints([[1, 2], [3, 4]])
        line.roitype = roifile.ROI_TYPE.FREELINE
        archive.writestr("line.roi", line.tobytes())
    found = come_in(ingested, path)
    assert (found.n_cells, found.points) == (21, None)
    same_cells(masks_of(ingested), dividing())
    assert "1 ROIs are no areas and left out: line.roi" in caplog.text
    oval = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.OVAL, left=10, top=20, right=40, bottom=60)
    oval.position = 2
    (tmp_path / "one.roi").write_bytes(oval.tobytes())
    come_in(ingested, tmp_path / "one.roi")
    label = masks_of(ingested)
    y, x = np.indices(label.shape[1:]) + 0.5
    truth = ((x - 25) / 15) ** 2 + ((y - 40) / 20) ** 2 < 1
    assert ((label[1] > 0) != truth).sum() <= 4 and not label[[0, 2]].any()
    (tmp_path / "one.roi").write_bytes(oval.tobytes()[:30])
    with pytest.raises(InputError, match=r"one\.roi is not a whole ROI"):
        come_in(ingested, tmp_path / "one.roi")
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(InputError, match="not a whole ZIP"):
        come_in(ingested, path)
