"""Preprocessing in the project: any block length, views, reference images, what each step did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from pydantic import ValidationError

from cyto_kedro.algorithms.preprocessing.base import Step
from cyto_kedro.errors import ConfigError
from cyto_kedro.parameters import Preprocessing
from cyto_kedro.registry import algorithms
from cyto_kedro.view import View
from tiny_project import FOVS, N_FRAMES, Project, whole_table

MEASUREMENT = [
    {"name": "FlatField", "args": {"flat": "robust"}},
    {"name": "DriftRegistration", "args": {"channel": "CancerCell"}},
    {"name": "BleachCorrection"},
]
SEGMENTATION = [
    {"name": "TemporalMedian", "args": {"radius_frames": 2}},
    {"name": "NonLocalMeans", "args": {"channels": ["CancerCell"]}},
    {"name": "PercentileNormalisation"},
]


def film(catalog: Any, dataset: str, channel: str, fov: str = FOVS[1]) -> np.ndarray:
    """A whole film of images, from its blocks."""
    parts, manifest = catalog.load(dataset), catalog.load("manifest")
    blocks = [f"{fov}/{channel}/{block}" for block in manifest.blocks(fov)]
    return np.concatenate([np.asarray(parts[each]()) for each in blocks])


@pytest.mark.slow
def test_results_do_not_depend_on_block_length(fresh: Project, tmp_path: Path) -> None:
    results: list[dict[str, Any]] = []
    sheet_path = fresh.path.parent / "raw" / "sample_sheet.csv"
    sheet = pd.read_csv(sheet_path, dtype=str)
    sheet["exclude"], sheet["exclude_reason"] = sheet["fov"] == FOVS[0], "one is enough"
    sheet.to_csv(sheet_path, index=False)
    for length in (1, 7, N_FRAMES):
        project = fresh.copy(tmp_path / f"blocks{length}").assay(block_length=length)
        project.block("preprocessing", measurement=MEASUREMENT, segmentation=SEGMENTATION)
        project.run("ingestion", "preprocessing")
        catalog = project.catalog
        images = {
            (kind, name): film(catalog, f"{kind}_images", name)
            for kind, name in (
                ("measurement", "TCell"),
                ("measurement", "Dead"),
                ("segmentation", "TCell"),
                ("segmentation", "CancerCell"),
            )
        }
        tables = {
            name: catalog.load(name)[FOVS[1]]()
            for name in ("preprocessing_effects", "registration")
        }
        results.append({"images": images, "tables": tables})
    for other in results[1:]:
        for key, image in results[0]["images"].items():
            np.testing.assert_array_equal(image, other["images"][key], err_msg=str(key))
        for key, table in results[0]["tables"].items():
            pd.testing.assert_frame_equal(table, other["tables"][key])
    effects, registration = results[0]["tables"].values()
    assert effects.groupby("step_name")["step"].first().to_dict() == {
        each["name"]: i for i, each in enumerate([*MEASUREMENT, *SEGMENTATION], 1)
    }
    assert set(effects["frame"]) == {0, N_FRAMES // 2, N_FRAMES - 1}
    seen = effects[effects["step_name"] == "NonLocalMeans"]
    assert set(seen["channel"]) == {"CancerCell"}
    median = effects[effects["step_name"] == "TemporalMedian"]
    assert median["noise_after"].mean() < 0.8 * median["noise_before"].mean()
    assert registration["frame"].tolist() == list(range(N_FRAMES))
    picture = catalog.load("preprocessing_picture")[FOVS[1]]()
    assert picture.png.startswith(b"\x89PNG") and "4 TemporalMedian" in picture.caption


def test_a_view_is_true_in_every_table(fresh: Project) -> None:
    sheet_path = fresh.path.parent / "raw" / "sample_sheet.csv"
    sheet = pd.read_csv(sheet_path, dtype=str)
    sheet["exclude_frames"], sheet["exclude_reason"] = "3; 4", "out of focus"
    sheet.to_csv(sheet_path, index=False)
    fresh.run("ingestion")
    whole = fresh.catalog
    frames_before = whole.load("frames")
    raw = film(fresh.catalog, "raw_images", "TCell")
    view = {
        "first_frame": 1,
        "last_frame": 7,
        "every_frame": 2,
        "crop_px": [2, 92, 10, 86],
        "bin_px": 2,
    }
    assay = fresh.read("parameters")["assay"]
    fresh.assay(raw=assay["raw"] | {"view": view})
    with pytest.raises(ConfigError, match=r"assay\.raw\.view is .*the partitions on disk"):
        fresh.run("preprocessing")
    fresh.run("ingestion", "preprocessing", "segmentation", "tabulation")
    catalog = fresh.catalog
    fields = catalog.load("fields").set_index("fov").loc[FOVS[1]]
    assert (fields["n_frames"], fields["height_px"], fields["width_px"]) == (4, 45, 38)
    assert fields["pixel_size_um"] == pytest.approx(1.3)
    frames = catalog.load("frames").query(f"fov == {FOVS[1]!r}")
    assert frames["frame"].tolist() == [0, 1, 2, 3]
    assert frames["source_frame"].tolist() == [1, 3, 5, 7]
    assert frames["excluded"].tolist() == [False, True, False, False]
    before = frames_before.query(f"fov == {FOVS[1]!r}").set_index("frame")["time_s"]
    assert frames["time_s"].tolist() == before.loc[[1, 3, 5, 7]].tolist()
    truth = View.model_validate(view).stack(raw)  # noqa: PD013
    np.testing.assert_array_equal(film(fresh.catalog, "measurement_images", "TCell"), truth)
    info = catalog.get("measurement_images").one(f"{FOVS[1]}/TCell/t0000-0003").load_metadata()
    assert info.pixel_size_um == pytest.approx(1.3, rel=1e-5)
    assert info.time_s == pytest.approx(frames["time_s"].tolist(), abs=1e-3)
    cells = whole_table(catalog, "cells")
    assert set(cells["frame"]) <= {0, 2, 3} and len(cells)
    np.testing.assert_allclose(cells["area_um2"], cells["area_px"] * 1.3**2, rtol=1e-6)


def test_another_view_of_equal_size_makes_everything_stale(fresh: Project) -> None:
    assay = fresh.read("parameters")["assay"]
    fresh.assay(raw=assay["raw"] | {"view": {"crop_px": [0, 60, 0, 60]}})
    fresh.run("ingestion", "preprocessing")
    first = film(fresh.catalog, "measurement_images", "TCell")
    assert fresh.resume("preprocessing") == []
    fresh.assay(raw=assay["raw"] | {"view": {"crop_px": [30, 90, 0, 60]}})
    saved = {name for name, _ in fresh.resume("ingestion", "preprocessing")}
    assert {"preprocessing_state", "measurement_images", "segmentation_images"} <= saved
    second = film(fresh.catalog, "measurement_images", "TCell")
    np.testing.assert_array_equal(first[:, 30:], second[:, :30])


def test_given_flat_and_dark_images(fresh: Project) -> None:
    folder = fresh.path / "reference"
    folder.mkdir()
    flat = np.outer(np.linspace(0.8, 1.2, 96), np.linspace(0.9, 1.1, 96)).astype(np.float32)
    tifffile.imwrite(folder / "green.tif", flat * 1000 + 7)
    tifffile.imwrite(folder / "shutter.tif", np.full((96, 96), 7, np.uint16))
    fresh.write("globals", fresh.read("globals") | {"reference": str(folder)})
    step = {
        "name": "FlatField",
        "args": {
            "channels": ["TCell"],
            "flat": "given",
            "flat_images": {"TCell": "green"},
            "dark_images": {"TCell": "shutter"},
        },
    }
    fresh.block("preprocessing", measurement=[step])
    assay = fresh.read("parameters")["assay"]
    fresh.assay(raw=assay["raw"] | {"view": {"crop_px": [10, 70, 20, 80]}})
    fresh.run("ingestion", "preprocessing")
    part = flat[10:70, 20:80] / flat[10:70, 20:80].mean(dtype=float)
    raw = film(fresh.catalog, "raw_images", "TCell").astype(float)
    np.testing.assert_allclose(
        film(fresh.catalog, "measurement_images", "TCell"), (raw - 7) / part, rtol=1e-4, atol=1e-2
    )
    assert fresh.resume("preprocessing") == []
    tifffile.imwrite(folder / "green.tif", np.full((96, 96), 500, np.float32))
    assert ("preprocessing_state", FOVS[0]) in fresh.resume("preprocessing")
    tifffile.imwrite(folder / "green.tif", np.ones((50, 60), np.float32))
    with pytest.raises(Exception, match=r"'green' has \(50, 60\) pixels|crop_px"):
        fresh.resume("preprocessing")
    (folder / "green.tif").unlink()
    with pytest.raises(Exception, match=r"unknown reference image 'green'"):
        fresh.resume("preprocessing")


NEEDED: dict[str, dict[str, Any]] = {
    "AddStained": {"channels": ["a", "b"], "output": "m"},
    "Background": {"radius_px": 5},
    "BleedThrough": {"source": "a", "channels": ["b"], "fraction": 0.1},
    "ChannelMerge": {"channels": ["a", "b"], "output": "m"},
    "ChannelOffset": {"reference": "a"},
    "CrossChannelCorrelation": {"channels": ["a", "b"], "output": "r"},
    "DriftRegistration": {"channel": "a"},
    "GaussianSmooth": {"sigma_px": 1},
}
SAFE = {
    "Background",
    "BleachCorrection",
    "BleedThrough",
    "ChannelOffset",
    "DriftRegistration",
    "FlatField",
}


@pytest.mark.parametrize("name", sorted(algorithms("preprocessing")))
def test_only_corrections_may_touch_measurement_images(name: str) -> None:
    spec = {"name": name, "args": NEEDED.get(name, {})}
    made = Preprocessing.model_validate({"segmentation": [spec]}).steps()
    assert isinstance(made[0], Step)
    if name in SAFE:
        assert Preprocessing.model_validate({"measurement": [spec]}).measurement
    else:
        with pytest.raises((ConfigError, ValidationError), match=f"measurement: {name} changes"):
            Preprocessing.model_validate({"measurement": [spec]})
