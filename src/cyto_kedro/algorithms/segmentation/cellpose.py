"""Cellpose (Stringer et al. 2021; Pachitariu, Rariden and Stringer 2025), versions 3 and 4."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.segmentation.cleanup import Labelled, renumber
from cyto_kedro.algorithms.segmentation.frames import FieldFrame, Frames, one_channel, within_filmed
from cyto_kedro.algorithms.segmentation.standing_out import standing_out
from cyto_kedro.core import ndi
from cyto_kedro.core.contract import Image, Images, Stack
from cyto_kedro.core.units import PositiveLength, in_px
from cyto_kedro.errors import ConfigError, InputError, lacking

log = logging.getLogger(__name__)

_GPU_FRAMES = 8
_HALO, _COVERED = 0.1, 0.2
_VARIABLE = "CELLPOSE_LOCAL_MODELS_PATH"


def _weights(model: str, official: tuple[str, ...] = ()) -> str:
    """What Cellpose is to load: the path of a file, or an official name, which it may fetch.

    Cellpose itself takes its default model where it does not find another, so all is checked here.

    Raises InputError if there is no such file, and Cellpose has no such name: says where it was
    looked for.
    """
    named = Path(model).expanduser()
    folder = Path(os.environ.get(_VARIABLE) or Path.home() / ".cellpose" / "models")
    if named.is_file():
        return str(named)
    if model in official:
        return model
    if (folder / model).is_file():
        return str(folder / model)
    names = f" Official models of this version: {', '.join(official)}." if official else ""
    raise InputError(
        f"Cellpose model {model!r}: no weights at {named} nor at {folder / named.name}. Give the "
        f"path of a model file, or put the file into {folder}; the environment variable "
        f"{_VARIABLE} names another folder.{names}"
    )


@cache
def _load(model: str, gpu: bool) -> tuple[Any, int]:
    """The network, loaded once per process, and Cellpose's major version.

    Raises InputError if the weights are not there, cannot be fetched, or are of another major
    version.
    """
    from cellpose import models

    major = int(version("cellpose").split(".")[0])
    weights = _weights(model, tuple(models.MODEL_NAMES))
    # Cellpose's own name of the file; it fetches the file if it is not there
    stem = f"{model}torch_0" if major < 4 and model in ("cyto", "cyto2", "nuclei") else model
    file = Path(weights) if weights != model else Path(models.MODEL_DIR) / stem
    if weights == model and not file.is_file():
        log.info("Cellpose model %s is fetched to %s", model, file)
    try:
        return models.CellposeModel(gpu=gpu, pretrained_model=weights), major
    except OSError as error:
        raise InputError(
            f"Cellpose model {model!r} is not at {file} and could not be fetched ({error}). On a "
            f"machine with network, run this once, then copy the file to {file}; the environment "
            f"variable {_VARIABLE} names another folder. Or give the path of a model file"
        ) from error
    except (RuntimeError, KeyError, ValueError) as error:
        raise InputError(
            f"{file} cannot be loaded by Cellpose {version('cellpose')} ({_short(error)}): models "
            f"of versions 3 and 4 are not of one kind, and a file may be damaged or incomplete"
        ) from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


class CellPose(Algorithm):
    """Cellpose on every frame.

    With `nucleus`, ``image`` is ``{channel: (T, Y, X)}`` with that channel and one other, that of
    the cells. Each frame and channel is scaled by its own percentiles (1 to 99, as Cellpose does),
    so results do not depend on block length. Needs the extra ``cellpose``.

    Cellpose shrinks frames to the size of the cells that its network knows by bilinear sampling, which
    lets the noise of single pixels through (OpenCV's INTER_LINEAR). `antialias` smooths them before,
    by ``(factor - 1) / 2`` pixels (the sigma of scikit-image's `resize`). One scale for all cells
    hides the dim ones: a further look is at what the earlier ones left, scaled by its own
    percentiles. What does not stand out of the noise is no cell (`min_contrast`, see `standing_out`).
    With ``antialias=False, looks=1, min_contrast=0`` labels are those of ``CellposeModel.eval``.

    Examples
    --------
    >>> engine = CellPose(model="cyto3", diameter_um=12)
    >>> engine(image=film, pixel_size_um=0.65)["label"]  # doctest: +SKIP
    """

    version: ClassVar[int] = 4

    model: str = Field(
        description="path of a weights file, its name in CELLPOSE_LOCAL_MODELS_PATH, or an official "
        "name (cyto3, nuclei; with Cellpose 4 cpsam), which Cellpose fetches once"
    )
    nucleus: str | None = Field(
        default=None, description="channel of the nuclei, beside that of the cells; null: one image"
    )
    diameter: PositiveLength | None = Field(
        default=None, description="cell diameter; null: the model's own"
    )
    flow_threshold: float = Field(default=0.4, ge=0, description="largest error of the flows")
    cellprob_threshold: float = Field(default=0.0, description="lower: more and larger cells")
    min_contrast: float = Field(
        default=3.0,
        ge=0,
        description="least height of a cell, in sd of the background's noise; 0: any",
    )
    min_size_px: int = Field(default=15, ge=0, description="smallest cell, pixels")
    antialias: bool = Field(
        default=True, description="smooth frames before they are shrunk to the network's diameter"
    )
    looks: int = Field(
        default=1,
        ge=1,
        description="times that a frame is looked at, found cells being painted out: each finds "
        "dimmer ones; more than 1 needs the diameter",
    )
    batch_size: int = Field(default=8, ge=1, description="tiles sent through the network at once")
    frames_at_once: int | None = Field(
        default=None, ge=1, description="frames given together; null: 8 on a GPU, else 1"
    )
    gpu: Literal["auto"] | bool = Field(default="auto", description="auto: if there is one")

    @property
    def channels_apart(self) -> tuple[str, ...]:
        """Channels that must not be mixed with the population's others."""
        return () if self.nucleus is None else (self.nucleus,)

    @model_validator(mode="after")
    def _known_halo(self) -> CellPose:
        if self.looks > 1 and self.diameter is None:
            raise ValueError("looks above 1 needs diameter_um or diameter_px: how wide is a halo?")
        return self

    def run(
        self,
        image: Image | Images,
        field: Image | Images | None = None,
        corner: tuple[int, int] | None = None,
        valid: np.ndarray | None = None,
        frame_start: int = 0,
        pixel_size_um: float | None = None,
    ) -> Labelled:
        """Segment every frame of `image`; percentiles are those of the whole `field`.

        Raises
        ------
        MissingExtraError
            If Cellpose or torch is not installed.
        ConfigError
            If a GPU is demanded and there is none.
        InputError
            If the weights are not there, a frame holds NaN, or `nucleus` is not a channel.
        """
        try:
            import torch
            from cellpose import models  # noqa: F401
        except ImportError as error:
            cpu = "; on a machine without GPU install torch before, in its CPU build"
            raise lacking("CellPose", "cellpose", error, cpu) from error
        there = bool(torch.cuda.is_available() or torch.backends.mps.is_available())
        if self.gpu is True and not there:
            raise ConfigError("CellPose: gpu=true but torch finds no GPU; use gpu: auto")
        diameter = in_px(self, "diameter", pixel_size_um)
        fields = [None] * 2 if field is None else self._channels(field)
        channels = [
            Frames(each, of_field, corner, valid, frame_start, as_filmed=True)
            for each, of_field in zip(self._channels(image), fields, strict=False)
        ]
        label = np.zeros(channels[0].shape, np.uint32)
        gpu = there and self.gpu is not False
        network, major = _load(self.model, gpu)
        if major >= 4 and not gpu:
            warnings.warn(
                "Cellpose 4 (cpsam) without a GPU takes minutes per image (about 17 s for 256 x 256 "
                "pixels); use a Cellpose 3 model, or a GPU",
                stacklevel=2,
            )
        # version 3 takes two channels (cells, nuclei), version 4 three; what is not there is 0
        n_channels = 2 if major < 4 else 3
        at_once = self.frames_at_once or (_GPU_FRAMES if gpu else 1)
        for start in range(0, len(label), at_once):
            frames = {
                index: [channel[index] for channel in channels]
                for index in range(start, min(start + at_once, len(label)))
            }
            frames = {
                index: each for index, each in frames.items() if np.ptp(each[0].part.image) > 0
            }
            if not frames:
                continue
            batch = np.zeros((len(frames), *label.shape[1:], n_channels), np.float32)
            for at, seen in enumerate(frames.values()):
                for number, frame in enumerate(seen):
                    batch[at, ..., number] = _scaled(frame)
            if diameter is not None and self.antialias:
                shrunk = diameter / float(getattr(network, "diam_mean", 30.0))
                sigma = max(shrunk - 1, 0) / 2
                batch = ndi.gaussian_filter(batch, (0, sigma, sigma, 0), mode="nearest")
            masks = self._masks(network, batch, diameter)
            for _ in range(self.looks - 1):
                pairs = zip(batch, masks, strict=True)
                left = np.stack([_left(image, mask, diameter or 0) for image, mask in pairs])
                more = self._masks(network, left, diameter)
                masks = [_joined(*both) for both in zip(masks, more, strict=True)]
            for (index, seen), mask in zip(frames.items(), masks, strict=True):
                shown = within_filmed(mask, seen[0].own_filmed)
                label[index] = renumber(standing_out(shown, seen, self.min_contrast))
        return {"label": label}

    def _masks(self, network: Any, batch: np.ndarray, diameter: float | None) -> list[np.ndarray]:
        """Labels (Y, X) of each image of `batch`, (N, Y, X, channels) float32."""
        found = network.eval(
            batch,
            channel_axis=3,
            normalize=False,
            diameter=diameter,
            flow_threshold=self.flow_threshold,
            cellprob_threshold=self.cellprob_threshold,
            min_size=self.min_size_px,
            batch_size=self.batch_size,
        )[0]
        return list(np.asarray(found).reshape(batch.shape[:3]))

    def _channels(self, image: Stack | Mapping[str, Stack]) -> list[Stack]:
        """The images of each channel: the cells', and the nuclei's."""
        if self.nucleus is None:
            assert not isinstance(image, Mapping)
            return [image]
        nuclei = one_channel(image, self.nucleus)
        assert isinstance(image, Mapping)
        others = [name for name in image if name != self.nucleus]
        if len(others) != 1:
            raise InputError(
                f"CellPose with nucleus={self.nucleus!r} takes one more channel, that of the cells; "
                f"the population has {others}"
            )
        return [one_channel(image, others[0]), nuclei]


def _scaled(frame: FieldFrame) -> np.ndarray:
    """The frame with the field's 1st percentile at 0 and its 99th at 1 (Cellpose's `normalize99`)."""
    return _stretched(frame.part.image, frame.sample())


def _stretched(frame: np.ndarray, sample: np.ndarray) -> np.ndarray:
    low, high = np.percentile(sample, (1, 99))
    if high - low <= 1e-3:
        return np.zeros_like(frame)
    return (frame - np.float32(low)) / np.float32(high - low)


def _left(image: np.ndarray, found: np.ndarray, diameter: float) -> np.ndarray:
    """`image` (Y, X, channels) without the cells of `found` (Y, X), scaled by what is left.

    Cells and a tenth of a diameter around them are painted with the mean of their surroundings
    (Gaussian, sigma a quarter of the diameter, over shown pixels).
    """
    if not found.any():
        return image
    shown = ndi.distance_transform_edt(found == 0) > _HALO * diameter
    if not shown.any():
        return np.zeros_like(image)
    sigma = diameter / 4
    weight = np.maximum(ndi.gaussian_filter(shown.astype(np.float32), sigma), 1e-6)
    result = np.empty_like(image)
    for number, channel in enumerate(np.moveaxis(image, -1, 0)):
        around = ndi.gaussian_filter(channel * shown, sigma) / weight
        result[..., number] = _stretched(np.where(shown, channel, around), channel[shown])
    return result


def _joined(found: np.ndarray, more: np.ndarray) -> np.ndarray:
    """`found` and the cells of `more` (both (Y, X) integer) that it covers by a fifth or less."""
    area = np.bincount(more.ravel())
    covered = np.bincount(more[found > 0], minlength=area.size)
    new = covered <= _COVERED * area
    new[0] = False
    first = int(found.max())
    return np.where(new[more] & (found == 0), more.astype(np.int64) + first, found)
