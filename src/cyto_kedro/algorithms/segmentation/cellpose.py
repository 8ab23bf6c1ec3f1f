"""Cellpose (Stringer et al. 2021; Pachitariu, Rariden and Stringer 2025), versions 3 and 4."""

from __future__ import annotations

import os
import warnings
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from cyto_kedro.algorithms.base import Algorithm, Data, length_px
from cyto_kedro.algorithms.segmentation.cleanup import renumber
from cyto_kedro.algorithms.segmentation.frames import frame_of, stack_shape
from cyto_kedro.errors import ConfigError, InputError, MissingExtraError


def _weights(model: str) -> str:
    """Path of the weights of `model`.

    Raises
    ------
    InputError
        If there is no such file: says where it was looked for.
    """
    named = Path(model).expanduser()
    folder = Path(
        os.environ.get("CELLPOSE_LOCAL_MODELS_PATH") or Path.home() / ".cellpose" / "models"
    )
    for path in (named, folder / model):
        if path.is_file():
            return str(path)
    raise InputError(
        f"Cellpose model {model!r}: no weights at {named} nor at {folder / named.name}. Give the "
        f"path of a model file, or put the file into {folder}; the environment variable "
        f"CELLPOSE_LOCAL_MODELS_PATH names another folder"
    )


@cache
def _load(model: str, gpu: bool) -> tuple[Any, int]:
    """The network, loaded once per process, and Cellpose's major version."""
    from cellpose import models

    major = int(version("cellpose").split(".")[0])
    return models.CellposeModel(gpu=gpu, pretrained_model=_weights(model)), major


class CellPose(Algorithm):
    """Cellpose on every frame: ``{"image": (T, Y, X)}`` -> ``{"label": (T, Y, X) uint32}``.

    Cellpose normalises each image by itself, so results do not depend on block length. Needs the
    extra ``cellpose``; weights are never downloaded.
    """

    model: str = Field(
        description="path of a weights file, or its name in CELLPOSE_LOCAL_MODELS_PATH"
    )
    diameter_um: float | None = Field(default=None, gt=0, description="cell diameter, um")
    diameter_px: float | None = Field(
        default=None, gt=0, description="the same in pixels; neither given: the model's own"
    )
    flow_threshold: float = Field(default=0.4, ge=0, description="largest error of the flows")
    cellprob_threshold: float = Field(default=0.0, description="lower: more and larger cells")
    min_size_px: int = Field(default=15, ge=0, description="smallest cell, pixels")
    batch_size: int = Field(default=8, ge=1, description="tiles sent through the network at once")
    gpu: Literal["auto"] | bool = Field(default="auto", description="auto: if there is one")

    @model_validator(mode="after")
    def _one_unit(self) -> CellPose:
        if self.diameter_um is not None and self.diameter_px is not None:
            raise ValueError("give diameter_um or diameter_px, not both")
        return self

    def __call__(self, data: Data) -> Data:
        """Segment every frame of ``data["image"]``; reads ``pixel_size_um`` for `diameter_um`.

        Raises
        ------
        MissingExtraError
            If Cellpose or torch is not installed.
        ConfigError
            If a GPU is demanded and there is none.
        InputError
            If the weights are not there, or a frame holds NaN.
        """
        try:
            import torch
            from cellpose import models  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(
                f"CellPose needs packages that are not installed ({error}): pip install "
                f'"cyto_kedro[cellpose]"; on a machine without GPU install torch before, in its '
                f"CPU build"
            ) from error
        there = bool(torch.cuda.is_available() or torch.backends.mps.is_available())
        if self.gpu is True and not there:
            raise ConfigError("CellPose: gpu=true but torch finds no GPU; use gpu: auto")
        diameter = None
        if self.diameter_um is not None or self.diameter_px is not None:
            pixel = data.get("pixel_size_um")
            diameter = length_px("diameter", self.diameter_um, self.diameter_px, pixel)
        label = np.zeros(stack_shape(data["image"]), np.uint32)
        gpu = there and self.gpu is not False
        network, major = _load(self.model, gpu)
        if major >= 4 and not gpu:
            warnings.warn(
                "Cellpose 4 (cpsam) without a GPU takes minutes per image; use a Cellpose 3 model, "
                "or a GPU",
                stacklevel=2,
            )
        # version 3 reads channels as [grey, none]; version 4 has no such argument
        extra: dict[str, Any] = {"channels": [0, 0]} if major < 4 else {}
        for index in range(label.shape[0]):
            frame = frame_of(data, index)
            if frame.min() == frame.max():
                continue
            found = network.eval(
                frame,
                diameter=diameter,
                flow_threshold=self.flow_threshold,
                cellprob_threshold=self.cellprob_threshold,
                min_size=self.min_size_px,
                batch_size=self.batch_size,
                **extra,
            )[0]
            label[index] = renumber(np.asarray(found))
        return {"label": label}
