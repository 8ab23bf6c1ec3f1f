"""What a forest learns: texture that no threshold sees, from whole masks and from strokes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from discs import discs
from sklearn.ensemble import RandomForestClassifier

from cyto_kedro.algorithms.segmentation.forest import Forest
from cyto_kedro.algorithms.segmentation.pixel_forest import BACKGROUND, INSIDE, RIM, PixelForest
from cyto_kedro.algorithms.training.learner import Example
from cyto_kedro.algorithms.training.pixel_forest import TrainPixelForest
from cyto_kedro.core.matching import n_cells, n_matched
from cyto_kedro.errors import ConfigError, InputError
from cyto_kedro.registry import build


def textured(seed: int, gain: float = 1.0, scale: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Discs that are as bright as their background, and rough where it is smooth."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:128, :128]
    label = discs(rng, (24, 64, 104), 6, 11)
    rough = np.where((y + x) % 6 < 3, 40.0, -40.0)
    image = 200 + rng.normal(0, 6, label.shape) + rough * (label > 0)
    image, label = image.repeat(scale, 0).repeat(scale, 1), label.repeat(scale, 0).repeat(scale, 1)
    return gain * image, label


def learnt(tmp_path: Path, examples: list[Example], **options: int) -> PixelForest:
    made = TrainPixelForest(trees=15, pixels=30_000, **options)(examples=examples)
    path = tmp_path / "model.npz"
    path.write_bytes(made["weights"])
    return PixelForest(model=str(path))


def f1(true: np.ndarray, found: np.ndarray) -> float:
    return 2 * n_matched(true, found) / (n_cells(true) + n_cells(found))


def test_texture_that_no_threshold_sees(tmp_path: Path) -> None:
    engine = learnt(tmp_path, [Example(*textured(seed)) for seed in (1, 2)])
    image, true = textured(3)
    assert f1(true, engine(image=image[None])["label"][0]) > 0.95
    classical = build("segmentation", "LocalThreshold", {"diameter_px": 22})
    assert f1(true, classical(image=image[None])["label"][0]) < 0.5


def test_other_brightness_and_other_magnification(tmp_path: Path) -> None:
    engine = learnt(tmp_path, [Example(*textured(seed), pixel_size_um=1.0) for seed in (1, 2)])
    image, true = textured(3, gain=7.0, scale=2)
    found = engine(image=image[None], pixel_size_um=0.5)["label"][0]
    assert f1(true, found) > 0.95
    double = engine(image=image[None])["label"][0]  # without a size: as wide in pixels as learnt
    assert f1(true, double) < f1(true, found)


def test_the_rim_is_as_wide_as_said_also_between_cells_that_touch() -> None:
    """0.08 of 25 px are two px: of squares of 20 px, 16 by 16 are inside."""
    label = np.zeros((60, 60), np.int64)
    label[5:25, 5:25], label[5:25, 25:45] = 1, 2
    kinds = TrainPixelForest()._classes(label, label, 25.0)
    inside = np.zeros(label.shape, bool)
    inside[7:23, 7:23] = inside[7:23, 27:43] = True
    assert (kinds == np.where(inside, INSIDE, np.where(label > 0, RIM, BACKGROUND))).all()


def test_strokes_are_enough(tmp_path: Path) -> None:
    image, true = textured(1)
    strokes = np.zeros_like(true)
    strokes[::4] = np.where(true > 0, true, 99)[::4]  # every fourth row, the others are unknown
    engine = learnt(tmp_path, [Example(image, strokes)], background=99, diameter_px=22)
    image, true = textured(3)
    assert f1(true, engine(image=image[None])["label"][0]) > 0.7


def test_the_same_examples_give_the_same_model_and_tiles_the_same_cells(tmp_path: Path) -> None:
    examples = [Example(*textured(seed)) for seed in (1, 2)]
    one, other = (TrainPixelForest(trees=5)(examples=examples)["weights"] for _ in range(2))
    assert one == other != TrainPixelForest(trees=5, seed=1)(examples=examples)["weights"]
    engine = learnt(tmp_path, examples)
    image, _ = textured(3)
    whole = engine(image=image[None])["label"][0]
    tile = engine(image=image[None, 30:100, 30:100], field=image[None], corner=(30, 30))["label"][0]
    inner = slice(20, 50)
    assert ((whole[30:100, 30:100][inner, inner] > 0) == (tile[inner, inner] > 0)).all()
    assert engine(image=np.full((1, 40, 40), 7.0))["label"].max() == 0


def test_predictions_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 5)).astype(np.float32)
    kind = (rows[:, 0] * rows[:, 1] > 0).astype(int) + (rows[:, 2] > 1)
    fitted = RandomForestClassifier(12, max_depth=6, random_state=3).fit(rows, kind)
    again = Forest.from_bytes(Forest.of(fitted, {"a": 1}).to_bytes(), "here")
    new = rng.normal(size=(1000, 5)).astype(np.float32)
    np.testing.assert_allclose(again.predict(new), fitted.predict_proba(new), atol=1e-6)
    assert again.card == {"a": 1}


def test_what_cannot_be_learnt_from_or_used(tmp_path: Path) -> None:
    image, label = textured(1)
    with pytest.raises(InputError, match="no cell to learn from"):
        TrainPixelForest()(examples=[Example(image, label * 0)])
    with pytest.raises(ConfigError, match="strokes"):
        TrainPixelForest(background=9)(examples=[Example(image, label)])
    with pytest.raises(InputError, match=r"background \(label 99\).*paint some"):
        TrainPixelForest(background=99, diameter_px=22)(examples=[Example(image, label)])
    with pytest.raises(InputError, match="known to be background, so"):
        TrainPixelForest()(examples=[Example(image, np.maximum(label, 1))])
    with pytest.raises(InputError, match="one brightness throughout"):
        TrainPixelForest()(examples=[Example(np.ones_like(image), label)])
    with pytest.raises(InputError, match="shape"):
        TrainPixelForest()(examples=[Example(image[1:], label)])
    with pytest.raises(ConfigError, match="there is no model at"):
        PixelForest(model=str(tmp_path / "none.npz"))
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ConfigError, match="is no forest"):
        PixelForest(model=str(tmp_path / "text.npz"))
    engine = learnt(tmp_path, [Example({"a": image, "b": image}, label)])
    assert engine.channels_apart == ("a", "b")
    with pytest.raises(InputError, match="channel 'a'"):
        engine(image=image[None])
