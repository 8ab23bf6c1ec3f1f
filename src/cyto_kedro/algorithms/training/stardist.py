"""StarDist 2D, learnt from corrected masks (Schmidt et al. 2018)."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.segmentation import stardist
from cyto_kedro.algorithms.segmentation.frames import FieldFrame
from cyto_kedro.algorithms.training.learner import (
    Example,
    Learner,
    Learnt,
    check,
    diameter_args,
    typical_diameter,
)
from cyto_kedro.core import ndi
from cyto_kedro.errors import InputError, lacking

_MULTIPLE, _LEAST, _PATCH = 16, 64, 256  # sides of what is learnt from, pixels
_FILES = ("config.json", "thresholds.json", "weights_best.h5")


class TrainStarDist(Learner):
    """Learn a StarDist model, or train one further. Needs the extra ``stardist``.

    Frames are scaled as the engine does it (percentiles 1 and 99.8) and turned and mirrored at random.
    Thresholds are then chosen on the frames held back (a fifth, one at least; of one frame, that
    itself). The model is one file, a zip of what StarDist keeps in a folder.

    Examples
    --------
    >>> learner = TrainStarDist(epochs=100)
    >>> learner(examples=examples)["weights"]  # doctest: +SKIP
    """

    version: ClassVar[int] = 1
    engine: ClassVar[str] = "StarDist"
    suffix: ClassVar[str] = ".zip"

    model: str | None = Field(
        default=None, description="what is trained further, as in `StarDist`; null: a new network"
    )
    model_diameter_px: float | None = Field(
        default=None,
        gt=0,
        description="frames are scaled so that nuclei are so wide, in pixels; null: as filmed",
    )
    epochs: int = Field(default=100, ge=1, description="rounds of learning")
    steps: int = Field(default=50, ge=1, description="batches of four patches in each")
    learning_rate: float = Field(default=3e-4, gt=0, description="of Adam, at first")
    seed: int = Field(default=0, ge=0, description="of what is drawn at random")

    def args(self, examples: Sequence[Example]) -> dict[str, Any]:
        """The diameter of the nuclei learnt from, in the film and as the network saw them."""
        wide = self.model_diameter_px or typical_diameter(examples)[0]
        return {**diameter_args(examples), "model_diameter_px": round(wide, 2)}

    def run(self, examples: Sequence[Example]) -> Learnt:
        """Learn from `examples`.

        Raises
        ------
        MissingExtraError
            If StarDist or TensorFlow is not installed.
        InputError
            If there is no cell, an image is under 64 pixels high or wide, channels are apart, or a
            model is not there.
        """
        try:
            import keras
            from stardist.models import Config2D, StarDist2D
        except ImportError as error:
            raise lacking("TrainStarDist", "stardist", error) from error
        check(examples)
        shown = [self._scaled(each) for each in examples]
        side = min(min(label.shape) for _, label in shown) // _MULTIPLE * _MULTIPLE
        if side < _LEAST:
            raise InputError(f"TrainStarDist needs frames of {_LEAST} px and more, scaled as it is")
        keras.utils.set_random_seed(self.seed)
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(len(shown))
        back = [shown[i] for i in order[: max(len(shown) // 5, 1)]]
        learnt = [shown[i] for i in order[max(len(shown) // 5, 1) :]] or back
        with tempfile.TemporaryDirectory() as folder:
            known = None if self.model is None else stardist._load(self.model)
            config = Config2D(n_rays=32, grid=(2, 2))
            if known is not None:
                vars(config).update(vars(known.config))
            model = StarDist2D(config, name="model", basedir=folder)
            if known is not None:
                model.keras_model.set_weights(known.keras_model.get_weights())
            model.config.train_patch_size = (min(side, _PATCH),) * 2
            model.config.train_tensorboard = False
            model.config.train_learning_rate = self.learning_rate
            model.train(
                *zip(*learnt, strict=True),
                validation_data=tuple(zip(*back, strict=True)),
                augmenter=lambda image, label: _turned(image, label, int(rng.integers(8))),
                seed=self.seed,
                epochs=self.epochs,
                steps_per_epoch=self.steps,
            )
            model.optimize_thresholds(*zip(*back, strict=True))
            return {"weights": _zipped(Path(folder) / "model")}

    def _scaled(self, example: Example) -> tuple[np.ndarray, np.ndarray]:
        """Image and label, scaled and resized as `StarDist` shows them to the network."""
        if isinstance(example.image, Mapping):
            raise InputError(
                f"TrainStarDist takes one image; the population's channels are apart "
                f"({', '.join(example.image)}): take combine: separate away"
            )
        frame = FieldFrame(example.image, example.image, as_filmed=True)
        low, high = np.percentile(frame.sample(), (1, 99.8))
        image = (frame.part.image - low) / max(high - low, 1e-6)
        factor = 1.0
        if self.model_diameter_px is not None and example.label.any():
            factor = self.model_diameter_px / typical_diameter([example])[0]
        if factor < 1:
            image = ndi.gaussian_filter(image, (1 / factor - 1) / 2, mode="nearest")
        label = example.label.astype(np.int32)
        if factor != 1:
            from scipy.ndimage import zoom

            image, label = zoom(image, factor, order=1), zoom(label, factor, order=0)
        return np.asarray(image, np.float32), label


def _turned(image: np.ndarray, label: np.ndarray, way: int) -> tuple[np.ndarray, np.ndarray]:
    """Both turned by 0 to 3 quarters, mirrored from the fourth way on."""
    flip = slice(None, None, -1) if way >= 4 else slice(None)
    return np.rot90(image[flip], way % 4), np.rot90(label[flip], way % 4)


def _zipped(folder: Path) -> bytes:
    """A model's files, without the hour at which they were written."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in _FILES:
            archive.writestr(zipfile.ZipInfo(name), (folder / name).read_bytes())
    return held.getvalue()
