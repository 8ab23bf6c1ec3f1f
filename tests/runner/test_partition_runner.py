from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner, ThreadRunner

from cyto_kedro.cli import cli
from cyto_kedro.currency import EVERY_RUN
from cyto_kedro.datasets import LabelDataset
from cyto_kedro.errors import ConfigError, RunFailedError, RunStoppedError
from cyto_kedro.lift import is_lifted, spec_of
from cyto_kedro.pipeline_registry import register_pipelines
from cyto_kedro.registry import algorithms
from cyto_kedro.runner import PartitionRunner, history
from cyto_kedro.runner.holding import Hold
from tiny_project import STAGES, Project

OPTIONAL = {"msd", "further", "events", "event_curves", "behaviours"}  # figures
# plan_assay reads the raw folder's listing, which has no hash: it is asked every time
ALWAYS = {("manifest", ""), ("fields", ""), ("frames", "")}


def over_all_fields() -> set[str]:
    """What is learnt over all fields, and what follows from it: any field may change it.

    A node learns over fields if it makes one group of all, or of each population of all.
    """
    found = register_pipelines()
    whole = sum((found[name] for name in STAGES), Pipeline([])) - found["ingestion"]
    grains = {each: spec_of(each.func).by if is_lifted(each.func) else "" for each in whole.nodes}
    learnt = {name for each, by in grains.items() if "fov" not in by for name in each.outputs}
    return learnt | whole.from_inputs(*learnt).all_outputs()


def content(project: Project) -> dict[str, str]:
    """Hash of every partition, by the ledger."""
    catalog = project.catalog
    manifest = catalog.load("manifest")
    return {
        f"{name} {each}": str(dataset.content(each))
        for name in catalog
        if hasattr(dataset := catalog.get(name), "grain")
        and hasattr(dataset, "content")
        and not name.startswith(("true_", "simulated_"))
        for each in manifest.ids(dataset.grain)
    }


def cyto(project: Project, *words: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    """``kedro cyto ...`` in the project's folder."""
    monkeypatch.chdir(project.path)
    metadata = bootstrap_project(project.path)
    return CliRunner().invoke(cli, ["cyto", *words], obj=metadata)


def test_nothing_is_redone_when_all_is_current(project: Project) -> None:
    before = content(project)
    assert set(project.resume(*STAGES)) == ALWAYS
    assert content(project) == before


def test_the_report_is_made_where_it_would_say_something_else(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # figures of further analyses are there, and may not fit any more
    assert set(project.resume()) == ALWAYS | {("report", "")}
    for each in (project.path / "data/08_reporting/figures").glob("*.*"):
        if each.stem in OPTIONAL:
            each.unlink()
    shutil.rmtree(project.path / "data/08_reporting/clips")
    assert set(project.resume()) == ALWAYS | {("report", "")}
    cited = project.manifest()["run_id"]
    assert set(project.resume()) == ALWAYS
    assert cited in project.catalog.load("report")
    told = cyto(project, "status", monkeypatch=monkeypatch).output
    assert re.search("write_report +current\n", told)
    monkeypatch.setattr("cyto_kedro.ledger_hooks._packages", lambda path: {"numpy": "99"})
    assert set(project.resume()) == ALWAYS | {("report", "")}
    assert project.manifest()["run_id"] in project.catalog.load("report")


def test_a_deleted_partition_is_made_again_and_nothing_that_stays_equal(project: Project) -> None:
    before = content(project)
    (project.path / "data/04_feature/cells/treated_1/TCell/t0007-0008.parquet").unlink()
    assert set(project.resume(*STAGES)) == {*ALWAYS, ("cells", "treated_1/TCell/t0007-0008")}
    assert content(project) == before


def test_a_changed_parameter_redoes_its_node_and_what_hangs_on_it(project: Project) -> None:
    tracking = project.read("parameters_tracking")["tracking"]
    tracking["TCell"]["args"]["max_distance_um"] = 3.0
    project.block("tracking", **tracking)
    saved = set(project.resume(*STAGES)) - ALWAYS
    assert {each for each in saved if each[0] in ("track_points", "tracks")} == {
        (name, f"{fov}/TCell")
        for name in ("track_points", "tracks")
        for fov in ("control_1", "treated_1")
    }
    assert {name for name, _ in saved}.isdisjoint({"labels", "cells", "touches", "viability"})
    assert ("steps", "treated_1/TCell") in saved
    # columns of all populations of a field are made together
    assert not any(each.endswith("CancerCell") for name, each in saved if name != "cell_columns")
    assert set(project.resume(*STAGES)) == ALWAYS


def test_a_parameter_of_one_node_touches_no_other(project: Project) -> None:
    project.block("networks", delaunay={"name": "Delaunay", "args": {"max_edge_um": 25.0}})
    assert {name for name, _ in set(project.resume(*STAGES)) - ALWAYS} == {
        "delaunay_graphs",
        "delaunay_measures",
        "delaunay_nodes",
    }


def test_a_corrected_mask_redoes_what_depends_on_it_and_is_kept(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = project.catalog.get("labels")
    mask = labels.load_one("treated_1/TCell/t0007-0008").copy()
    victim = mask[0][mask[0] > 0][0]
    mask[0][mask[0] == victim] = 0  # a person saw that this is dirt, not a cell
    LabelDataset(filepath=tmp_path / "corrected.tif").save(mask)
    done = cyto(
        project,
        *("correct", "labels", "treated_1/TCell/t0007-0008", str(tmp_path / "corrected.tif")),
        *("--who", "Ana", "--why", "dirt"),
        monkeypatch=monkeypatch,
    )
    assert done.exit_code == 0, done.output
    assert "Redo what depends on it: kedro run" in done.output
    saved = set(project.resume(*STAGES)) - ALWAYS
    assert ("cells", "treated_1/TCell/t0007-0008") in saved
    assert {name for name, each in saved if each.startswith("control_1")} <= over_all_fields()
    assert {each for name, each in saved if name == "cells"} == {"treated_1/TCell/t0007-0008"}
    np.testing.assert_array_equal(labels.load_one("treated_1/TCell/t0007-0008"), mask)
    cells = project.table("cells").query("fov == 'treated_1' and population == 'TCell'")
    assert victim not in cells.query("frame == 7")["label"].tolist()
    correction = labels.ledger.read("treated_1/TCell/t0007-0008").correction
    assert (correction.who, correction.why) == ("Ana", "dirt")

    # another parameter of segmentation: the person's mask stays, others are made again
    project.block("segmentation", TCell={"name": "Otsu", "args": {}})
    saved = set(project.resume("segmentation"))
    assert ("engine_labels", "treated_1/TCell/t0007-0008") in saved
    np.testing.assert_array_equal(labels.load_one("treated_1/TCell/t0007-0008"), mask)

    done = cyto(
        project, "uncorrect", "labels", "treated_1/TCell/t0007-0008", monkeypatch=monkeypatch
    )
    assert done.exit_code == 0 and "Ana" in done.output
    project.resume("segmentation")
    assert labels.ledger.read("treated_1/TCell/t0007-0008").correction is None


def test_a_correction_of_one_population_survives_the_redoing_of_the_other(
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`subtract` makes the labels of all populations of a block at once."""
    labels, identity = project.catalog.get("labels"), "treated_1/TCell/t0007-0008"
    empty = np.zeros_like(labels.load_one(identity))
    LabelDataset(filepath=tmp_path / "corrected.tif").save(empty)
    done = cyto(
        project,
        "correct",
        "labels",
        identity,
        str(tmp_path / "corrected.tif"),
        "--who",
        "Ana",
        "--why",
        "no cells",
        monkeypatch=monkeypatch,
    )
    assert done.exit_code == 0, done.output
    project.block("segmentation", CancerCell={"name": "Otsu", "args": {}})
    saved = project.resume("segmentation")
    assert ("labels", "treated_1/CancerCell/t0007-0008") in saved
    assert ("labels", identity) not in saved
    np.testing.assert_array_equal(labels.load_one(identity), empty)
    with caplog.at_level("WARNING", logger="cyto_kedro"):
        project.run("segmentation")  # nor does a plain run overwrite what a person did
    assert any("kept the correction by Ana (no cells)" in line for line in caplog.messages)
    np.testing.assert_array_equal(labels.load_one(identity), empty)
    assert labels.correction(identity) is not None
    Path(labels.path_of(identity)).unlink()  # nor is it lost with the file: it has a copy
    project.resume("segmentation")
    np.testing.assert_array_equal(labels.load_one(identity), empty)
    assert labels.ledger.read(identity).correction.who == "Ana"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("lables", "treated_1/TCell/t0007-0008"),
            "unknown dataset 'lables'. Did you mean 'labels'",
        ),
        (("labels", "treated_2/TCell/t0007-0008"), "unknown partition of labels 'treated_2"),
        (("fields", "treated_1"), "has no partitions"),
        (("labels", "treated_1/TCell/t0000-0006"), "must show the same frames"),
    ],
)
def test_a_correction_that_cannot_be_is_refused(
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, str],
    said: str,
) -> None:
    before = project.files()
    LabelDataset(filepath=tmp_path / "corrected.tif").save(np.zeros((2, 96, 96), np.uint32))
    done = cyto(
        project,
        "correct",
        *words,
        str(tmp_path / "corrected.tif"),
        "--who",
        "Ana",
        "--why",
        "dirt",
        monkeypatch=monkeypatch,
    )
    assert done.exit_code != 0 and said in done.output
    assert project.files() == before


def test_status_says_what_a_resuming_run_would_do(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "data/04_feature/cells/treated_1/TCell/t0007-0008.parquet").unlink()
    done = cyto(project, "status", "--pipeline", "tabulation", monkeypatch=monkeypatch)
    lines = {line.split()[0]: line for line in done.output.splitlines()}
    assert "1 to run: cells: treated_1/TCell/t0007-0008 is missing" in lines["measure_cells"]
    assert lines["find_touches"].endswith("current")
    whole = cyto(project, "status", "--pipeline", "__default__", monkeypatch=monkeypatch).output
    told = dict(line.split(maxsplit=1) for line in whole.splitlines() if len(line.split()) > 1)
    assert told["call_deaths"] == "current, unless assess_viability gives something else"
    assert told["write_report"] == EVERY_RUN
    assert told["segment"] == "current"  # made before it
    listed = cyto(project, "runs", monkeypatch=monkeypatch)
    run_id = project.manifest()["run_id"]
    assert run_id in listed.output
    shown = cyto(project, "runs", run_id, monkeypatch=monkeypatch)
    assert "measure_cells" in shown.output and "done" in shown.output
    wrong = cyto(project, "runs", "2020", monkeypatch=monkeypatch)
    assert wrong.exit_code != 0 and "unknown run '2020'" in wrong.output


def with_own_raw(project: Project, tmp_path: Path) -> Path:
    """Give the project raw films of its own; their times are kept, so nothing is stale by that."""
    sheet = tmp_path / "sheet.csv"
    shutil.copy(project.catalog.get("sample_sheet")._path, sheet)
    catalog = project.read("catalog_ingestion")
    catalog["sample_sheet"]["filepath"] = str(sheet)
    project.write("catalog_ingestion", catalog)
    return sheet


def test_a_field_that_the_sheet_excludes_is_left_out_and_the_others_stay(
    project: Project, tmp_path: Path
) -> None:
    sheet = with_own_raw(project, tmp_path)
    table = pd.read_csv(sheet)
    table["exclude"] = table["fov"] == "control_1"
    table["exclude_reason"] = "out of focus"
    table.to_csv(sheet, index=False)
    saved = set(project.resume(*STAGES)) - ALWAYS
    # `judge_masks` reads its field's row of the sheet, which has two columns more now
    assert {name for name, _ in saved} <= over_all_fields() | {"mask_quality"}
    assert not any("control_1" in each for _, each in saved)
    assert set(project.table("cells")["fov"]) == {"treated_1"}
    assert list(project.catalog.load("fields")["fov"]) == ["treated_1"]


def test_frames_that_the_sheet_excludes_have_no_cells(project: Project, tmp_path: Path) -> None:
    sheet = with_own_raw(project, tmp_path)
    table = pd.read_csv(sheet)
    table["exclude_frames"] = ["", "2-3"]
    table["exclude_reason"] = ["", "focus lost"]
    assert table["fov"].tolist() == ["control_1", "treated_1"]
    table.to_csv(sheet, index=False)
    saved = set(project.resume(*STAGES)) - ALWAYS
    assert {each for name, each in saved if name == "engine_labels"} == {
        f"treated_1/{population}/{block}"
        for population in ("TCell", "CancerCell")
        for block in ("t0000-0006", "t0007-0008")
    }
    cells = project.table("cells")
    assert set(cells.query("fov == 'treated_1'")["frame"]) == {0, 1, 4, 5, 6, 7, 8}
    assert set(cells.query("fov == 'control_1'")["frame"]) == set(range(9))


def test_a_killed_run_that_is_resumed_ends_as_one_that_was_not(
    finished: Project, tiny_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.make(tmp_path / "killed", tiny_raw)
    features: Any = algorithms("tabulation")["Features"]
    count, call = itertools.count(1), features.__call__

    def dies(self: Any, data: Any) -> Any:
        if next(count) == 3:
            raise KeyboardInterrupt
        return call(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(features, "__call__", dies)
        with pytest.raises(KeyboardInterrupt):
            project.run(*STAGES)
    folder = max((project.path / "runs").iterdir())
    lines = (folder / "partitions.jsonl").read_text(encoding="utf-8").splitlines()
    assert sum('"cells"' in line for line in lines) == 2  # a killed run leaves its record
    saved = set(project.resume(*STAGES)) - ALWAYS
    assert {name for name, _ in saved}.isdisjoint(
        {"labels", "engine_labels", "segmentation_images"}
    )
    assert sum(name == "cells" for name, _ in saved) == 6
    ours, theirs = content(project), content(finished)
    assert {k: v for k, v in ours.items() if v != "None"} == {
        key: theirs[key] for key in theirs if ours[key] != "None"
    }
    made = sum((register_pipelines()[name] for name in STAGES), Pipeline([])).all_outputs()
    assert {key.split()[0] for key, value in ours.items() if value == "None"} == {
        name for name in (key.split()[0] for key in ours) if name not in made
    }


def test_a_failed_group_stops_what_depends_on_it_and_nothing_else(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinematics: Any = algorithms("contacts")["Kinematics"]

    def fails(self: Any, data: Any) -> Any:
        raise ValueError("no motion today")

    with monkeypatch.context() as patch:
        patch.setattr(kinematics, "__call__", fails)
        with pytest.raises(RunFailedError, match=r"(?s)measure_motion.*--only-missing"):
            project.run("contacts", runner=PartitionRunner())
    run = project.manifest()
    saved = {each["dataset"] for each in run["partitions"]}
    assert run["state"] == "failed" and {"kills", "bouts", "viability"} <= saved
    assert saved.isdisjoint({"steps", "motility"})


@pytest.mark.parametrize("runner", [PartitionRunner, ThreadRunner])
def test_every_runner_gives_the_same_bytes(project: Project, runner: Any) -> None:
    before = content(project)
    project.run("segmentation", "tabulation", "contacts", runner=runner())
    assert content(project) == before
    assert project.manifest()["state"] == "done"


def test_kedros_runners_are_refused_for_only_missing_outputs(project: Project) -> None:
    before = project.files()
    with pytest.raises(ConfigError, match=r"--only-missing-outputs.*PartitionRunner"):
        project.run("tabulation", only_missing=True)
    assert project.files() == before


def test_asynchronous_loading_is_refused() -> None:
    with pytest.raises(ValueError, match="--async"):
        PartitionRunner(is_async=True)


@pytest.mark.parametrize("runner", [PartitionRunner, SequentialRunner, ThreadRunner])
def test_no_runner_writes_what_another_run_writes(project: Project, runner: Any) -> None:
    """Another clone of the project on the same data folder, or a second terminal."""
    before, runs = project.files(), sorted((project.path / "runs").iterdir())
    with Hold([str(project.path / "data/03_primary/labels")], "the_other"):
        with pytest.raises(RunStoppedError, match=r"labels is being written by run the_other"):
            project.run("segmentation", runner=runner())
        with pytest.raises(RunStoppedError, match="the_other"):
            project.run("segmentation", runner=runner())
    assert project.files() == before
    assert len(sorted((project.path / "runs").iterdir())) - len(runs) == (
        2 if runner is PartitionRunner else 0  # a runner of ours leaves a manifest that says why
    )
    project.run("segmentation", runner=runner())  # nothing is held any more
    assert not (project.path / "data/.leases").exists()


def test_a_correction_waits_for_the_run_that_writes_the_same(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = "treated_1/TCell/t0007-0008"
    mask = project.catalog.get("labels").load_one(identity)
    LabelDataset(filepath=tmp_path / "corrected.tif").save(mask)
    words = ("correct", "labels", identity, str(tmp_path / "corrected.tif"))
    by = ("--who", "Ana", "--why", "dirt")
    with Hold([str(project.path / "data/03_primary/labels")], "the_other"):
        for command in ((*words, *by), ("uncorrect", "labels", identity)):
            done = cyto(project, *command, monkeypatch=monkeypatch)
            assert done.exit_code != 0 and "written by run the_other" in done.output
    assert cyto(project, *words, *by, monkeypatch=monkeypatch).exit_code == 0


def test_a_killed_run_is_called_so_from_another_machine(project: Project) -> None:
    folder = max((project.path / "runs").glob("*/manifest.json")).parent
    manifest = project.manifest()
    lease = Path(manifest["lease"])
    assert lease.parent.name == ".leases"

    def write(**more: Any) -> None:
        running = manifest | {"state": "running", **more}
        (folder / "manifest.json").write_text(json.dumps(running))

    write(host="elsewhere")
    lease.parent.mkdir(exist_ok=True)
    lease.write_text(json.dumps({"run_id": manifest["run_id"]}))
    assert history.read(folder)["state"] == "running"
    os.utime(lease, (1, 1))
    assert history.read(folder)["state"] == "killed"
    lease.unlink()
    assert history.read(folder)["state"] == "killed"
    write(pid=2**22 + 5)
    assert history.read(folder)["state"] == "killed"
    write()
    assert history.read(folder)["state"] == "running"  # the process of this test
