"""OME-Zarr and AnnData are read back by the libraries that own them, where they are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr

from cyto_kedro.datasets.raw import RawFolder
from cyto_kedro.export.anndata import as_anndata, write_anndata
from cyto_kedro.export.field import FieldGraph
from cyto_kedro.export.ome_zarr import _corner, _mean, _write_levels, write_ome_zarr
from tiny_project import FOVS, N_FRAMES, POPULATIONS, Project

EDGES = ["source", "target", "kind", "share"]


def field(fov: str = "treated_1") -> FieldGraph:
    """Two cells that touch in frame 1; the target's frame 2 is interpolated."""
    nodes = pd.DataFrame(
        {
            "population": ["TCell", "TCell", "CancerCell", "CancerCell", "CancerCell"],
            "track_id": [1, 1, 7, 7, 7],
            "frame": [0, 1, 0, 1, 2],
            "label": pd.array([3, 4, 1, 1, None], "Int64"),
            "x_px": [5.0, 6, 8, 8, 8],
            "y_px": [5.0, 5, 4, 4, 4],
            "x_um": [2.5, 3, 4, 4, 4],
            "y_um": [2.5, 2.5, 2, 2, 2],
            "area_px": [9, 9, 40, 41, np.nan],
            "touches_border": [False, False, True, True, False],
            "neighbours": pd.array([0, 1, 0, None, None], "Int64"),
        }
    )
    edges = [(0, 1, "track", np.nan), (2, 3, "track", np.nan), (3, 4, "track", np.nan)]
    edges += [(1, 3, "contact", np.nan)]
    return FieldGraph(fov, (20, 30), 3, 0.5, 60.0, nodes, pd.DataFrame(edges, columns=EDGES))


def test_a_smaller_copy_is_the_mean_of_a_film_and_a_pixel_of_a_mask(tmp_path: Path) -> None:
    film = np.random.default_rng(0).integers(0, 4000, (2, 1, 600, 515), np.uint16)
    group = zarr.open_group(str(tmp_path), mode="w", zarr_format=2)
    _write_levels(group, film, _mean)
    assert [group[each].shape[-2:] for each in "012"] == [(600, 515), (300, 258), (150, 129)]
    assert "3" not in group
    np.testing.assert_array_equal(group["0"][:], film)
    expected = film[1, 0, 10:12, 20:22].mean()
    assert abs(float(group["1"][1, 0, 5, 10]) - expected) <= 0.5
    assert group["1"][1, 0, 5, 257] == pytest.approx(film[1, 0, 10:12, 514].mean(), abs=0.5)
    mask = np.arange(16, dtype=np.uint32).reshape(4, 4)
    assert set(np.unique(_corner(mask))) <= set(np.unique(mask))


@pytest.fixture(scope="module")
def written(tiny_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """A field whose masks are rectangles, exported; the catalog and the manifest."""
    folder = tmp_path_factory.mktemp("zarr")
    project = Project.make(folder / "project", tiny_raw)
    project.run("ingestion")
    catalog = project.catalog
    manifest = catalog.load("manifest")
    masks = {}
    for group in manifest.groups(("fov", "population", "block"), {"fov": FOVS[1]}):
        first, stop = (int(n) for n in group["block"].removeprefix("t").split("-"))
        mask = np.zeros((stop - first + 1, 96, 96), np.uint32)
        mask[:, 5:20, 30:50] = 1 + POPULATIONS.index(group["population"])
        masks["/".join(group.values())] = mask
    catalog.save("labels", masks)
    path = folder / "export" / f"{FOVS[1]}.ome.zarr"
    write_ome_zarr(path, catalog, manifest, field())
    return path, catalog, manifest


def test_the_film_is_read_back_as_it_is_analysed(written: tuple[Path, Any, Any]) -> None:
    path, catalog, manifest = written
    folder = RawFolder(str(path.parent))
    found = folder.scan("{fov}.ome.zarr", list(manifest.channels))
    assert [each.channel for each in found] == list(manifest.channels)
    assert {(each.pixel_size_um, each.n_frames) for each in found} == {(0.5, N_FRAMES)}
    raw = {each.channel: each for each in manifest.raw if each.fov == FOVS[1]}
    for each in found:
        original = catalog.load("raw_images").source.open(raw[each.channel])
        np.testing.assert_array_equal(folder.open(each).compute(), original.compute())


def test_masks_and_cells_lie_in_it(written: tuple[Path, Any, Any]) -> None:
    group = zarr.open_group(str(written[0]), mode="r")
    assert group["labels"].attrs["labels"] == list(POPULATIONS)
    for number, population in enumerate(POPULATIONS, 1):
        masks = group["labels"][population]["0"][:]
        assert masks.shape == (N_FRAMES, 96, 96) and masks.dtype == np.uint32
        assert (masks[:, 5:20, 30:50] == number).all() and np.count_nonzero(masks) == 300 * N_FRAMES
        table = pd.read_parquet(written[0] / "tables" / population / "table.parquet")
        expected = field().nodes.query("population == @population").reset_index(drop=True)
        pd.testing.assert_frame_equal(table, expected)


@pytest.mark.companion("ome_zarr_models")
def test_the_specification_s_own_models_take_it(written: tuple[Path, Any, Any]) -> None:
    import ome_zarr_models as models

    image = models.v04.Image.from_zarr(zarr.open_group(str(written[0]), mode="r"))
    scales = image.attributes.multiscales[0]
    assert [axis.name for axis in scales.axes] == ["t", "c", "y", "x"]
    assert scales.datasets[0].coordinateTransformations[0].scale == [60.0, 1.0, 0.5, 0.5]
    assert image.labels is not None
    assert sorted(image.labels.attributes.labels) == sorted(POPULATIONS)


@pytest.mark.companion("ngio")
def test_ngio_opens_film_masks_and_tables(written: tuple[Path, Any, Any]) -> None:
    import ngio

    container = ngio.open_ome_zarr_container(str(written[0]))
    assert container.list_labels() == list(POPULATIONS) == container.list_tables()
    assert container.get_image().pixel_size.x == 0.5
    table = container.get_table("TCell").dataframe
    assert table["area_px"].tolist() == [9.0, 9.0] and table["label"].tolist() == [3, 4]


@pytest.mark.companion("anndata")
def test_anndata_holds_the_cells_that_were_seen(tmp_path: Path) -> None:
    import anndata

    write_anndata(tmp_path / "cells.h5ad", field())
    read = anndata.read_h5ad(tmp_path / "cells.h5ad")
    assert read.obs_names.tolist() == ["TCell/0/3", "TCell/1/4", "CancerCell/0/1", "CancerCell/1/1"]
    assert read.var_names.tolist() == ["area_px", "neighbours"]
    np.testing.assert_array_equal(read.X, [[9, 0], [9, 1], [40, 0], [41, np.nan]])
    np.testing.assert_array_equal(read.obsm["spatial"], field().nodes[["x_um", "y_um"]][:4])
    np.testing.assert_array_equal(read.obsp["contact"].toarray().nonzero(), [[1, 3], [3, 1]])
    np.testing.assert_array_equal(read.obsp["track"].toarray().nonzero(), [[0, 2], [1, 3]])
    assert read.obs["touches_border"].tolist() == [False, False, True, True]
    assert read.uns["field"]["spatial_unit"] == "µm" and read.uns["field"]["fov"] == "treated_1"


@pytest.mark.companion("anndata")
def test_a_field_without_calibration_and_without_contacts() -> None:
    whole = field()
    bare = FieldGraph("a", (20, 30), 3, None, None, whole.nodes, whole.edges.iloc[:0])
    made = as_anndata(bare)
    assert (
        made.obsm["spatial"][0].tolist() == [5.0, 5.0] and made.uns["field"]["spatial_unit"] == "px"
    )
    assert made.obsp["contact"].nnz == 0
