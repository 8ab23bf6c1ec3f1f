"""One file of masks whose labels are identities, and the table beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from films import come_in, dividing, is_the_dividing_film, masks_of, points_of

from cyto_kedro.errors import InputError
from tiny_project import Project


def write(path: Path, label: np.ndarray | None = None, **more: Any) -> Path:
    tifffile.imwrite(path, dividing() if label is None else label, photometric="minisblack", **more)
    return path


def test_a_film_alone_has_tracks_and_no_lineage(ingested: Project, tmp_path: Path) -> None:
    found = come_in(ingested, write(tmp_path / "étiquettes.TIFF"))
    assert str(found) == "film of labels: 21 cells, 4 tracks, 0 divisions"
    is_the_dividing_film(points_of(ingested), divides=False)
    np.testing.assert_array_equal(masks_of(ingested), dividing())


@pytest.mark.parametrize(
    ("name", "table"),
    [
        (
            "a.csv",
            "track_id,t,id,parent_track_id,parent_id\n7,0,1,-1,-1\n9,5,2,7,1\n300000,5,3,7,1\n",
        ),
        ("a.csv", "ID;t;parent\n7;0;7\n9;5;7\n9;6;7\n300000;5;7\n4;0;4\n"),
        ("a.csv", "label,parent\n9,7\n300000,7.0\n4,\n"),
        ("a.txt", "7 0 4 0\n9 5 8 7\n300000 5 8 7\n4 0 8 0\n"),
    ],
)
def test_lineage_beside_a_film(ingested: Project, tmp_path: Path, name: str, table: str) -> None:
    (tmp_path / name).write_text(table)
    come_in(ingested, write(tmp_path / "a.tif"))
    is_the_dividing_film(points_of(ingested))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("label,parent\n9,7\n9,4\n", "track 9 came of two"),
        ("label,parent\n9,seven\n", "must be whole numbers"),
        ("label,parent\n9,7.5\n", "must be whole numbers"),
    ],
)
def test_damaged_tables(ingested: Project, tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(table)
    with pytest.raises(InputError, match=message):
        come_in(ingested, write(tmp_path / "a.tif"))


def test_what_a_film_is_told_of(ingested: Project, tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "a.csv").write_text("area\n3\n")
    pieces = dividing()
    pieces[:, 90:93, 90:93] = 4
    come_in(ingested, write(tmp_path / "a.tif", pieces, resolution=(2e4, 2e4), resolutionunit=3))
    assert "names no parents" in caplog.text
    assert "labels lie in 9 pieces more" in caplog.text
    noise = np.random.default_rng(1).integers(0, 6, (9, 96, 96), np.uint8)
    with pytest.raises(InputError, match=r"45 labels in \d+ pieces: that is an image"):
        come_in(ingested, write(tmp_path / "noise.tif", noise))


def acdc(folder: Path, table: pd.DataFrame | None, label: np.ndarray | None = None) -> Path:
    np.savez_compressed(folder / "p1_segm.npz", dividing() if label is None else label)
    if table is not None:
        table.to_csv(folder / "p1_acdc_output.csv", index=False)
    return folder / "p1_segm.npz"


def test_cell_acdc_by_buds_and_by_its_tree(ingested: Project, tmp_path: Path) -> None:
    rows = [(t, n) for t in range(9) for n in (7, 9, 300000, 4)]
    table = pd.DataFrame(rows, columns=["frame_i", "Cell_ID"])
    table["parent_ID_tree"] = table["Cell_ID"].map({7: -1, 9: 7, 300000: 7, 4: -1})
    table["Cell_ID_tree"] = table["Cell_ID"]
    found = come_in(ingested, acdc(tmp_path, table))
    assert found.kind == "Cell-ACDC result"
    is_the_dividing_film(points_of(ingested))

    table = table.drop(columns=["parent_ID_tree", "Cell_ID_tree"])
    table["relationship"] = np.where(table["Cell_ID"] == 9, "bud", "mother")
    table["relative_ID"] = table["Cell_ID"].map({7: 9, 9: 4, 300000: -1, 4: 9})
    come_in(ingested, acdc(tmp_path, table))
    points = points_of(ingested)
    first = points.sort_values("frame").drop_duplicates("track_id")
    mothers = points.loc[points["label"] == 4].groupby("track_id")["frame"].agg(["min", "max"])
    assert mothers.to_numpy().tolist() == [[0, 4], [5, 8]]  # she is one of her daughters
    born = first[first["parent_track_id"].notna()]
    assert set(born["label"]) == {4, 9} and set(born["parent_track_id"]) == {mothers.index[0]}


def test_damaged_files_of_cell_acdc(ingested: Project, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column Cell_ID"):
        come_in(ingested, acdc(tmp_path, pd.DataFrame({"a": [1]})))
    with pytest.raises(InputError, match=r"float64 of shape \(9, 96, 96\)"):
        come_in(ingested, acdc(tmp_path, None, dividing().astype(float)))
    with pytest.raises(InputError, match=r"shape \(9, 2, 96, 96\)"):
        come_in(ingested, acdc(tmp_path, None, np.stack([dividing()] * 2, 1)))
    path = acdc(tmp_path, None)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="not a whole ZIP"):
        come_in(ingested, path)


def test_a_label_image_of_an_ome_zarr(ingested: Project, tmp_path: Path) -> None:
    """With the axes of its film, as other programs write them, and in whole numbers of 64 bits."""
    image = zarr.open_group(str(tmp_path / "plate.zarr/A/1/0/labels/cells"), mode="w")
    image.create_array("0", data=dividing()[:, None, None].astype(np.int64))
    axes = [{"name": name} for name in "tczyx"]
    image.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    found = come_in(ingested, tmp_path / "plate.zarr/A/1/0/labels/cells")
    assert str(found) == "film of labels: 21 cells, 4 tracks, 0 divisions"
    np.testing.assert_array_equal(masks_of(ingested), dividing())
    with pytest.raises(InputError, match=r"labels is not an? .*OME-Zarr"):
        come_in(ingested, tmp_path / "plate.zarr/A/1/0/labels")
