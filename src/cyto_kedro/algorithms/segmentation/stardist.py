"""StarDist 2D (Schmidt et al. 2018)."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.segmentation.cleanup import Labelled, renumber
from cyto_kedro.algorithms.segmentation.frames import Frames, within_filmed
from cyto_kedro.algorithms.segmentation.standing_out import standing_out
from cyto_kedro.core import ndi
from cyto_kedro.core.contract import Image
from cyto_kedro.core.units import PositiveLength, in_px
from cyto_kedro.errors import InputError, lacking


def _folder(model: str) -> Path | None:
    """Folder of `model` with config.json and weights, or None."""
    named = Path(model).expanduser()
    cached = _cache() / model
    # pretrained models are unpacked beside their archive, by newer Keras in a folder ..._extracted
    candidates = (named, cached, cached / f"{named.name}_extracted", cached / named.name)
    for path in candidates:
        if (path / "config.json").is_file() and any(path.glob("weights*.h5")):
            return path.resolve()
    return None


def _cache() -> Path:
    keras = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return keras / "models" / "StarDist2D"


def _missing(model: str, names: Iterable[str] = (), error: Exception | None = None) -> InputError:
    why = f" and could not be fetched ({' '.join(str(error).split())[:200]})" if error else ""
    official = f" Official models: {', '.join(names)}." if names else ""
    return InputError(
        f"StarDist model {model!r}: no config.json with weights in {Path(model).expanduser()} nor in "
        f"{_cache() / model}{why}. Give the path of a model's folder, or put it there; the "
        f"environment variable KERAS_HOME moves {_cache().parents[1]}.{official}"
    )


@cache
def _load(model: str) -> Any:
    """The network, loaded once per process; an official model is fetched if it is not there.

    Raises InputError if it is not there and is no official one, or cannot be fetched: says where it
    was looked for.
    """
    from csbdeep.models.pretrained import get_model_folder, get_registered_models
    from stardist.models import StarDist2D

    file = Path(model).expanduser()
    if file.suffix == ".zip" and file.is_file():  # as `TrainStarDist` makes it
        with tempfile.TemporaryDirectory() as unpacked, zipfile.ZipFile(file) as archive:
            archive.extractall(unpacked)
            return StarDist2D(None, name=Path(unpacked).name, basedir=str(Path(unpacked).parent))
    folder = _folder(model)
    if folder is None:
        keys, aliases = get_registered_models(StarDist2D)
        if model not in {*keys, *(alias for each in aliases.values() for alias in each)}:
            raise _missing(model, keys)
        try:
            folder = Path(get_model_folder(StarDist2D, model))
        except Exception as error:  # Keras raises a bare Exception when offline
            raise _missing(model, keys, error) from error
    return StarDist2D(None, name=folder.name, basedir=str(folder.parent))


class StarDist(Algorithm):
    """StarDist on every frame.

    Each frame is scaled by its own percentiles, so results do not depend on block length. Frames go
    through the network one by one, as the library does it. Needs the extra ``stardist``.

    StarDist shrinks frames by linear interpolation, which lets the noise of single pixels through.
    `antialias` smooths them before, by ``(1 / scale - 1) / 2`` pixels (the sigma of scikit-image's
    `resize`). Networks see cells in noise as well: of what they find, that which does not stand out of
    it is no cell (`min_contrast`, see `standing_out`), so that empty frames stay empty.

    Examples
    --------
    >>> engine = StarDist(model="2D_versatile_fluo")
    >>> engine(image=film)["label"]  # doctest: +SKIP
    """

    version: ClassVar[int] = 4

    model: str = Field(
        description="folder of a model (config.json, weights), a zip of it, the name of one in Keras' "
        "cache, or an official name, e.g. 2D_versatile_fluo, which StarDist fetches once"
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
    diameter: PositiveLength | None = Field(
        default=None, description="nucleus diameter: sets the scale by model_diameter_px"
    )
    model_diameter_px: float | None = Field(
        default=None,
        gt=0,
        description="diameter of the nuclei that the model was trained on, pixels",
    )
    min_contrast: float = Field(
        default=3.0,
        ge=0,
        description="least height of a cell, in sd of the background's noise; 0: any",
    )
    antialias: bool = Field(
        default=True, description="smooth frames before they are shrunk (a scale below 1)"
    )

    @model_validator(mode="after")
    def _one_scale(self) -> StarDist:
        given = self.diameter is not None
        if given != (self.model_diameter_px is not None):
            raise ValueError("a diameter sets the scale together with model_diameter_px: give both")
        if given and self.scale != 1:
            raise ValueError("give scale, or a diameter, not both")
        return self

    def _factor(self, pixel_size_um: float | None) -> float:
        diameter = in_px(self, "diameter", pixel_size_um)
        if self.model_diameter_px is None or diameter is None:
            return self.scale
        return self.model_diameter_px / diameter

    def run(
        self,
        image: Image,
        field: Image | None = None,
        corner: tuple[int, int] | None = None,
        valid: np.ndarray | None = None,
        frame_start: int = 0,
        pixel_size_um: float | None = None,
    ) -> Labelled:
        """Segment every frame of `image`; percentiles are those of the whole `field`.

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
            raise lacking("StarDist", "stardist", error) from error
        frames = Frames(image, field, corner, valid, frame_start, as_filmed=True)
        label = np.zeros(frames.shape, np.uint32)
        network, scale = _load(self.model), self._factor(pixel_size_um)
        for index in range(len(label)):
            seen = frames[index]
            low, high = np.percentile(seen.sample(), (self.low, self.high))
            if high <= low:
                continue
            frame = (seen.part.image - low) / (high - low)
            if self.antialias and scale < 1:
                frame = ndi.gaussian_filter(frame, (1 / scale - 1) / 2, mode="nearest")
            found, _ = network.predict_instances(
                frame,
                prob_thresh=self.prob_thresh,
                nms_thresh=self.nms_thresh,
                scale=None if scale == 1 else scale,
                show_tile_progress=False,
            )
            shown = within_filmed(found, seen.own_filmed)
            label[index] = renumber(standing_out(shown, [seen], self.min_contrast))
        return {"label": label}
