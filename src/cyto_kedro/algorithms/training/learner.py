"""What learners have in common: examples in, an engine's weights out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypedDict

import numpy as np

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.segmentation.forest import Forest
from cyto_kedro.errors import InputError


@dataclass(frozen=True)
class Example:
    """A frame with masks that are right.

    Parameters
    ----------
    image
        (Y, X), or by channel where the population's channels are apart.
    label
        (Y, X) integer; 0 is background.
    group
        What is left out together when it is scored: a field, or an experiment.
    """

    image: np.ndarray | Mapping[str, np.ndarray]
    label: np.ndarray
    pixel_size_um: float | None = None
    group: str = ""


class Learnt(TypedDict):
    """The content of a model's file."""

    weights: bytes


class Learner(Algorithm):
    """Learns an engine's weights."""

    #: the engine that uses what is learnt: its argument `model` is the path of the file
    engine: ClassVar[str]
    #: of that file
    suffix: ClassVar[str]

    @abstractmethod
    def run(self, examples: Sequence[Example]) -> Learnt:
        """Learn from `examples`. Raises InputError if there is no cell in them."""

    def args(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Arguments of the engine beside `model`, for what is learnt from `examples`."""
        return {}


def grown(
    learner: Any, rows: np.ndarray, kind: np.ndarray, card: dict[str, Any], **options: Any
) -> Learnt:
    """A random forest that tells `kind` (n,) by `rows` (n, features); its card says who learnt it.

    `learner` has ``trees``, ``depth`` and ``seed``.
    """
    from sklearn.ensemble import RandomForestClassifier

    fitted = RandomForestClassifier(
        learner.trees, max_depth=learner.depth, random_state=learner.seed, n_jobs=1, **options
    ).fit(rows, kind)
    said = {"name": type(learner).__name__, "args": learner.model_dump(mode="json")}
    return {"weights": Forest.of(fitted, {**card, "learner": said}).to_bytes()}


def check(examples: Sequence[Example]) -> None:
    """Raise InputError if there is nothing to learn from, or an image and its masks do not fit."""
    if not any(each.label.any() for each in examples):
        raise InputError(
            f"no cell to learn from in {len(examples)} frames: correct masks first (kedro cyto correct)"
        )
    for each in examples:
        images = each.image.values() if isinstance(each.image, Mapping) else [each.image]
        for image in images:
            if image.shape != each.label.shape:
                raise InputError(
                    f"{each.group}: an image of shape {image.shape} with masks of {each.label.shape}"
                )


def typical_diameter(examples: Sequence[Example]) -> tuple[float, float | None]:
    """Median diameter of a disc as large as a cell: in pixels, and in um if all sizes are known."""
    areas, sizes = [], []
    for each in examples:
        area = np.bincount(each.label.ravel())[1:]
        areas.append(area[area > 0])
        sizes.append(np.full(len(areas[-1]), each.pixel_size_um or np.nan))
    diameter = 2 * np.sqrt(np.concatenate(areas) / np.pi)
    physical = float(np.median(diameter * np.concatenate(sizes)))
    return float(np.median(diameter)), None if np.isnan(physical) else physical


def diameter_args(examples: Sequence[Example]) -> dict[str, float]:
    """`typical_diameter` as an engine's argument, in um where it is known."""
    pixels, physical = typical_diameter(examples)
    known, unit = (pixels, "px") if physical is None else (physical, "um")
    return {f"diameter_{unit}": round(known, 2)}
