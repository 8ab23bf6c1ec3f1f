"""Operations on label frames (Y, X), background 0, and the steps made of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, TypedDict

import numpy as np
from pydantic import Field, model_validator

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.segmentation.packing import Packing
from cyto_kedro.core import ndi
from cyto_kedro.core.contract import Label, Stack
from cyto_kedro.core.units import Area, PositiveArea, in_px
from cyto_kedro.errors import InputError


def fill_holes(mask: np.ndarray, max_area: float) -> np.ndarray:
    """Fill holes of a binary mask of at most `max_area` pixels."""
    number, enclosed = _holes(mask)
    small = enclosed & (np.bincount(number.ravel(), minlength=enclosed.size) <= max_area)
    return mask | small.take(number)


def _holes(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parts (Y, X) of what `mask` leaves free, from 1, and by number whether the mask encloses it."""
    from skimage.measure import label as components

    number, count = components(~mask, connectivity=1, return_num=True)
    enclosed = np.ones(count + 1, bool)
    enclosed[0] = False
    for edge in (number[0], number[-1], number[:, 0], number[:, -1]):
        enclosed[edge] = False
    return number, enclosed


def parts(label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connected parts (edge-sharing pixels) of every label.

    Returns
    -------
    number
        (Y, X) int, parts numbered from 1, 0 outside cells.
    owner, is_largest
        By part number: the label it belongs to, and whether it is that label's largest part (the
        first of equals). Entry 0 is ``0, False``.
    """
    from skimage.measure import label as components

    number = components(label, connectivity=1)
    area = np.bincount(number.ravel())
    owner = np.zeros(area.size, np.int64)
    cells = label > 0
    owner[number[cells]] = label[cells]
    order = np.lexsort((-np.arange(area.size), area, owner))
    is_largest = np.zeros(area.size, bool)
    is_largest[order[np.r_[owner[order][1:] != owner[order][:-1], True]]] = True
    is_largest[owner == 0] = False
    return number, owner, is_largest


def largest_parts(label: np.ndarray) -> np.ndarray:
    """Keep the largest connected part of every label."""
    number, _, is_largest = parts(label)
    return np.where(is_largest.take(number), label, label.dtype.type(0))


def fill_label_holes(label: np.ndarray) -> np.ndarray:
    """Give pixels enclosed by cells to the nearest cell."""
    number, enclosed = _holes(label > 0)
    holes = enclosed.take(number)
    if not holes.any():
        return label
    # the nearest cell borders on the hole, so no more of the frame is looked at
    packing = Packing.of(ndi.maximum_filter(holes, 3))
    small = packing.pack(label, 0)
    nearest = ndi.distance_transform_edt(small == 0, return_distances=False, return_indices=True)
    filled = packing.unpack(small[tuple(nearest)], label.copy())
    return np.where(holes, filled, label)


def drop_by_area(
    label: np.ndarray, min_area: float | None = None, max_area: float | None = None
) -> np.ndarray:
    """Remove labels smaller than `min_area` or larger than `max_area` pixels."""
    area = np.bincount(label.ravel())
    keep = area >= (min_area or 0)
    if max_area is not None:
        keep &= area <= max_area
    return np.where(keep, np.arange(area.size), 0).astype(label.dtype).take(label)


def drop_border(label: np.ndarray, filmed: np.ndarray | None = None) -> np.ndarray:
    """Remove labels that touch the edge of the image, or of what was `filmed` (Y, X bool) of it.

    Their size and shape are unknown.
    """
    rim = np.concatenate((label[0], label[-1], label[:, 0], label[:, -1]))
    if filmed is not None:
        rim = np.concatenate((rim, label[ndi.binary_dilation(~filmed)]))
    keep = np.ones(int(label.max()) + 1, bool)
    keep[rim] = False
    return np.where(keep.take(label), label, label.dtype.type(0))


def renumber(label: np.ndarray) -> np.ndarray:
    """Labels 1..n in the order of the old ones, uint32."""
    present = np.bincount(label.ravel()) > 0
    present[0] = False
    return np.where(present, np.cumsum(present), 0).astype(np.uint32).take(label)


def check_labels(stack: Stack, frame_start: int = 0, what: str = "label") -> np.ndarray:
    """`stack` (T, Y, X) as uint32.

    Raises InputError if a value is negative, fractional, or over 4294967295; names the first such
    frame.
    """
    stack = np.asarray(stack)
    if stack.dtype.kind not in "buif":
        raise InputError(f"{what}: labels must be numbers, got dtype {stack.dtype}")
    top = np.iinfo(np.uint32).max
    # 2**32 is exact in every float dtype; NaN fails every comparison and so is caught here too
    bad = ~((stack >= 0) & (stack < 2.0**32))
    if stack.dtype.kind == "f":
        bad |= np.floor(stack) != stack
    if bad.any():
        frame, y, x = np.argwhere(bad)[0]
        raise InputError(
            f"{what}, frame {frame_start + int(frame)}: value {stack[frame, y, x]!s} at "
            f"(y, x) = ({y}, {x}) is not a label; labels are whole numbers from 0 (background) to "
            f"{top}. Was an intensity image given in place of a mask?"
        )
    return stack.astype(np.uint32)


class Labelled(TypedDict):
    """What engines and steps make: uint32, background 0."""

    label: Label


class LabelStep(Algorithm):
    """Changes labels frame by frame."""

    @abstractmethod
    def edit(self, label: np.ndarray, pixel_size_um: float | None) -> np.ndarray:
        """Labels (Y, X) made of those of one frame, uint32; `label` is not changed.

        Raises ConfigError if a length or area is in um or um2 and the pixel size is unknown.
        """

    def run(
        self, label: Label, frame_start: int = 0, pixel_size_um: float | None = None
    ) -> Labelled:
        """Change every frame of `label`."""
        changed = check_labels(label, frame_start)
        for index, frame in enumerate(changed):
            changed[index] = self.edit(frame, pixel_size_um)
        return {"label": changed}


class CleanUp(LabelStep):
    """Remove cells by size and at the border, fill holes, number anew.

    Examples
    --------
    >>> cells = np.array([[[5, 5, 0, 9], [5, 5, 0, 0]]], np.uint32)
    >>> CleanUp(min_area_px=2)(label=cells)["label"].tolist()
    [[[1, 1, 0, 0], [1, 1, 0, 0]]]
    """

    min_area: Area | None = Field(default=None, description="smallest cell")
    max_area: PositiveArea | None = Field(default=None, description="largest cell")
    largest_part: bool = Field(default=False, description="keep one connected part per label")
    fill_holes: bool = Field(default=True, description="give enclosed pixels to the nearest cell")
    clear_border: bool = Field(default=False, description="remove cells cut by the image's edge")
    relabel: bool = Field(default=True, description="number labels 1..n in every frame")

    def edit(self, label: np.ndarray, pixel_size_um: float | None) -> np.ndarray:
        smallest = in_px(self, "min_area", pixel_size_um)
        largest = in_px(self, "max_area", pixel_size_um)
        if self.largest_part:
            label = largest_parts(label)
        if self.fill_holes:
            label = fill_label_holes(label)
        if self.clear_border:
            label = drop_border(label)
        label = drop_by_area(label, smallest, largest)
        return renumber(label) if self.relabel else label


def without(
    label: np.ndarray,
    other: np.ndarray,
    mode: Literal["objects", "pixels"] = "objects",
    min_overlap: float = 0.5,
    min_area: float = 0,
) -> np.ndarray:
    """Take one population's mask `other` (Y, X) away from the label frame `label` (Y, X).

    ``objects`` removes every label of which at least `min_overlap` of the pixels lie under `other`.
    ``pixels`` cuts those pixels out; parts of a cell smaller than `min_area` are dropped, the
    largest keeps its label and further ones get new labels after the highest.
    """
    under = other > 0
    if mode == "objects":
        area = np.bincount(label.ravel())
        covered = np.bincount(label[under], minlength=area.size)
        keep = covered < min_overlap * np.maximum(area, 1)
        return np.where(keep[label], label, 0).astype(np.uint32)
    number, owner, is_largest = parts(np.where(under, 0, label))
    fresh = (owner > 0) & ~is_largest & (np.bincount(number.ravel()) >= min_area)
    owner = np.where(is_largest | fresh, owner, 0)
    owner[fresh] = int(label.max()) + 1 + np.arange(int(fresh.sum()))
    return drop_by_area(owner[number], min_area).astype(np.uint32)


class SubtractPopulation(Algorithm):
    """Remove from one population what another's masks show to be theirs.

    A nuclear stain such as Hoechst marks effectors and targets alike; targets are then the nuclei
    that no effector mask covers.

    Examples
    --------
    >>> nuclei = np.array([[[1, 1, 1, 0, 2, 2]]], np.uint32)
    >>> effectors = np.array([[[0, 0, 3, 0, 4, 4]]], np.uint32)
    >>> SubtractPopulation()(label=nuclei, subtract=[effectors])["label"].tolist()
    [[[1, 1, 1, 0, 0, 0]]]
    """

    mode: Literal["objects", "pixels"] = Field(
        default="objects", description="remove whole covered cells, or cut the covered pixels out"
    )
    min_overlap: float = Field(
        default=0.5, gt=0, le=1, description="objects: covered share of a cell that removes it"
    )
    min_area: Area | None = Field(
        default=None, description="pixels: smallest part kept; null: one pixel"
    )

    @model_validator(mode="after")
    def _area_belongs_to_pixels(self) -> SubtractPopulation:
        if self.mode == "objects" and self.min_area is not None:
            raise ValueError("min_area has no effect with mode='objects'; use mode='pixels'")
        return self

    def run(
        self,
        label: Label,
        subtract: Sequence[Label],
        frame_start: int = 0,
        pixel_size_um: float | None = None,
    ) -> Labelled:
        """`label` without what the masks `subtract` cover; labels are kept.

        Raises
        ------
        InputError
            If a mask to subtract differs in shape.
        """
        smallest = in_px(self, "min_area", pixel_size_um) or 1
        left = check_labels(label, frame_start)
        for other in subtract:
            if tuple(other.shape) != left.shape:
                raise InputError(
                    f"label {left.shape} and the mask to subtract {tuple(other.shape)} differ in "
                    "shape: both must be of the same field and block"
                )
        for index, frame in enumerate(left):
            under = np.zeros(frame.shape, bool)
            for other in subtract:
                under |= np.asarray(other[index]) > 0
            left[index] = without(frame, under, self.mode, self.min_overlap, smallest)
        return {"label": left}
