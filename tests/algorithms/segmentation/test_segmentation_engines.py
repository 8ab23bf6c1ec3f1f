"""Cellpose and StarDist: messages without them, and real runs where they are installed."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage import measure

from cyto_kedro.algorithms.segmentation import cellpose, stardist
from cyto_kedro.algorithms.segmentation.frames import Frames
from cyto_kedro.errors import ConfigError, InputError, MissingExtraError
from cyto_kedro.registry import build

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
        cellpose._weights("cyto9", ("cyto3",))
    assert str(tmp_path / "cyto9") in str(error.value) and "cyto3" in str(error.value)
    assert cellpose._weights("cyto3", ("cyto3",)) == "cyto3"  # Cellpose fetches it
    (tmp_path / "cyto9").touch()
    assert cellpose._weights("cyto9") == str(tmp_path / "cyto9")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    message = str(stardist._missing("2D_none", ["2D_demo"]))
    model = tmp_path / "models" / "StarDist2D" / "2D_none"
    assert "KERAS_HOME" in message and str(model) in message and "2D_demo" in message
    assert stardist._folder("2D_none") is None
    model.mkdir(parents=True)
    (model / "config.json").touch()
    (model / "weights_best.h5").touch()
    assert stardist._folder("2D_none") == model.resolve()


def test_stardists_scale_comes_from_the_diameter() -> None:
    algorithm = stardist.StarDist(model="m", diameter_um=8, model_diameter_px=20)
    assert algorithm._factor(0.5) == 20 / 16
    with pytest.raises(ConfigError, match="pixel size"):
        algorithm._factor(None)
    for args in ({"diameter_um": 8}, {"scale": 2, "diameter_px": 8, "model_diameter_px": 20}):
        with pytest.raises(ConfigError, match="scale"):
            build("segmentation", "StarDist", {"model": "m", **args})


class Network:
    """Cellpose of either major version as far as it is called: labels what is brighter than 0.5."""

    def __init__(self, signature: str) -> None:
        self.signature, self.batches = signature, []
        self.told: dict[str, object] = {}

    def eval(self, x: np.ndarray, **args: object) -> tuple[np.ndarray, None, None]:
        assert set(args) <= set(self.signature.split())
        self.batches.append(x)
        self.told = args
        return (x[..., 0] > 0.5).astype(np.int32).squeeze(), None, None


# as of cellpose 3.1.1.3 and 4.2.1.1
COMMON = "batch_size resample channel_axis z_axis normalize rescale diameter flow_threshold"
COMMON += " cellprob_threshold do_3D min_size max_size_fraction niter augment tile_overlap bsize"


@pytest.mark.parametrize(("major", "n_channels", "more"), [(3, 2, " invert interp"), (4, 3, "")])
def test_one_class_serves_both_versions_of_cellpose(
    major: int, n_channels: int, more: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(COMMON + more)
    torch = SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: False),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: False)),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "cellpose", SimpleNamespace(models=None))
    monkeypatch.setattr(cellpose, "_load", lambda model, gpu: (network, major))
    rng = np.random.default_rng(0)
    film = rng.random((5, 8, 9)).astype(np.float32)
    film[3] = 1
    image = {"Cells": film, "Nuclei": film[:, ::-1]}

    def found(length: int, **args: object) -> np.ndarray:
        algorithm = build(
            "segmentation", "CellPose", {"model": "m", "gpu": False, "min_contrast": 0, **args}
        )
        parts = []
        for start in range(0, 5, length):
            part = {name: each[start : start + length] for name, each in image.items()}
            data = {"image": part if "nucleus" in args else part["Cells"]}
            parts.append(algorithm(data)["label"])
        return np.concatenate(parts)

    with warnings.catch_warnings():
        warnings.simplefilter("error" if major < 4 else "ignore")
        whole = found(5, nucleus="Nuclei", frames_at_once=3)
        for length in (1, 2, 5):
            np.testing.assert_array_equal(found(length, nucleus="Nuclei"), whole)
        assert whole[0].any() and not whole[3].any()  # nothing to see in an even frame
        assert [len(each) for each in network.batches[:2]] == [3, 1]
        assert {each.shape[-1] for each in network.batches} == {n_channels}
        first = network.batches[0][0]
        np.testing.assert_allclose(first[..., 1], first[::-1, :, 0])
        assert np.percentile(first[..., 0], (1, 99)) == pytest.approx([0, 1], abs=1e-5)
        found(5, cellprob_threshold=-1.5, min_size_px=7)
        assert (network.told["cellprob_threshold"], network.told["min_size"]) == (-1.5, 7)
        assert not network.batches[-1][..., 1:].any()
    if major == 4:
        with pytest.warns(UserWarning, match="17 s"):
            found(5)
    with pytest.raises(InputError, match="combine: separate"):
        build("segmentation", "CellPose", {"model": "m", "nucleus": "N"})({"image": film})


class Threshold:
    """A network that labels what is connected and brighter than half of its image's 99th percentile."""

    diam_mean = 17.0

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def eval(self, x: np.ndarray, **args: object) -> tuple[np.ndarray, None, None]:
        self.seen.append(x)
        found = np.stack([measure.label(each[..., 0] > 0.5, connectivity=1) for each in x])
        return found.squeeze(), None, None

    def predict_instances(self, x: np.ndarray, **args: object) -> tuple[np.ndarray, dict]:
        self.seen.append(x)
        return measure.label(x > 0.5), {}


@pytest.fixture
def threshold(monkeypatch: pytest.MonkeyPatch) -> Threshold:
    network = Threshold()
    torch = SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: False),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: False)),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "cellpose", SimpleNamespace(models=None))
    monkeypatch.setitem(sys.modules, "stardist", SimpleNamespace(models=None))
    monkeypatch.setitem(sys.modules, "stardist.models", SimpleNamespace())
    monkeypatch.setattr(cellpose, "_load", lambda model, gpu: (network, 3))
    monkeypatch.setattr(stardist, "_load", lambda model: network)
    return network


@pytest.mark.parametrize(
    ("name", "args"), [("CellPose", {}), ("StarDist", {"model_diameter_px": 17})]
)
def test_noise_is_smoothed_before_a_frame_is_shrunk(
    name: str, args: dict[str, float], threshold: Threshold
) -> None:
    noise = np.random.default_rng(0).normal(size=(1, 256, 256)).astype(np.float32)

    def spread(**more: object) -> float:
        build("segmentation", name, {"model": "m", "min_contrast": 0, **args, **more})(
            {"image": noise}
        )
        seen = threshold.seen[-1]
        return float(seen[0, ..., 0].std() if seen.ndim == 4 else seen.std())

    as_it_is = spread(diameter_px=17, antialias=False)
    # white noise after a Gaussian of sigma s: its standard deviation over 2 s sqrt(pi); here s = 1.5
    shrunk = spread(diameter_px=17 * 4)
    assert as_it_is / shrunk == pytest.approx(2 * 1.5 * np.sqrt(np.pi), rel=0.05)
    assert spread(diameter_px=17 * 4, antialias=False) == as_it_is
    assert spread(diameter_px=8) == as_it_is  # enlarged


@pytest.mark.parametrize("name", ["CellPose", "StarDist"])
def test_what_does_not_stand_out_of_the_noise_is_no_cell(name: str, threshold: Threshold) -> None:
    """The network sees cells in noise; true ones, a third as high as it, stand out all the same."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:160, :160]
    noise = 8 * ndi.gaussian_filter(rng.normal(0, 1, (3, 160, 160)), (0, 2, 2))
    film = (100 + noise).astype(np.float32)
    centres = [(40, 40), (40, 120), (120, 40), (120, 120)]
    cells = np.logical_or.reduce([np.hypot(y - cy, x - cx) < 9 for cy, cx in centres])
    film[1] += 12 * ndi.gaussian_filter(cells.astype(float), 1)
    film[2] = 100 + rng.normal(0, 8, (160, 160))

    def found(**args: float) -> np.ndarray:
        return build("segmentation", name, {"model": "m", **args})({"image": film})["label"]

    invented = found(min_contrast=0)
    assert invented[0].max() > 8 and invented[2].max() > 8
    label = found()
    assert not label[0].any() and not label[2].any()
    assert {int(label[1][at]) > 0 for at in centres} == {True}
    assert label[1].max() == 4


def test_a_second_look_finds_cells_that_bright_ones_hide(threshold: Threshold) -> None:
    y, x = np.mgrid[:160, :160]
    truth = np.zeros((160, 160), int)
    centres = [(25, 25), (25, 80), (80, 25), (25, 130), (130, 30), (120, 120)]
    for number, (row, column) in enumerate(centres, 1):
        truth[(y - row) ** 2 + (x - column) ** 2 < 100] = number
    rng = np.random.default_rng(0)
    bright = np.array([0, 100, 90, 95, 80, 6, 5])[truth]
    film = np.stack([bright + rng.normal(0, 0.2, truth.shape)] * 3).astype(np.float32)
    film[1] = 3  # nothing to see

    def found(looks: int, length: int = 3, **args: object) -> np.ndarray:
        args = {"model": "m", "diameter_px": 20, "antialias": False, "looks": looks, **args}
        engine = build("segmentation", "CellPose", args)
        parts = [film[start : start + length] for start in range(0, 3, length)]
        return np.concatenate([engine({"image": part})["label"] for part in parts])

    assert found(1)[0].max() == 4
    whole = found(2)
    assert whole.dtype == np.uint32 and not whole[1].any()
    np.testing.assert_array_equal(whole[0] > 0, truth > 0)
    assert f1(truth, whole[0]) == 1
    np.testing.assert_array_equal(found(2, 1), whole)
    np.testing.assert_array_equal(found(2, frames_at_once=2), whole)
    with pytest.raises(ConfigError, match="looks above 1 needs diameter"):
        build("segmentation", "CellPose", {"model": "m", "looks": 2})


def test_later_looks_take_nothing_from_earlier_ones() -> None:
    first = np.zeros((4, 10), int)
    first[:, :4] = 1
    more = np.zeros_like(first)
    more[:, 3:8] = 1  # a fifth is covered
    more[:2, :3] = 2  # all of it
    more[:, 9] = 3
    joined = cellpose._joined(first, more)
    np.testing.assert_array_equal(joined[0], [1, 1, 1, 1, 2, 2, 2, 2, 0, 4])
    nothing = np.zeros_like(first)
    np.testing.assert_array_equal(cellpose._joined(nothing, more), more)
    np.testing.assert_array_equal(cellpose._joined(first, nothing), first)


def test_tiles_are_scaled_by_their_field() -> None:
    field = np.arange(12.0, dtype=np.float32).reshape(1, 3, 4)
    np.testing.assert_array_equal(
        cellpose._scaled(Frames(field[:, :2], field, (0, 0))[0]),
        cellpose._scaled(Frames(field)[0])[:2],
    )
    large = np.zeros((1, 4100, 4100), np.float32)
    assert Frames(large)[0].sample().size <= 2048**2


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
def test_cellpose_on_real_nuclei(
    shared_data: Path, shared_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = pytest.importorskip("cellpose.models")
    weights = shared_models / "cellpose3_dsb2018_nuclei" / "cp3_dsb2018_nuclei"
    image, truth = hela(shared_data)
    film = np.stack([image * 0, image, image[::-1]])
    algorithm = cellpose.CellPose(model=str(weights), gpu=False)
    label = algorithm({"image": film})["label"]
    assert label.dtype == np.uint32
    assert not label[0].any()
    assert f1(truth, label[1]) > 0.8
    # as the library by itself, and for every length of a block
    bare = models.CellposeModel(gpu=False, pretrained_model=str(weights)).eval(
        image, channels=[0, 0]
    )
    np.testing.assert_array_equal(label[1] > 0, bare[0] > 0)
    given = {"model": str(weights), "gpu": False, "diameter_px": 50, "antialias": False}
    large = build("segmentation", "CellPose", given)({"image": film[1:2]})["label"][0]
    network = models.CellposeModel(gpu=False, pretrained_model=str(weights))
    by_itself = network.eval(image, channels=[0, 0], diameter=50)[0]
    np.testing.assert_array_equal(large > 0, by_itself > 0)
    alone = np.concatenate([algorithm({"image": frame[None]})["label"] for frame in film])
    np.testing.assert_array_equal(alone, label)
    together = cellpose.CellPose(model=str(weights), gpu=False, frames_at_once=3)
    assert f1(label[2], together({"image": film})["label"][2]) == 1
    # two channels: this model was trained with nothing in the second
    both = cellpose.CellPose(model=str(weights), gpu=False, nucleus="N")
    dark = both({"image": {"C": film[1:2], "N": film[:1]}})["label"]
    np.testing.assert_array_equal(dark[0], label[1])
    bright = both({"image": {"C": film[1:2], "N": film[1:2]}})["label"]
    assert not np.array_equal(bright[0], label[1])
    noise = np.random.default_rng(0).normal(100, 3, (2, 256, 256)).astype(np.float32)
    noise[1] = ndi.gaussian_filter(noise[1] * 9, 2)
    assert not algorithm({"image": noise})["label"].any()
    # offline, and a file that is no model
    monkeypatch.setattr(models, "MODEL_DIR", tmp_path)
    monkeypatch.setattr(models, "_MODEL_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="could not be fetched") as error:
        cellpose._load("nuclei", False)
    assert str(tmp_path / "nucleitorch_0") in str(error.value)
    assert "CELLPOSE_LOCAL_MODELS_PATH" in str(error.value)
    with pytest.raises(InputError, match="Official models of this version: cyto3"):
        cellpose._load("cpsam", False)


@pytest.mark.engine
@pytest.mark.shared
@pytest.mark.slow
def test_stardist_on_real_nuclei(
    shared_data: Path, shared_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("stardist")
    from csbdeep.models import pretrained
    from csbdeep.utils import normalize
    from stardist.models import StarDist2D

    image, truth = hela(shared_data)
    film = np.stack([image * 0, image])
    algorithm = stardist.StarDist(model=str(shared_models / "stardist_dsb2018_nuclei"))
    label = algorithm({"image": film})["label"]
    assert label.dtype == np.uint32
    assert not label[0].any()
    assert f1(truth, label[1]) > 0.8
    alone = np.concatenate([algorithm({"image": frame[None]})["label"] for frame in film])
    np.testing.assert_array_equal(alone, label)
    # as the library by itself
    folder = str(shared_models)
    counts = {}  # surer: fewer; overlapping ones kept: more
    for knob, value in (("prob_thresh", 0.9), ("nms_thresh", 0.95)):
        changed = stardist.StarDist(model=f"{folder}/stardist_dsb2018_nuclei", **{knob: value})
        counts[knob] = changed({"image": film[1:]})["label"].max()
    assert counts["prob_thresh"] < label.max() < counts["nms_thresh"]
    halved = {"model": f"{folder}/stardist_dsb2018_nuclei", "scale": 0.5, "antialias": False}
    ours = build("segmentation", "StarDist", halved)({"image": film[1:]})["label"][0]
    network = StarDist2D(None, name="stardist_dsb2018_nuclei", basedir=folder)
    theirs = network.predict_instances(normalize(image, 1, 99.8), scale=0.5)[0]
    np.testing.assert_array_equal(ours > 0, theirs > 0)
    noise = np.random.default_rng(0).normal(100, 3, (2, 256, 256)).astype(np.float32)
    noise[1] = ndi.gaussian_filter(noise[1] * 9, 2)
    assert not algorithm({"image": noise})["label"].any()
    # offline
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    model = pretrained._MODELS[StarDist2D]["2D_demo"]
    monkeypatch.setitem(model, "url", "http://127.0.0.1:9/demo.zip")
    with pytest.raises(InputError, match="could not be fetched") as error:
        stardist._load("2D_demo")
    assert "KERAS_HOME" in str(error.value) and str(tmp_path) in str(error.value)
    with pytest.raises(InputError, match=r"Official models: .*2D_versatile_fluo"):
        stardist._load("2D_none")
