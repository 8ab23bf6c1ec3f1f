"""StarDist 2D (Schmidt et al. 2018)."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.segmentation.cleanup import renumber
from cyto_kedro.algorithms.segmentation.frames import frame_of, stack_shape
from cyto_kedro.errors import InputError, MissingExtraError


def _folder(model: str) -> Path:
    """Folder of `model` with config.json and weights.

    Raises
    ------
    InputError
        If there is none: says where it was looked for.
    """
    named = Path(model).expanduser()
    keras = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    cached = keras / "models" / "StarDist2D" / model
    # pretrained models are unpacked beside their archive, by newer Keras in a folder ..._extracted
    candidates = (named, cached, cached / f"{named.name}_extracted", cached / named.name)
    for path in candidates:
        if (path / "config.json").is_file() and any(path.glob("weights*.h5")):
            return path.resolve()
    raise InputError(
        f"StarDist model {model!r}: no config.json with weights in {named} nor in {cached}. Give "
        f"the path of a model's folder, or put it there; the environment variable KERAS_HOME moves "
        f"{keras}"
    )


@cache
def _load(model: str) -> Any:
    """The network, loaded once per process."""
    from stardist.models import StarDist2D

    folder = _folder(model)
    return StarDist2D(None, name=folder.name, basedir=str(folder.parent))


class StarDist(Algorithm):
    """StarDist on every frame: ``{"image": (T, Y, X)}`` -> ``{"label": (T, Y, X) uint32}``.

    Each frame is scaled by its own percentiles, so results do not depend on block length. Needs the
    extra ``stardist``; weights are never downloaded.
    """

    model: str = Field(
        description="folder of a model (config.json, weights), or the name of one in Keras' cache, "
        "e.g. 2D_versatile_fluo"
    )
    prob_thresh: float | None = Field(
        default=None, gt=0, lt=1, description="least object probability; null: the model's own"
    )
    nms_thresh: float | None = Field(
        default=None, gt=0, lt=1, description="largest overlap of two cells; null: the model's own"
    )
    low: float = Field(default=1.0, ge=0, lt=100, description="percentile scaled to 0")
    high: float = Field(default=99.8, gt=0, le=100, description="percentile scaled to 1")
    scale: float = Field(
        default=1.0, gt=0, description="factor by which frames are enlarged for the network"
    )

    def __call__(self, data: Data) -> Data:
        """Segment every frame of ``data["image"]``.

        Raises
        ------
        MissingExtraError
            If StarDist or TensorFlow is not installed.
        InputError
            If the model is not there, or a frame holds NaN.
        """
        try:
            import stardist.models  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(
                f"StarDist needs packages that are not installed ({error}): pip install "
                f'"cyto_kedro[stardist]"'
            ) from error
        label = np.zeros(stack_shape(data["image"]), np.uint32)
        network = _load(self.model)
        for index in range(label.shape[0]):
            frame = frame_of(data, index)
            low, high = np.percentile(frame, (self.low, self.high))
            if high <= low:
                continue
            found, _ = network.predict_instances(
                (frame - low) / (high - low),
                prob_thresh=self.prob_thresh,
                nms_thresh=self.nms_thresh,
                scale=None if self.scale == 1 else self.scale,
                show_tile_progress=False,
            )
            label[index] = renumber(found)
        return {"label": label}
