"""Each bad input is refused, or warned of, by name and before any work, and finished files stay."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from kedro.io import DatasetError
from kedro.validation.exceptions import ParameterValidationError

from cyto_kedro.errors import ConfigError, GroupsFailedError, InputError
from cyto_kedro.pipeline_registry import ANALYSIS
from tiny_project import N_FRAMES, Project

REFUSED = (ConfigError, InputError, DatasetError, ParameterValidationError)
STAGES = ANALYSIS[:-1]


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray], **metadata: Any) -> None:
    """Replace a film; without calibration unless given."""
    film = change(tifffile.imread(path))
    given = {"axes": "TYX", **metadata}
    tifffile.imwrite(path, film, photometric="minisblack", metadata=given)


CALIBRATED = {
    "PhysicalSizeX": 0.65,
    "PhysicalSizeY": 0.65,
    "PhysicalSizeXUnit": "µm",
    "PhysicalSizeYUnit": "µm",
    "TimeIncrement": 120.0,
    "TimeIncrementUnit": "s",
}


def refused(project: Project, *said: str, pipelines: tuple[str, ...] = STAGES) -> str:
    """Run, expect a refusal that says all of `said`, and nothing made but what lay there before."""
    before = made(project)
    with pytest.raises(REFUSED) as failure:
        project.run(*pipelines)
    message = str(failure.value)
    for each in said:
        assert each in message, message
    assert made(project) == before
    return message


def made(project: Project) -> dict[str, tuple[int, int]]:
    """Every file of the results but the plan itself, which takes no time to make."""
    plan = ("manifest.json", "fields.parquet", "frames.parquet")
    return {path: at for path, at in project.files().items() if not any(p in path for p in plan)}


def raw_of(project: Project) -> Path:
    return Path(project.read("globals")["raw"])


def edit_sheet(project: Project, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = raw_of(project) / "sample_sheet.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)


class TestFiles:
    """What is wrong with the films is found by their headers, before a pixel is analysed."""

    def test_a_channel_missing_in_one_field(self, fresh: Project) -> None:
        (raw_of(fresh) / "treated_1" / "Dead.ome.tif").unlink()
        refused(fresh, "treated_1", "channel Dead is missing", "CancerCell, TCell", "Add its files")

    def test_channels_of_unequal_length(self, fresh: Project) -> None:
        rewrite(raw_of(fresh) / "treated_1" / "Dead.ome.tif", lambda film: film[:5])
        refused(fresh, "'treated_1'", "'Dead'", "Dead.ome.tif", "frames 9", "has 5", "complete")

    def test_channels_of_unequal_shape(self, fresh: Project) -> None:
        rewrite(raw_of(fresh) / "treated_1" / "Dead.ome.tif", lambda film: film[:, :90])
        refused(fresh, "'treated_1'", "'Dead'", "(96, 96)", "(90, 96)")

    @pytest.mark.parametrize("share", [0.5, 0.98])
    def test_a_truncated_film(self, fresh: Project, share: float) -> None:
        path = raw_of(fresh) / "treated_1" / "Dead.ome.tif"
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        refused(fresh, "treated_1", "Dead", str(path), "cut short", "Copy the file again")

    def test_a_film_of_another_bit_depth(self, fresh: Project) -> None:
        """16 bits beside 8: every target would be dead at first sight."""
        path = raw_of(fresh) / "treated_1" / "Dead.ome.tif"
        rewrite(path, lambda film: film.astype(np.uint16) * 16, **CALIBRATED)
        said = ("'Dead' is uint8 in field 'control_1'", "uint16 in field 'treated_1'")
        refused(fresh, *said, "not of one scale", pipelines=("ingestion",))

    def test_an_empty_folder(self, fresh: Project) -> None:
        for field in ("treated_1", "control_1"):
            shutil.rmtree(raw_of(fresh) / field)
        refused(fresh, "no file in", "{fov}/{channel}.ome.tif", "sample_sheet.csv", "Correct")

    def test_no_folder_and_no_sample_sheet(self, fresh: Project) -> None:
        (raw_of(fresh) / "sample_sheet.csv").unlink()
        refused(fresh, "sample_sheet.csv does not exist")
        shutil.rmtree(raw_of(fresh))
        refused(fresh, "raw", "does not exist")

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_pixel_that_is_no_number(self, fresh: Project, value: float) -> None:
        def spoil(film: np.ndarray) -> np.ndarray:
            film = film.astype(np.float32)
            film[4, 3, 3] = value
            return film

        other = raw_of(fresh) / "control_1" / "Dead.ome.tif"
        rewrite(other, lambda film: film.astype(np.float32), **CALIBRATED)
        rewrite(raw_of(fresh) / "treated_1" / "Dead.ome.tif", spoil, **CALIBRATED)
        with pytest.raises(GroupsFailedError) as failure:
            fresh.run(*STAGES)
        for said in ("treated_1", "channel Dead", "frame 4", "NaN or infinite", "Dead.ome.tif"):
            assert said in str(failure.value)
        folders = {path.split("/")[1] for path in fresh.files()}
        assert folders == {"02_intermediate"}  # stopped by the quality sheet, before any analysis

    def test_a_broken_field_can_be_excluded_as_the_message_says(self, fresh: Project) -> None:
        (raw_of(fresh) / "treated_1" / "Dead.ome.tif").write_bytes(b"II*\0")
        (raw_of(fresh) / "treated_1" / "TCell.ome.tif").unlink()
        why = {"exclude": ["", "yes"], "exclude_reason": ["", "disk failed"]}
        edit_sheet(fresh, lambda sheet: sheet.assign(**why))
        fresh.run("ingestion")
        assert list(fresh.catalog.load("manifest").fovs) == ["control_1"]


class TestSheet:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda s: s[:1], ("'treated_1'", "no row in the sample sheet", "add one")),
            (lambda s: pd.concat([s, s.assign(fov="x")[:1]]), ("'x'", "no raw file")),
            (lambda s: pd.concat([s, s]), ("'control_1' has several rows",)),
            (lambda s: s.rename(columns={"fov": "field"}), ("column 'fov' is missing", "field")),
            (
                lambda s: s.rename(columns={"condition": "Condition"}),
                ("'Condition'", "'condition'"),
            ),
            (
                lambda s: s.assign(exclude=["maybe", ""]),
                ("'control_1'", "exclude", "true or false"),
            ),
            (lambda s: s.assign(exclude=["yes", ""]), ("'control_1'", "exclude_reason")),
            (
                lambda s: s.assign(exclude_frames=["7-12", ""], exclude_reason="x"),
                ("'control_1'", "'7-12'", "0-8"),
            ),
            (lambda s: s.assign(time_offset_min=["soon", 0]), ("'control_1'", "time_offset_min")),
            (lambda s: s.assign(exclude="yes", exclude_reason="x"), ("every field",)),
        ],
    )
    def test_what_does_not_fit_is_named(
        self, fresh: Project, change: Any, said: tuple[str, ...]
    ) -> None:
        edit_sheet(fresh, change)
        refused(fresh, *said)


class TestCalibration:
    @pytest.fixture
    def uncalibrated(self, fresh: Project) -> Project:
        """Films that say nothing of pixel size and time."""
        for path in raw_of(fresh).glob("*/*.ome.tif"):
            rewrite(path, lambda film: film)
        return fresh

    def test_lengths_in_um_are_refused_before_any_work(self, uncalibrated: Project) -> None:
        refused(
            uncalibrated,
            *("pixel size of 2 of 2 fields", "'control_1'", "assay.pixel_size_um", "_px"),
            *("tabulation.touches.args.max_distance_um", "tracking.TCell.args.max_distance_um"),
        )
        message = refused(uncalibrated, "tabulation.touches", pipelines=("tabulation",))
        assert "tracking" not in message  # only what the run would use

    def test_in_pixels_the_run_goes_on_with_a_warning_and_null_columns(
        self, uncalibrated: Project, caplog: pytest.LogCaptureFixture
    ) -> None:
        uncalibrated.block(
            "tabulation", touches={"name": "Touches", "args": {"max_distance_px": 2}}
        )
        linker = {"name": "LAP", "args": {"max_distance_px": 15.0}}
        uncalibrated.block("tracking", TCell=linker, CancerCell=linker)
        uncalibrated.block(
            "networks",
            delaunay={"name": "Delaunay", "args": {"max_edge_px": 60}},
            spatial={"name": "SpatialStatistics", "args": {"radii_px": [10, 20]}},
            death_spread={
                "name": "DeathSpread",
                "args": {"max_distances_px": [30], "window_frames": 30},
            },
        )
        uncalibrated.block("contacts", kills={"name": "KillShares"})
        refused(
            uncalibrated,
            *("frame times of 2 of 2 fields", "'control_1'", "assay.frame_interval_s", "_frames"),
            "contacts.kills.args.window_min",
        )
        window = {"window_frames": 30}  # the defaults in minutes are then not used
        uncalibrated.block("contacts", kills={"name": "KillShares", "args": window})
        with caplog.at_level("WARNING", logger="cyto_kedro"):
            uncalibrated.run(*STAGES)
        text = "\n".join(caplog.messages)
        assert "field control_1, treated_1: pixel size unknown" in text
        assert "frame times unknown" in text
        cells, steps = uncalibrated.table("cells"), uncalibrated.table("steps")
        assert len(cells) and cells["area_um2"].isna().all() and cells["area_px"].notna().all()
        assert cells["time_min"].isna().all() and steps["speed_um_per_min"].isna().all()
        assert steps["speed_px_per_frame"].notna().any()

    def test_the_assay_can_say_what_the_files_do_not(self, uncalibrated: Project) -> None:
        uncalibrated.assay(pixel_size_um=0.5, frame_interval_s=60.0)
        uncalibrated.run("ingestion")
        catalog = uncalibrated.catalog
        assert catalog.load("fields")["pixel_size_um"].tolist() == [0.5, 0.5]
        frames = catalog.load("frames").query("fov == 'treated_1'")
        assert frames["time_s"].tolist() == [60.0 * t for t in range(N_FRAMES)]


class TestParameters:
    @pytest.mark.parametrize(
        ("block", "changes", "said"),
        [
            ("segmentation", {"TCell": {"name": "Otsou"}}, ("TCell", "'Otsou'", "'Otsu'")),
            (
                "segmentation",
                {"TCell": {"name": "Otsu", "args": {"diametre_um": 9}}},
                ("TCell", "argument of Otsu 'diametre_um'", "'diameter_um'"),
            ),
            (
                "tracking",
                {"TCell": {"name": "LAP", "args": {"max_distance_um": "far"}}},
                ("TCell", "LAP.max_distance_um", "number", "'far'"),
            ),
            ("segmentation", {"TCel": {"name": "Otsu"}}, ("segmentation", "'TCel'", "'TCell'")),
            (
                "preprocessing",
                {
                    "segmentation": [
                        {"name": "PercentileNormalisation", "args": {"channels": ["Ded"]}}
                    ]
                },
                ("PercentileNormalisation", "unknown channel 'Ded'", "'Dead'"),
            ),
            (
                "preprocessing",
                {"measurement": [{"name": "PercentileNormalisation"}]},
                ("measurement", "PercentileNormalisation", "move it"),
            ),
        ],
    )
    def test_an_unknown_name_is_told_with_its_key_and_the_nearest_match(
        self, fresh: Project, block: str, changes: dict[str, Any], said: tuple[str, ...]
    ) -> None:
        """Also where the run would not come to it for hours."""
        refused(fresh.block(block, **changes), *said)
        refused(fresh, *said, pipelines=("ingestion",))

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"channels": ["TCell", "CancerCel", "Dead"]}, ("CancerCell", "unknown channel")),
            ({"markers": {"death": "PI"}}, ("markers.death", "'PI'", "Dead")),
            ({"block_length": "many"}, ("block_length", "integer", "many")),
            ({"blok_length": 5}, ("unknown key 'blok_length'", "'block_length'")),
            ({"pixel_size_um": -1}, ("pixel_size_um", "greater than 0")),
            ({"raw": {"pattern": "{field}/{channel}.ome.tif"}}, ("'field'", "fov")),
        ],
    )
    def test_an_assay_that_cannot_be(
        self, fresh: Project, changes: dict[str, Any], said: tuple[str, ...]
    ) -> None:
        refused(fresh.assay(**changes), *said)


class TestPlan:
    def test_a_pipeline_that_does_not_exist(self, fresh: Project) -> None:
        refused(
            fresh, "unknown pipeline 'segmentatoin'", "'segmentation'", pipelines=("segmentatoin",)
        )

    def test_a_pipeline_that_comes_too_early(self, fresh: Project) -> None:
        refused(fresh, "no manifest yet", "--pipelines ingestion", pipelines=("segmentation",))

    def test_another_block_length_over_old_files(
        self, project: Project, caplog: pytest.LogCaptureFixture
    ) -> None:
        project.assay(block_length=4)
        refused(
            project,
            *("assay.block_length is 4", "planned with 7", "wrong results", "kedro run"),
            pipelines=("tabulation",),
        )
        before = project.files()
        cells = project.table("cells")
        with caplog.at_level("WARNING", logger="cyto_kedro"):
            project.run("ingestion", "preprocessing", "segmentation", "tabulation")
        assert any("changed from 7 to 4" in line for line in caplog.messages)
        assert set(before) < set(project.files())  # the old files stay, and are not read:
        pd.testing.assert_frame_equal(project.table("cells"), cells)

    def test_only_missing_outputs_under_a_runner_that_cannot_honour_it(
        self, project: Project
    ) -> None:
        before = project.files()
        with pytest.raises(ConfigError, match=r"--only-missing-outputs.*PartitionRunner"):
            project.run(only_missing=True)
        assert project.files() == before


class TestCells:
    def test_a_frame_and_a_film_without_cells_are_ordinary(self, fresh: Project) -> None:
        def dark(film: np.ndarray) -> np.ndarray:
            film = film.copy()
            film[3] = 20
            return film

        for path in (raw_of(fresh) / "treated_1").glob("*.ome.tif"):
            rewrite(path, dark, **CALIBRATED)
        for path in (raw_of(fresh) / "control_1").glob("*.ome.tif"):
            rewrite(path, lambda film: np.full_like(film, 20), **CALIBRATED)
        fresh.run(*STAGES)
        cells = fresh.table("cells")
        assert len(cells) and set(cells["fov"]) == {"treated_1"}
        assert 3 not in set(cells["frame"])
        measures = fresh.table("delaunay_measures").query("fov == 'control_1'")
        assert (measures["n_nodes"] == 0).all()


def test_the_terminal_shows_the_message_and_not_the_machinery(fresh: Project) -> None:
    (raw_of(fresh) / "treated_1" / "Dead.ome.tif").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "kedro", "run", "--pipelines", "ingestion"],
        cwd=fresh.path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode != 0
    assert "channel Dead is missing" in done.stderr and "Traceback" not in done.stderr


def test_parts_that_a_block_of_parameters_leaves_out_have_their_defaults(fresh: Project) -> None:
    whole = fresh.read("parameters_tabulation")
    given = {key: whole["tabulation"][key] for key in ("features", "touches", "steps")}
    fresh.write("parameters_tabulation", {"tabulation": given})
    catalog = fresh.catalog
    assert catalog.load("params:tabulation.quality").name == "MaskQuality"
    assert catalog.load("params:tabulation.touches").name == given["touches"]["name"]
    fresh.run("ingestion", "preprocessing", "segmentation", "tabulation")
    assert len(fresh.table("mask_evidence")) > 0
