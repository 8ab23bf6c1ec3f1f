"""Cellpose and StarDist: messages without them, and real runs where they are installed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from cyto_kedro.algorithms.segmentation import cellpose, stardist
from cyto_kedro.errors import InputError, MissingExtraError

IMAGE = np.zeros((1, 32, 32), np.uint16)


@pytest.mark.parametrize(
    ("algorithm", "package", "extra"),
    [
        (cellpose.CellPose(model="m"), "cellpose", "cyto_kedro[cellpose]"),
        (stardist.StarDist(model="m"), "stardist.models", "cyto_kedro[stardist]"),
    ],
)
def test_missing_package_says_what_to_install(
    algorithm: object, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as error:
        algorithm({"image": IMAGE})  # type: ignore[operator]
    assert extra in str(error.value)


def test_missing_weights_say_where_they_belong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    with pytest.raises(InputError, match="CELLPOSE_LOCAL_MODELS_PATH") as error:
        cellpose._weights("cyto9")
    assert str(tmp_path / "cyto9") in str(error.value)
    (tmp_path / "cyto9").touch()
    assert cellpose._weights("cyto9") == str(tmp_path / "cyto9")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(InputError, match="KERAS_HOME"):
        stardist._folder("2D_none")
    model = tmp_path / "models" / "StarDist2D" / "2D_none"
    model.mkdir(parents=True)
    (model / "config.json").touch()
    (model / "weights_best.h5").touch()
    assert stardist._folder("2D_none") == model.resolve()


def hela(shared_data: Path) -> tuple[np.ndarray, np.ndarray]:
    tifffile = pytest.importorskip("tifffile")
    folder = shared_data / "small_timelapse_nuclei"
    image = tifffile.imread(folder / "mitocheck_incenp_t1.tif")
    return image, tifffile.imread(folder / "mitocheck_incenp_t1_labels.tif")


def f1(truth: np.ndarray, found: np.ndarray) -> float:
    pairs = np.zeros((int(truth.max()) + 1, int(found.max()) + 1))
    np.add.at(pairs, (truth.ravel().astype(int), found.ravel().astype(int)), 1)
    area, other = pairs.sum(1), pairs.sum(0)
    union = area[1:, None] + other[None, 1:] - pairs[1:, 1:]
    hits = (pairs[1:, 1:] > 0.5 * union).sum()
    return 2 * hits / ((area[1:] > 0).sum() + (other[1:] > 0).sum())


@pytest.mark.engine
@pytest.mark.shared
@pytest.mark.slow
def test_cellpose_on_real_nuclei(shared_data: Path, shared_models: Path) -> None:
    pytest.importorskip("cellpose")
    weights = shared_models / "cellpose3_dsb2018_nuclei" / "cp3_dsb2018_nuclei"
    image, truth = hela(shared_data)
    algorithm = cellpose.CellPose(model=str(weights), gpu=False)
    label = algorithm({"image": np.stack([image * 0, image])})["label"]
    assert label.dtype == np.uint32
    assert not label[0].any()
    assert f1(truth, label[1]) > 0.8


@pytest.mark.engine
@pytest.mark.shared
@pytest.mark.slow
def test_stardist_on_real_nuclei(shared_data: Path, shared_models: Path) -> None:
    pytest.importorskip("stardist")
    image, truth = hela(shared_data)
    algorithm = stardist.StarDist(model=str(shared_models / "stardist_dsb2018_nuclei"))
    label = algorithm({"image": np.stack([image * 0, image])})["label"]
    assert label.dtype == np.uint32
    assert not label[0].any()
    assert f1(truth, label[1]) > 0.8
