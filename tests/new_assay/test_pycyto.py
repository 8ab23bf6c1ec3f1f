"""A pipeline file of pyCyto becomes an environment that reads the same films."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from cyto_kedro.cli import cli
from cyto_kedro.datasets.raw import RawFolder
from cyto_kedro.errors import InputError
from cyto_kedro.new_assay.pycyto import translate
from cyto_kedro.new_assay.pycyto_resources import translate_resources
from cyto_kedro.parameters import Assay
from cyto_kedro.pipelines.ingestion.nodes import plan_assay
from cyto_kedro.runner.resources import check_resources, read_resources
from tiny_project import Project


def pipeline(raw: Path) -> dict[str, Any]:
    """As the project's own pipelines/pipeline_cytox_confocal.yaml, over the tiny films."""
    stardist = {"model_name": "2D_versatile_fluo", "prob_thresh": 0.2, "nms_thresh": 0.9}
    cellpose = {"model_type": "cyto", "gpu": True, "cellprob_thresh": -3.0, "diameter": 18.0}
    return {
        "description": "Cytotoxicity batch run pipeline file",
        "fiji_dir": "/opt/Fiji.app",
        "channels": {
            "TCell": str(raw / "treated_1" / "TCell.ome.tif"),
            "Brightfield": None,
            "Dead": str(raw / "treated_1" / "Dead.ome.tif"),
            "Alive": str(raw / "treated_1" / "CancerCell.ome.tif"),
        },
        "image_range": {"x": [0, None, 1], "y": [0, -1], "t": [1, 9, 2]},
        "spacing": [0.65, 0.65],
        "pipeline": {
            "preprocessing": [
                {
                    "name": "ChannelMerge",
                    "channels": [["Dead", "Alive"]],
                    "args": {"verbose": True},
                    "output_channel_name": "CancerCell",
                },
                {"name": "GammaCorrection", "channels": "all", "args": {"gamma": 0.7, "gain": 1}},
            ],
            "segmentation": [
                {"name": "StarDist", "channels": ["CancerCell"], "args": stardist},
                {
                    "name": "CellPose",
                    "channels": ["TCell"],
                    "args": {**cellpose, "model_matching_thresh": 10.0},
                },
            ],
            "label_to_sparse": {"image_label_pair": [["TCell", "TCell"]]},
            "tracking": [{"name": "TrackMate", "channels": ["TCell"], "args": None}],
            "postprocessing": [{"name": "KernelDensityEstimation"}, {"name": "Kymograph"}],
        },
    }


def test_what_has_a_counterpart(tiny_raw: Path) -> None:
    found = translate(pipeline(tiny_raw), "a.yaml")
    assay = found.blocks["parameters"]["assay"]
    assert assay["raw"]["pattern"] == "{channel}.ome.tif"
    assert assay["raw"]["names"] == {"Alive": "CancerCell"}
    assert assay["raw"]["view"] == {"first_frame": 1, "last_frame": 8, "every_frame": 2}
    assert assay["pixel_size_um"] == 0.65 and assay["markers"] == {"death": "Dead"}
    roles = {name: each["role"] for name, each in assay["populations"].items()}
    assert roles == {"CancerCell": "target", "TCell": "effector"}
    steps = found.blocks["parameters_preprocessing"]["preprocessing"]["segmentation"]
    assert [each["name"] for each in steps] == ["ChannelMerge", "PercentileNormalisation", "Gamma"]
    assert steps[2]["args"] == {
        "channels": ["TCell", "Dead", "Alive", "CancerCell"],
        "gamma": 0.7,
    }
    engines = found.blocks["parameters_segmentation"]["segmentation"]
    assert engines["CancerCell"]["args"] == {
        "model": "2D_versatile_fluo",
        "prob_thresh": 0.2,
        "nms_thresh": 0.9,
    }
    assert engines["TCell"]["args"]["diameter_px"] == 18.0
    said = "\n".join(found.lacking)
    for each in ("model_matching_thresh", "Kymograph: has no", "LAP", "assay.frame_interval_s"):
        assert each in said
    assert found.raw == str(tiny_raw / "treated_1")


def test_the_environment_reads_the_films(tiny_raw: Path, tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project", tiny_raw)
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(pipeline(tiny_raw)))
    metadata = bootstrap_project(project.path)
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(RESOURCES))
    words = ["cyto", "from-pycyto", str(tmp_path / "p.yaml"), "mine"]
    words += ["--resources", str(tmp_path / "r.yaml")]
    done = CliRunner().invoke(cli, words, obj=metadata)
    assert done.exit_code == 0, done.output
    assert "- Kymograph: has no counterpart" in done.output
    assert "--runner-params resources=mine" in done.output
    assert read_resources(project.path / "conf/resources", "mine").nodes
    folder = project.path / "conf" / "mine"
    blocks: dict[str, Any] = {}
    for path in folder.glob("*.yml"):
        blocks |= yaml.safe_load(path.read_text(encoding="utf-8"))
    sheet = pd.read_csv(folder / "sample_sheet.csv", dtype=str).fillna("")
    planned = plan_assay(RawFolder(blocks["raw"]), sheet, Assay.model_validate(blocks["assay"]))
    plan = planned[0]
    assert list(plan.fovs) == ["fov1"] and plan.fovs["fov1"].n_frames == 4
    again = CliRunner().invoke(cli, words, obj=metadata)
    assert again.exit_code != 0 and "is there already" in " ".join(again.output.split())


RESOURCES = {
    "preprocessing": {"partition": "short", "memory": "8G", "cpus-per-task": 2, "batch_size": 10},
    "segmentation": [
        {"name": "StarDist", "channels": ["CancerCell"], "gpus": 1, "time": "4:00:00"},
        {"name": "CellPose", "channels": ["TCell"], "resources": {"gres": "gpu:2", "mem": 32000}},
    ],
    "label_to_sparse": {"mem": "a lot", "nodelist": "n1"},
    "postprocessing": {"mem": "4G", "gpus": 0},
    "viewer": {"mem": "1G"},
}


def test_resources_are_those_of_the_nodes_that_do_it() -> None:
    found, lacking = translate_resources(RESOURCES, "r.yaml", ("TCell", "CancerCell"))
    asked = check_resources(found, "r.yml")
    where = {"pipelines": ["preprocessing"]}
    plain = asked.of("apply_preprocessing", **where)
    assert (plain.partition, plain.mem, plain.cpus_per_task, plain.batch_size) == (
        *("short", "8G", 2, 10),
    )
    cancer = asked.of("segment", {"population": "CancerCell"}, pipelines=["segmentation"])
    assert (cancer.gres, cancer.time) == ("gpu:1", "4:00:00")
    effector = asked.of("segment", {"population": "TCell"}, pipelines=["segmentation"])
    assert (effector.gres, effector.mem) == ("gpu:2", "32000")
    for name in ("contacts", "networks"):
        later = asked.of("any", pipelines=[name])
        assert (later.mem, later.gres) == ("4G", None)
    assert lacking == [
        "resources of label_to_sparse: mem: a lot has no counterpart",
        "resources of label_to_sparse: nodelist: n1 has no counterpart",
        "resources of viewer: has no counterpart",
    ]
    with pytest.raises(InputError, match="names of stages"):
        translate_resources({"channels": {}}, "r.yaml")


def test_frames_in_folders_and_masks(tmp_path: Path) -> None:
    content = pipeline(tmp_path)
    content["channels"] = {"Dead": "/data/run/ch1/*.tif", "Alive": "/data/run/ch0/*.tif"}
    content["image_range"] = {"x": [5, 60, 2], "y": [6, 70, 2], "t": [0, None, 1]}
    content["pipeline"]["preprocessing"] = None
    content["pipeline"]["segmentation"] = [{"name": "ImageToLabel", "channels": "all"}]
    found = translate(content, "a.yaml")
    raw = found.blocks["parameters"]["assay"]["raw"]
    assert (found.raw, raw["pattern"]) == ("/data/run", "{channel}/{frame}.tif")
    assert raw["names"] == {"Dead": "ch1", "Alive": "ch0"}
    assert raw["view"] == {"crop_px": [6, 70, 5, 60]}
    said = "\n".join(found.lacking)
    assert "ImageToLabel of Dead: its image holds masks" in said and "bin_px" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": None}, "no pipeline of pyCyto"),
        ({"channels": {"A": None}}, "no channel has a path"),
        ({"channels": {"A": "/x/a.tif", "B": "/y/z/b.tif"}}, "no pattern in common"),
        ({"pipeline": {"segmentation": []}}, "segments nothing"),
    ],
)
def test_what_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        translate(pipeline(tmp_path) | change, "a.yaml")
