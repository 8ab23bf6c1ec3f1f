"""From a folder under a microscope's names to a finished run, without writing YAML."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from click.testing import CliRunner
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from cyto_kedro.cli import cli
from cyto_kedro.new_assay.plate_map import read_plate_map
from cyto_kedro.new_assay.roles import guess, propose
from cyto_kedro.new_assay.writing import engine_of, tracking_of
from cyto_kedro.parameters import TrackingSpec
from tiny_project import N_FRAMES, Project

STAGES = {"treated_1": "1", "control_1": "2"}
CHANNELS = {"TCell": "1TCell", "CancerCell": "2CancerCell", "Dead": "3Dead"}


@pytest.fixture
def metamorph(tiny_raw: Path, tmp_path: Path) -> Path:
    """The tiny films as MetaMorph leaves them: a file a frame, no calibration."""
    folder = tmp_path / "films"
    folder.mkdir()
    for fov, stage in STAGES.items():
        for channel, wave in CHANNELS.items():
            for t, frame in enumerate(tifffile.imread(tiny_raw / fov / f"{channel}.ome.tif")):
                path = folder / f"night_w{wave}_s{stage}_t{t + 1}.TIF"
                tifffile.imwrite(path, frame, photometric="minisblack")
    return folder


@pytest.mark.parametrize(("population", "role"), [("TCell", "effector"), ("CancerCell", "target")])
def test_a_new_environment_begins_as_the_base(
    project_root: Path, population: str, role: str
) -> None:
    def base(room: str) -> Any:
        text = (project_root / f"conf/base/parameters_{room}.yml").read_text(encoding="utf-8")
        return yaml.safe_load(text)[room][population]

    tracking = TrackingSpec.model_validate(tracking_of(role))
    assert tracking.fingerprint() == TrackingSpec.model_validate(base("tracking")).fingerprint()
    assert base("segmentation") == engine_of(role)


def call(project: Project, *args: str, answers: str | None = None) -> tuple[int, str]:
    metadata = bootstrap_project(project.path)
    done = CliRunner().invoke(cli, ["cyto", "new", *args], obj=metadata, input=answers)
    return done.exit_code, done.output


def blocks(project: Project, name: str) -> dict:
    found: dict = {}
    for path in (project.path / "conf" / name).glob("*.yml"):
        found |= yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


CALIBRATED = ("--pixel-size", "0.65", "--interval", "120", "--yes")


@pytest.mark.slow
def test_from_a_folder_to_a_run(metamorph, finished, tiny_raw, tmp_path):
    project = Project.make(tmp_path / "project", tiny_raw)
    plate_map = tmp_path / "map.csv"
    plate_map.write_text("fov;condition;control\n1;treated;no\n2;control;yes\n")
    told = ("--raw", str(metamorph), "--plate-map", str(plate_map))
    code, said = call(project, "night", *told, *CALIBRATED)
    assert code == 0, said
    assert "MetaMorph: *_w{channel}_s{fov}_t{frame}.tif" in said
    assert "Next: kedro run --env night" in said
    made = blocks(project, "night")
    assert made["assay"]["raw"]["names"] == CHANNELS
    assert {k: v["role"] for k, v in made["assay"]["populations"].items()} == {
        "TCell": "effector",
        "CancerCell": "target",
    }
    assert made["assay"]["markers"] == {"death": "Dead"}
    sheet = pd.read_csv(project.path / "conf/night/sample_sheet.csv", dtype=str)
    assert sheet["condition"].tolist() == ["treated", "control"]
    picture = tmp_path / "sheet.png"
    shutil.copy(project.path / "conf/night/contact_sheet.png", picture)
    from PIL import Image

    assert Image.open(picture).size[0] > 2 * 200 and np.asarray(Image.open(picture)).std() > 10

    bootstrap_project(project.path)
    session = KedroSession.create(project.path, env="night")
    session.run()
    results = project.path / "results" / "night"
    assert (results / "08_reporting" / "report.html").stat().st_size > 10_000
    ours = pd.read_parquet(results / "07_model_output" / "deaths")
    theirs = pd.read_parquet(finished.path / "data" / "07_model_output" / "deaths")
    renamed = ours.assign(fov=ours["fov"].astype(str).map({v: k for k, v in STAGES.items()}))
    keys = ["fov", "population", "track_id", "frame"]
    pd.testing.assert_frame_equal(
        renamed[keys].sort_values(keys, ignore_index=True),
        theirs[keys].astype({"fov": object}).sort_values(keys, ignore_index=True),
        check_dtype=False,
        check_categorical=False,
    )


def test_it_overwrites_nothing(metamorph, tiny_raw, tmp_path):
    project = Project.make(tmp_path / "project", tiny_raw)
    code, said = call(project, "night", "--raw", str(metamorph), *CALIBRATED)
    assert code == 0, said
    before = {p: p.read_bytes() for p in (project.path / "conf").rglob("*") if p.is_file()}
    for name in ("night", "gowt1"):
        code, said = call(project, name, "--raw", str(metamorph), *CALIBRATED)
        assert code == 1 and "is there already; take another name" in said
    assert before == {p: p.read_bytes() for p in (project.path / "conf").rglob("*") if p.is_file()}


def test_it_asks_what_it_cannot_know(metamorph, tiny_raw, tmp_path):
    project = Project.make(tmp_path / "project", tiny_raw)
    code, said = call(project, "a", "--raw", str(metamorph), "--yes")
    assert code == 1 and "give --pixel-size and --interval" in said
    order = sorted(CHANNELS)  # as they are found: by their names in the files
    answers = {"TCell": "target", "CancerCell": "effector", "Dead": "none"}
    typed = [answers[name] for name in sorted(order, key=CHANNELS.get)] + ["0.5", "60"]
    code, said = call(project, "a", "--raw", str(metamorph), answers="\n".join(typed) + "\n")
    assert code == 0, said
    assay = blocks(project, "a")["assay"]
    assert (assay["pixel_size_um"], assay["frame_interval_s"]) == (0.5, 60.0)
    assert assay["populations"]["TCell"]["role"] == "target" and assay["markers"] == {}
    assert sorted(assay["channels"]) == order


def test_channels_that_do_not_tell(tiny_raw, tmp_path):
    """All channels in one file without names, as Fiji saves them; one population is enough."""
    folder = tmp_path / "films"
    folder.mkdir()
    film = np.zeros((N_FRAMES, 2, 32, 32), np.uint16)
    tifffile.imwrite(folder / "B07_1.tif", film, imagej=True, metadata={"axes": "TCYX"})
    project = Project.make(tmp_path / "project", tiny_raw)
    code, said = call(project, "a", "--raw", str(folder), *CALIBRATED)
    assert code == 1 and "channel1, channel2): say --effector, --target" in said
    told = ("--channels", "GFP, BF", "--target", "GFP")
    code, said = call(project, "a", "--raw", str(folder), *told, *CALIBRATED)
    assert code == 0, said
    assert "--pipelines ingestion,preprocessing,segmentation,tabulation,tracking" in said
    assay = blocks(project, "a")["assay"]
    assert assay["channels"] == ["GFP", "BF"] and "names" not in assay["raw"]
    sheet = pd.read_csv(project.path / "conf/a/sample_sheet.csv", dtype=str)
    assert sheet.loc[0, ["fov", "well", "replicate"]].tolist() == ["B07_1", "B7", "B7"]
    code, said = call(project, "b", "--raw", str(folder), "--target", "GPF", *CALIBRATED)
    assert code == 1 and "unknown channel 'GPF'" in said


def test_all_that_is_wrong_and_nothing_written(metamorph, tiny_raw, tmp_path):
    project = Project.make(tmp_path / "project", tiny_raw)
    (metamorph / "night_w1TCell_s1_t2.TIF").unlink()
    (metamorph / "night_w3Dead_s2_t3.TIF").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99))
    code, said = call(project, "a", "--raw", str(metamorph), *CALIBRATED)
    assert code == 1 and "frame 2 is missing" in said and "is a PNG picture" in said
    assert not (project.path / "conf" / "a").exists()


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_picture_of_the_plate(tmp_path, form):
    path = tmp_path / f"map.{form}"
    plate = pd.DataFrame([["drug", ""], ["", "none"]], index=["A", "B"], columns=["1", "2"])
    plate.to_csv(path) if form == "csv" else plate.to_excel(path)
    found = read_plate_map(path)
    assert found.to_dict("list") == {"well": ["A1", "B2"], "condition": ["drug", "none"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("well,condition\nA1,a\nA01,b\n", "well 'A1' stands there twice"),
        ("well,condition\nZ99,a\n", "'Z99' is no well"),
        ("place,condition\nA1,a\n", "neither a list"),
    ],
)
def test_plate_maps_that_are_none(tmp_path, text, message):
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_plate_map(tmp_path / "map.csv")


def test_names_that_tell_what_a_channel_shows():
    told = {
        name: guess(name) for name in ("T_Cell", "CD8-CFSE", "Nalm6", "PI", "Sytox_green", "GFP")
    }
    assert list(told.values()) == ["effector", "effector", "target", "death", "death", None]
    assert guess("DeadTCell") is None and guess("T cell dead") is None  # of two kinds: not told
    found = propose(["NK", "GFP", "PI"], targets=["GFP"])
    assert (found.effectors, found.targets, found.death) == (("NK",), ("GFP",), "PI")


@pytest.mark.parametrize("text", [",1,\nA,drug,control\n", ",1\nA,drug,control\n"])
def test_a_cell_in_no_numbered_column_of_a_plate_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plate.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="'control' in row A stands in no numbered column"):
        read_plate_map(path)
    path.write_text(",1,\nA,drug,\n")
    assert read_plate_map(path)["condition"].tolist() == ["drug"]
