from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.framework.project import pipelines
from kedro.pipeline.node import Node

from cyto_kedro import __version__, schemas
from cyto_kedro.datasets import PartitionedDataset
from cyto_kedro.images import Picture
from cyto_kedro.partitions import Partitions
from cyto_kedro.pipeline_registry import ANALYSIS
from tiny_project import (
    BLOCKS,
    FOVS,
    FURTHER,
    N_FRAMES,
    POPULATIONS,
    STAGES,
    TABLES,
    Project,
    whole_table,
)

# tables of which the test assay says nothing: no step moves its films, subtracts drift, makes columns
SILENT = {"registration", "subtracted_drift", "cell_columns"}


@pytest.fixture(scope="module")
def catalog(finished: Project) -> Any:
    return finished.catalog


@pytest.fixture(scope="module")
def nodes(finished: Project) -> list[Node]:
    """The nodes of ``kedro run``."""
    pipelines.set_requested(None)
    return list(pipelines["__default__"].nodes)


def test_the_graph_reads_like_the_assay(nodes: list[Node]) -> None:
    assert len(nodes) <= 35
    assert all(each._name for each in nodes) and len({each.name for each in nodes}) == len(nodes)
    pipelines.set_requested(None)
    assert {"__default__", "extended", "simulation", *ANALYSIS} <= set(pipelines.keys())
    assert "simulate" not in {each.name for each in nodes}


def test_every_dataset_is_in_the_catalog(nodes: list[Node], catalog: Any) -> None:
    for name in {each for n in nodes for each in [*n.inputs, *n.outputs]}:
        if name.startswith("params:") or name == "run_info":
            continue
        assert catalog.get(name) is not None, f"{name} is not in the catalog"


def test_every_planned_partition_of_every_output_exists(nodes: list[Node], catalog: Any) -> None:
    manifest = catalog.load("manifest")
    assert tuple(manifest.fovs) == FOVS and manifest.populations == POPULATIONS
    assert manifest.ids(("fov", "block")) == [f"{f}/{b}" for f in FOVS for b in BLOCKS]
    for name in [each for node in nodes for each in node.outputs]:
        dataset = catalog.get(name)
        if isinstance(dataset, PartitionedDataset):
            planned = manifest.ids(dataset.grain)
            assert sorted(planned) == dataset.list_ids(), name
            assert all(dataset.ledger.read(each) is not None for each in planned), name
        else:
            assert dataset.exists(), name


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_of_its_schema(catalog: Any, name: str) -> None:
    schema = schemas.TABLES[TABLES[name]]
    parts = catalog.load(name)
    for each in catalog.load("manifest").ids(parts.grain):
        table = parts[each]()
        schemas.check(schema, table, each)
        assert set(table["fov"]) <= {each.split("/")[0]}
    empty = len(whole_table(catalog, name)) == 0
    assert empty == (name in SILENT), f"{name}: the test assay says nothing of it"


def test_what_is_no_table_is_what_it_should_be(catalog: Any) -> None:
    manifest = catalog.load("manifest")
    image = catalog.load("measurement_images")["treated_1/Dead/t0007-0008"]()
    assert image.shape == (2, 96, 96)
    label = catalog.load("labels")["treated_1/TCell/t0000-0006"]()
    assert label.dtype == np.uint32 and label.shape == (7, 96, 96) and label.max() > 0
    for name in ("delaunay_graphs", "contact_graphs"):
        graphs = catalog.load(name)["treated_1"]()
        assert sorted(graphs) == list(range(N_FRAMES))
    assert catalog.load("contact_graph_over_time")["treated_1"]().number_of_nodes() > 0
    for name in ("survival", "kills", "contact_durations", "speeds", "directions", "quality"):
        picture = catalog.load(f"{name}_figure")
        assert isinstance(picture, Picture) and picture.alt
        assert picture.svg.startswith("<svg") and picture.numbers.count("\n") > 2
    assert catalog.load("track_overlay")["treated_1"]().png.startswith(b"\x89PNG")
    assert isinstance(catalog.load("raw_images"), Partitions)
    assert list(catalog.load("summary_by_fov")["fov"]) == list(manifest.fovs)


def test_images_carry_their_calibration(catalog: Any) -> None:
    found = catalog.get("measurement_images").one("control_1/Dead/t0007-0008").load_metadata()
    assert found.pixel_size_um == pytest.approx(0.65, rel=1e-6)
    frames = catalog.load("frames").query("fov == 'control_1'")["time_s"]
    assert found.time_s == pytest.approx(frames[7:9].tolist(), abs=1e-3)


def test_cells_are_what_the_masks_show(catalog: Any) -> None:
    """Counted apart from the pipeline: labels, areas and sums straight off masks and films."""
    cells = whole_table(catalog, "cells")
    labels, images = catalog.load("labels"), catalog.load("raw_images")
    for population in POPULATIONS:
        for block in BLOCKS:
            mask = labels[f"treated_1/{population}/{block}"]()
            dead = np.asarray(images[f"treated_1/Dead/{block}"]())
            start = int(block[1:5])
            for i, frame in enumerate(mask):
                rows = cells.query(
                    f"fov == 'treated_1' and population == {population!r} and frame == {start + i}"
                )
                names, counts = np.unique(frame[frame > 0], return_counts=True)
                assert rows["label"].tolist() == names.tolist()
                assert rows["area_px"].tolist() == counts.tolist()
                sums = np.bincount(frame.ravel(), dead[i].ravel().astype(float))[names]
                np.testing.assert_allclose(rows["Dead_sum"], sums, rtol=1e-6)


def test_tables_join_on_their_keys(catalog: Any) -> None:
    cells, points = whole_table(catalog, "cells"), whole_table(catalog, "track_points")
    key = ["fov", "population", "frame", "label"]
    seen = points[points["label"].notna()]
    assert len(seen.merge(cells, on=key)) == len(seen) == len(cells)
    contacts = whole_table(catalog, "contacts")
    for side in "ab":
        tracks = whole_table(catalog, "tracks")
        ours = contacts[["fov", f"population_{side}", f"track_id_{side}"]]
        joined = ours.set_axis(["fov", "population", "track_id"], axis=1).merge(tracks)
        assert len(joined) == len(contacts)


def test_the_runs_manifest_says_what_ran(finished: Project, nodes: list[Node]) -> None:
    """The run of `finished` asks for the further analyses too."""
    run = finished.manifest()
    assert run["state"] == "done" and run["started"] < run["finished"]
    assert run["run_id"] and (finished.path / "runs" / run["run_id"]).is_dir()
    further = {each.name for name in FURTHER for each in pipelines[name].nodes}
    assert set(run["nodes"]) == {each.name for each in nodes} | further
    assert run["parameters"]["assay"]["block_length"] == 7
    assert (
        run["packages"]["kedro"].startswith("1.") and run["packages"]["cyto_kedro"] == __version__
    )
    assert {"commit", "dirty"} == set(run["git"])
    assert run["command"] and run["python"] and run["runner"]
    saved = {(each["dataset"], each["partition"]) for each in run["partitions"]}
    assert ("labels", "treated_1/TCell/t0007-0008") in saved
    assert ("manifest", None) in saved and ("report", None) in saved
    assert all(each["seconds"] >= 0 and each["content"] for each in run["partitions"])
    assert {each["node"] for each in run["partitions"]} == set(run["nodes"])


def test_the_report_cites_its_run(finished: Project, catalog: Any) -> None:
    assert finished.manifest()["run_id"] in catalog.load("report")


def test_a_failed_run_leaves_its_manifest_too(project: Project) -> None:
    touches = project.path / "data/04_feature/touches/treated_1/t0007-0008.parquet"
    touches.write_bytes(b"no table")
    with pytest.raises(Exception, match="1 of 2 groups failed"):
        project.run("contacts")
    run = project.manifest()
    assert run["state"] == "failed" and "join_contacts" in run["error"]
    assert "t0007-0008.parquet" in run["error"]
    assert ("contacts", "control_1") in {(p["dataset"], p["partition"]) for p in run["partitions"]}


@pytest.mark.parametrize("name", [*ANALYSIS, "extended"])
def test_every_pipeline_runs_alone_after_the_former(project: Project, name: str) -> None:
    before = project.files()
    project.run(name)
    after = project.files()
    assert set(before) == set(after)
    saved = {each["dataset"] for each in project.manifest()["partitions"]}
    assert saved == {each for node in pipelines[name].nodes for each in node.outputs}


@pytest.fixture(scope="module")
def by_length(finished: Project, tiny_raw: Path, tmp_path_factory: Any) -> dict[int, Any]:
    """Catalogs of the same assay in blocks of 1, 7 and all frames."""
    found = {7: finished.catalog}
    for length in (1, 50):
        path = tmp_path_factory.mktemp("blocks") / str(length)
        made = Project.make(path, tiny_raw, block_length=length)
        made.run(*STAGES)
        found[length] = made.catalog
    return found


@pytest.mark.parametrize("length", [1, 50])
@pytest.mark.parametrize("name", [each for each in TABLES if each != "results"])
def test_tables_do_not_depend_on_the_blocks(
    by_length: dict[int, Any], name: str, length: int
) -> None:
    pd.testing.assert_frame_equal(
        whole_table(by_length[length], name),
        whole_table(by_length[7], name),
        check_exact=False,
        rtol=1e-6,
    )


@pytest.mark.parametrize("length", [1, 50])
def test_masks_and_graphs_do_not_depend_on_the_blocks(
    by_length: dict[int, Any], length: int
) -> None:
    def film(catalog: Any, identity: str) -> np.ndarray:
        parts, plan = catalog.load("labels"), catalog.load("manifest")
        fov = identity.split("/")[0]
        return np.concatenate([parts[f"{identity}/{b}"]() for b in plan.blocks(fov)])

    for identity in (f"{fov}/{population}" for fov in FOVS for population in POPULATIONS):
        np.testing.assert_array_equal(
            film(by_length[length], identity), film(by_length[7], identity)
        )
    for name in ("delaunay_graphs", "contact_graphs"):
        ours, theirs = (by_length[i].load(name)["treated_1"]() for i in (length, 7))
        for frame in range(N_FRAMES):
            assert sorted(ours[frame].edges) == sorted(theirs[frame].edges)
            assert sorted(ours[frame].nodes) == sorted(theirs[frame].nodes)


def test_json_of_the_plan_is_readable_by_people(finished: Project) -> None:
    text = (finished.path / "data/02_intermediate/manifest.json").read_text(encoding="utf-8")
    assert json.loads(text)["block_length"] == 7 and text.count("\n") > 20
