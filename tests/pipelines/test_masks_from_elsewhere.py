"""An analysis that goes on from masks which another program made."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.segmentation.labels import Labelled
from cyto_kedro.cli import put_in_place, read_session
from cyto_kedro.core.contract import Image
from cyto_kedro.errors import InputError
from cyto_kedro.importing.kinds import read_any
from cyto_kedro.importing.place import bring
from cyto_kedro.pipelines.segmentation.nodes import segment
from cyto_kedro.view import View
from tiny_project import FOVS, N_FRAMES, POPULATIONS, Project, whole_table


def test_an_analysis_goes_on_from_masks_made_elsewhere(project: Project) -> None:
    catalog = project.catalog
    labels, plan = catalog.load("labels"), catalog.load("manifest")
    cells = whole_table(catalog, "cells")
    for fov in FOVS:
        for population in POPULATIONS:
            film = np.concatenate([labels[f"{fov}/{population}/{b}"]() for b in plan.blocks(fov)])
            path = project.path / "masks" / f"{fov}_{population}.tif"
            path.parent.mkdir(exist_ok=True)
            tifffile.imwrite(path, film.astype(np.uint16), photometric="minisblack")
    entries = project.read("catalog_images")
    entries["labels"] = {
        "type": "cyto_kedro.datasets.LabelFilms",
        "path": str(project.path / "masks"),
        "pattern": "{fov}_{population}.tif",
    }
    project.write("catalog_images", entries)
    saved = project.resume("tabulation", "tracking")
    assert {name for name, _ in saved} >= {"cells", "touches"}  # the masks are other files now
    pd.testing.assert_frame_equal(whole_table(project.catalog, "cells"), cells)
    assert project.resume("tabulation", "tracking") == []


FILM = (1 + np.arange(N_FRAMES, dtype=np.uint16))[:, None, None] * np.ones((96, 96), np.uint16)
VIEW = {"first_frame": 2, "every_frame": 2, "crop_px": [0, 96, 16, 96], "bin_px": 2}
EXCLUDED = {"exclude_frames": ["", "4"], "exclude_reason": ["", "blur"]}  # frame 1 of the view


@pytest.fixture
def viewed(fresh: Project) -> Project:
    """Ingested under a view, with an excluded frame in treated_1."""
    sheet = Path(fresh.read("globals")["raw"]) / "sample_sheet.csv"
    pd.read_csv(sheet).assign(**EXCLUDED).to_csv(sheet, index=False)
    raw = fresh.read("parameters")["assay"]["raw"]
    fresh.assay(raw={**raw, "view": VIEW})
    entries = fresh.read("catalog_images")
    entries["label_films"] = {
        "type": "cyto_kedro.datasets.LabelFilms",
        "path": str(fresh.path / "masks"),
        "pattern": "{fov}_{population}.tif",
    }
    fresh.write("catalog_images", entries)
    fresh.run("ingestion")
    return fresh


def mask_film(project: Project, film: np.ndarray, **metadata: Any) -> Any:
    path = project.path / "masks" / "treated_1_TCell.tif"
    path.parent.mkdir(exist_ok=True)
    size = {"PhysicalSizeX": 0.65, "PhysicalSizeY": 0.65, "TimeIncrement": 120.0} | metadata
    options = {"axes": "TYX", **size}
    tifffile.imwrite(path, film, ome=True, photometric="minisblack", metadata=options)
    return project.catalog.load("label_films")


def test_masks_are_seen_through_the_view_and_excluded_frames_hold_none(viewed: Project) -> None:
    x = np.arange(96, dtype=np.uint16)
    parts = mask_film(viewed, FILM * 100 + x)
    label = parts["treated_1/TCell/t0000-0003"]()
    # file frames 2, 4, 6, 8; columns 16.. in squares of two, of which the second is the middle
    right = (FILM * 100 + x)[[2, 4, 6, 8], 1::2, 17::2]
    right[1] = 0
    np.testing.assert_array_equal(label, right)
    seen = FILM[:4, :48, :40]
    np.testing.assert_array_equal(
        mask_film(viewed, seen)["treated_1/TCell/t0000-0003"]()[2:], seen[2:]
    )


@pytest.mark.parametrize("film", [FILM[:7], FILM[:, :90], np.concatenate([FILM, FILM])])
def test_masks_of_another_film_are_refused(viewed: Project, film: np.ndarray) -> None:
    parts = mask_film(viewed, film)
    with pytest.raises(InputError, match=r"9 frames of \(96, 96\) pixels, viewed as 4 frames of"):
        parts["treated_1/TCell/t0000-0003"]()


def test_masks_of_another_scale_are_told_of(viewed: Project, caplog: Any) -> None:
    mask_film(viewed, FILM)["treated_1/TCell/t0000-0003"]()
    assert "two statements" not in caplog.text
    parts = mask_film(viewed, FILM, PhysicalSizeX=0.325, PhysicalSizeY=0.325, TimeIncrement=60.0)
    parts["treated_1/TCell/t0000-0003"]()
    for said in ("has 0.65 µm", "says 0.325 µm", "has 119.775 s", "says 60 s"):
        assert said in caplog.text


def test_corrections_are_laid_on_the_film_too(viewed: Project, tmp_path: Path) -> None:
    catalog = viewed.catalog
    tifffile.imwrite(tmp_path / "fixed.tif", FILM[:4], photometric="minisblack")
    who = ("Ada", "two cells merged")
    put_in_place(catalog, "labels", "treated_1/TCell/t0000-0003", tmp_path / "fixed.tif", *who)
    label = catalog.load("labels")["treated_1/TCell/t0000-0003"]()
    assert label.shape == (4, 48, 40) and np.unique(label, axis=0).shape[0] == 4
    assert label[:, 0, 0].tolist() == [1, 0, 3, 4]


def test_a_session_is_laid_on_the_film_too(viewed: Project, tmp_path: Path, caplog: Any) -> None:
    at = [(40 + t, 30) for t in range(N_FRAMES)]
    spots = "".join(
        f'<Spot ID="{t + 1}" name="s" FRAME="{t}" POSITION_X="{x * 0.65}" POSITION_Y="{y * 0.65}" '
        'RADIUS="2.6" VISIBILITY="1"/>'
        for t, (x, y) in enumerate(at)
    )
    edges = "".join(
        f'<Edge SPOT_SOURCE_ID="{t}" SPOT_TARGET_ID="{t + 1}"/>' for t in range(1, N_FRAMES)
    )
    text = (
        '<TrackMate version="7.11.1"><Model spatialunits="micron" timeunits="sec"><AllSpots>'
        f'{spots}</AllSpots><AllTracks><Track TRACK_ID="0">{edges}</Track></AllTracks><FilteredTracks>'
        '<TrackID TRACK_ID="0"/></FilteredTracks></Model><Settings><ImageData width="96" height="96" '
        'nslices="1" nframes="9" pixelwidth="0.65" pixelheight="0.65" timeinterval="120"/></Settings>'
        "</TrackMate>"
    )
    (tmp_path / "s.xml").write_text(text)
    assert read_session(viewed.catalog, tmp_path / "s.xml", "treated_1", "TCell", "Ada") == (3, 1)
    assert "two statements" not in caplog.text
    catalog = viewed.catalog
    points = catalog.load("track_points")["treated_1/TCell"]()
    assert points["frame"].tolist() == [0, 1, 2, 3] and len(set(points["track_id"])) == 1
    assert points["label"].isna().tolist() == [False, True, False, False]
    assert points["x_px"].tolist()[::2] == [(42 - 16 - 0.5) / 2, (46 - 16 - 0.5) / 2]
    label = catalog.load("labels")["treated_1/TCell/t0000-0003"]()
    assert (label > 0).any((1, 2)).tolist() == [True, False, True, True]
    (tmp_path / "t.xml").write_text(text.replace('"0.65"', '"0.1"').replace('"120"', '"420"'))
    read_session(viewed.catalog, tmp_path / "t.xml", "treated_1", "TCell", "Ada")
    for said in (
        "has 0.65 µm",
        "pixelwidth says 0.1 µm",
        "has 119.775 s",
        "timeinterval says 420 s",
    ):
        assert said in caplog.text
    (tmp_path / "u.xml").write_text(text.replace('nframes="9"', 'nframes="12"'))
    with pytest.raises(InputError, match="12 frames"):
        read_session(viewed.catalog, tmp_path / "u.xml", "treated_1", "TCell", "Ada")


def test_identities_are_laid_on_the_film_too(viewed: Project, tmp_path: Path, caplog: Any) -> None:
    """Frames 2, 4, 6, 8 of the file are seen, the second of them excluded; 7 divides before it."""
    film = np.zeros_like(FILM)
    film[:4, 20:26, 30:36] = 7
    film[4:, 20:26, 30:36], film[4:, 20:26, 50:56] = 8, 9
    film[:, 60:66, 2:8] = 5  # cropped away
    tifffile.imwrite(tmp_path / "a.tif", film, photometric="minisblack")
    (tmp_path / "a.csv").write_text("label,parent\n8,7\n9,7\n")
    found = bring(viewed.catalog, tmp_path / "a.tif", "treated_1", "TCell", "Ada", read_any)
    assert str(found) == "film of labels: 5 cells, 3 tracks, 1 divisions"
    catalog = viewed.catalog
    points = catalog.load("track_points")["treated_1/TCell"]()
    rows = points[["label", "frame", "y_px", "x_px"]].astype(float).to_numpy().tolist()
    assert sorted(rows) == [
        [7, 0, 11, 8], [8, 2, 11, 8], [8, 3, 11, 8], [9, 2, 11, 18], [9, 3, 11, 18]
    ]  # fmt: skip
    mother = points.loc[points["label"] == 7, "track_id"].iloc[0]
    assert (points.loc[points["frame"] > 0, "parent_track_id"] == mother).all()
    label = catalog.load("labels")["treated_1/TCell/t0000-0003"]()
    right = np.stack([View(**VIEW).labels(film[t]) for t in (2, 4, 6, 8)])
    right[1] = 0
    np.testing.assert_array_equal(label, right)
    assert "excluded frames are left out" in caplog.text


class Nosy(Algorithm):
    """Labels whatever it is given by its brightest frame: shows what an engine has seen."""

    def run(self, image: Image) -> Labelled:
        return {"label": np.full(image.shape, int(np.max(np.asarray(image))), np.uint32)}


def test_no_engine_sees_an_excluded_frame(viewed: Project) -> None:
    plan = viewed.catalog.load("manifest")
    image = np.ones((4, 48, 40))
    image[1] = 99
    spec = SimpleNamespace(name="Nosy", make=Nosy)
    group = {"fov": "treated_1", "population": "TCell", "tile": "t0000-0003"}
    label = segment(group, image, plan.for_group(group), spec)  # type: ignore[arg-type]
    assert label[:, 0, 0].tolist() == [1, 0, 1, 1]


def plate_of(project: Project, path: Path) -> dict[str, str]:
    """The films and masks of a project as an OME-Zarr plate, a field to a well; well -> field."""
    catalog = project.catalog
    plan, raw, labels = (catalog.load(each) for each in ("manifest", "raw_images", "labels"))
    wells = {"A1": FOVS[0], "B1": FOVS[1]}
    plate = zarr.open_group(str(path), mode="w", zarr_format=2)
    plate.attrs["plate"] = {"wells": [{"path": f"{well[0]}/1"} for well in wells]}

    def written(group: Any, film: np.ndarray, axes: str) -> None:
        group.create_array("0", data=film, chunks=(1,) * (film.ndim - 2) + film.shape[-2:])
        units = {"t": "second", "y": "micrometer", "x": "micrometer"}
        scale = [{"t": 120.0, "c": 1.0}.get(axis, 0.65) for axis in axes]
        described = [{"name": a} | ({"unit": units[a]} if a in units else {}) for a in axes]
        steps = [{"type": "scale", "scale": scale}]
        levels = [{"path": "0", "coordinateTransformations": steps}]
        group.attrs["multiscales"] = [{"axes": described, "datasets": levels}]

    for well, fov in wells.items():
        place = plate.create_group(f"{well[0]}/1")
        place.attrs["well"] = {"images": [{"path": "0"}]}
        image, blocks = place.create_group("0"), plan.blocks(fov)
        films = [
            np.concatenate([np.asarray(raw[f"{fov}/{channel}/{b}"]()) for b in blocks])
            for channel in plan.channels
        ]
        written(image, np.stack(films, axis=1), "tcyx")
        image.attrs["omero"] = {"channels": [{"label": name} for name in plan.channels]}
        for population in POPULATIONS:
            film = np.concatenate([labels[f"{fov}/{population}/{b}"]() for b in blocks])
            written(image.create_group(f"labels/{population}"), film, "tyx")
    return wells


def test_a_plate_of_ome_zarr_is_analysed_with_its_masks(finished: Project, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    wells = plate_of(finished, raw / "plate.zarr")
    sheet = pd.DataFrame({"fov": [*wells], "condition": ["control", "treated"]})
    sheet.to_csv(raw / "sample_sheet.csv", index=False)
    project = Project.make(tmp_path / "project", raw).assay(raw={"pattern": "*.zarr"})
    entries = project.read("catalog_images")
    entries["labels"] = {
        "type": "cyto_kedro.datasets.LabelFilms",
        "path": str(raw),
        "pattern": "{raw}/labels/{population}",
    }
    project.write("catalog_images", entries)
    project.run("ingestion", "preprocessing", "tabulation")
    names = ["population", "frame", "label", "x_px", "y_px", "area_px", "Dead_mean", "area_um2"]
    expected, found = whole_table(finished.catalog, "cells"), whole_table(project.catalog, "cells")
    for well, fov in wells.items():
        mine, his = found[found["fov"] == well], expected[expected["fov"] == fov]
        pd.testing.assert_frame_equal(
            mine[names].reset_index(drop=True), his[names].reset_index(drop=True)
        )
    fields = project.catalog.load("fields")
    assert fields.set_index("fov")["well"].to_dict() == {"A1": "A1", "B1": "B1"}
    # masks of one well change: what was made of them is stale, nothing else
    array = zarr.open_group(str(raw / "plate.zarr" / "B" / "1" / "0" / "labels" / "TCell"))["0"]
    array[8] = 0
    saved = project.resume("tabulation")
    assert {name for _, name in saved if name.startswith(("A1", "B1"))} == {
        each for each in (i for _, i in saved) if each.startswith("B1")
    }
    assert ("cells", "B1/TCell/t0007-0008") in saved
    # the same label image by the other door
    image = raw / "plate.zarr" / "A" / "1" / "0" / "labels" / "TCell"
    with pytest.raises(InputError, match="masks made elsewhere, which are never written"):
        bring(project.catalog, image, "A1", "TCell", "Ada", partial(read_any, masks_only=True))
