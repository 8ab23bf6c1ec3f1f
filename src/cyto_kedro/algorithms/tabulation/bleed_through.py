"""Light of one population's cells in the channel of another: known by its place and shape.

A target's dye that leaks into the effectors' channel shows the targets there, dimmer, each with its
own outline. An effector is no target: a mask of one that is a mask of the other is bleed-through, in
the channel in which it is the dimmer of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy

from cyto_kedro.algorithms.preprocessing.parts import shown_in
from cyto_kedro.algorithms.segmentation.scale import without_slope
from cyto_kedro.algorithms.tabulation.mask_evidence import Scene
from cyto_kedro.algorithms.tabulation.masks import compact
from cyto_kedro.core import ndi

_SAME = 0.5  # IoU of masks that are one cell
_LEFT = 0.25  # of the brightest light: two channels differ so far in blur and place


class Masked(NamedTuple):
    """A population's image and labels in one frame, (Y, X)."""

    image: np.ndarray
    label: np.ndarray


def leaked(
    image: np.ndarray, shown: np.ndarray, outside: np.ndarray, others: Sequence[np.ndarray]
) -> np.ndarray:
    """The light of `image` (Y, X) that is in proportion to the images `others`, over their own levels.

    By least squares over what was `shown` `outside` of masks, none of them less than 0. A cell is in no
    proportion to another population's, wherever it lies.
    """
    theirs = [
        np.maximum(each - np.median(each[shown]), 0) if shown.any() else each for each in others
    ]
    fitted = shown & outside
    if not others or not fitted.any():
        return np.zeros_like(image)
    known = np.stack([np.ones(int(fitted.sum())), *(each[fitted] for each in theirs)], 1)
    shares = scipy.optimize.nnls(known, np.maximum(image[fitted], 0))[0][1:]
    return np.asarray(sum(by * each for by, each in zip(shares, theirs, strict=True)), np.float32)


def shines_through(scene: Scene, others: Sequence[np.ndarray]) -> bool:
    """Whether the light of `scene`, a frame without masks, is that of `others` and no more.

    `others`: images (Y, X). No piece as large as a cell is left but for theirs.
    """
    if not others:
        return False
    light = scene.smooth - scene.level
    theirs = [ndi.gaussian_filter(without_slope(each), scene.sigma) for each in others]
    left = light - leaked(light, scene.shown, np.ones_like(scene.shown), theirs)
    least = max(scene.floor - scene.level, _LEFT * float(light[scene.shown].max()))
    pieces, _ = ndi.label(scene.shown & (left > least))
    sizes = np.bincount(pieces.ravel())[1:]
    return not (sizes >= scene.least_piece).any()


def doubled_share(own: Masked, scene: Scene, others: Sequence[Masked]) -> float:
    """Share of a frame's masks that are masks of another population, in which they are brighter.

    `scene`: of `own`. Brightness is over the background, in noise.
    """
    if not others:
        return 0.0
    labels, size, mine = _cells(own.label)
    doubled = np.zeros(len(labels), bool)
    for other in others:
        theirs, their_size, its = _cells(other.label)
        both = (mine >= 0) & (its >= 0)
        code, at = compact(mine[both] * len(theirs) + its[both])
        one, two = np.divmod(code, max(len(theirs), 1))
        overlap = np.bincount(at, minlength=len(code))
        same = overlap >= _SAME * (size[one] + their_size[two] - overlap)
        if not same.any():
            continue
        one, two = one[same], two[same]
        light = _height(own, scene, labels[one])
        seen = Scene.of(*other, shown_in(other.image))
        doubled[one] |= light < _height(other, seen, theirs[two])
    return float(doubled.mean()) if len(doubled) else 0.0


def _cells(label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and areas (n,) of the cells, and which of them each pixel is of, flat; -1: of none."""
    labels, cell = compact(label.ravel())
    area = np.bincount(cell, minlength=len(labels))
    empty = int(len(labels) > 0 and labels[0] == 0)
    return labels[empty:], area[empty:], cell - empty


def _height(masked: Masked, scene: Scene, labels: np.ndarray) -> np.ndarray:
    """Mean light of cells over the background, in noise, (n,)."""
    mean = np.asarray(ndi.mean(masked.image, masked.label, labels))
    return (mean - scene.level) / scene.noise
