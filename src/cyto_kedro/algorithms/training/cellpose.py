"""Cellpose, trained further on corrected masks (Pachitariu and Stringer 2022)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.segmentation import cellpose
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

_LEAST_IMAGES = 8  # an epoch draws images anew until it has so many


class TrainCellPose(Learner):
    """Train a Cellpose model further. Needs the extra ``cellpose``; a GPU, or few epochs.

    Frames are scaled and smoothed as the engine does it, and cut, turned and resized at random by
    Cellpose's own ``train_seg`` (doi:10.1038/s41592-022-01663-4). Version 3 learns by gradient descent
    with momentum, version 4 by AdamW, as their authors do.

    Examples
    --------
    >>> learner = TrainCellPose(model="cyto3", epochs=20)
    >>> learner(examples=examples)["weights"]  # doctest: +SKIP
    """

    version: ClassVar[int] = 1
    engine: ClassVar[str] = "CellPose"
    suffix: ClassVar[str] = ".cellpose"

    model: str = Field(
        description="what is trained further: path, or official name (cyto3, nuclei, cpsam)"
    )
    nucleus: str | None = Field(
        default=None, description="channel of the nuclei, beside that of the cells; null: one image"
    )
    epochs: int = Field(default=100, ge=1, description="times that all frames are learnt from")
    learning_rate: float | None = Field(
        default=None, gt=0, description="null: 0.1 with Cellpose 3, 0.00001 with Cellpose 4"
    )
    seed: int = Field(default=0, ge=0, description="of what is drawn at random")
    gpu: bool = Field(default=False, description="train on a GPU")

    @property
    def channels_apart(self) -> tuple[str, ...]:
        """Channels that must not be mixed with the population's others."""
        return () if self.nucleus is None else (self.nucleus,)

    def args(self, examples: Sequence[Example]) -> dict[str, Any]:
        """The diameter of the cells learnt from, and the channel of nuclei."""
        nucleus = {} if self.nucleus is None else {"nucleus": self.nucleus}
        return {**diameter_args(examples), **nucleus}

    def run(self, examples: Sequence[Example]) -> Learnt:
        """Learn from `examples`.

        Raises
        ------
        MissingExtraError
            If Cellpose or torch is not installed.
        InputError
            If there is no cell, a model is not there, or channels do not fit `nucleus`.
        """
        try:
            import torch
            from cellpose.train import train_seg
        except ImportError as error:
            raise lacking("TrainCellPose", "cellpose", error) from error
        check(examples)
        examples = [each for each in examples if each.label.any()]
        # not the engine's own copy of the network, which training would change
        network, major = cellpose._load.__wrapped__(self.model, self.gpu)
        images = [self._scaled(each, network.diam_mean if major < 4 else 30.0) for each in examples]
        if major >= 4:  # which takes three channels
            images = [np.pad(each, ((0, 1), (0, 0), (0, 0))) for each in images]
        torch.manual_seed(self.seed)
        way = {"SGD": True, "weight_decay": 1e-4} if major < 4 else {"weight_decay": 0.1}
        with tempfile.TemporaryDirectory() as folder:
            train_seg(
                network.net,
                train_data=images,
                train_labels=[each.label.astype(np.int32) for each in examples],
                normalize=False,
                n_epochs=self.epochs,
                learning_rate=self.learning_rate or (0.1 if major < 4 else 1e-5),
                nimg_per_epoch=max(_LEAST_IMAGES, len(images)),
                min_train_masks=1,
                save_path=folder,
                save_every=self.epochs + 1,
                model_name="model",
                **way,
            )
            return {"weights": (Path(folder) / "models" / "model").read_bytes()}

    def _scaled(self, example: Example, network_diameter: float) -> np.ndarray:
        """(channels, Y, X) float32 of cells and nuclei, as `CellPose` shows them to the network."""
        channels = [example.image]
        if isinstance(example.image, Mapping):
            names = [name for name in example.image if name != self.nucleus]
            if self.nucleus is None or self.nucleus not in example.image or len(names) != 1:
                raise InputError(
                    f"TrainCellPose takes one image, or two channels of which `nucleus` names one; the "
                    f"population has {', '.join(example.image)} and nucleus is {self.nucleus}"
                )
            channels = [example.image[names[0]], example.image[self.nucleus]]
        elif self.nucleus is not None:
            raise InputError(
                f"TrainCellPose: nucleus={self.nucleus!r}, but the population's image is one: give it "
                "combine: separate"
            )
        shown = np.zeros((2, *example.label.shape), np.float32)
        for number, image in enumerate(channels):
            shown[number] = cellpose._scaled(FieldFrame(image, image, as_filmed=True))
        diameter = typical_diameter([example])[0]
        sigma = max(diameter / float(network_diameter) - 1, 0) / 2
        return np.asarray(ndi.gaussian_filter(shown, (0, sigma, sigma), mode="nearest"))
