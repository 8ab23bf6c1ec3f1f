"""Masks decided over time: whether a blob is one cell or two, the frames before and after say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_serializer, model_validator

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.segmentation.blobs import BlobSeeds
from cyto_kedro.algorithms.segmentation.cellpose import CellPose
from cyto_kedro.algorithms.segmentation.classical import Classical, FlatFrame, Scene, levels_of
from cyto_kedro.algorithms.segmentation.cleanup import Labelled, renumber
from cyto_kedro.algorithms.segmentation.frames import FieldFrame, Frames
from cyto_kedro.algorithms.segmentation.hypotheses import (
    SAME_CELL,
    Regions,
    carried,
    divisions_of,
    fill_of,
    joined,
    of_labels,
    overlaps,
    with_parts,
)
from cyto_kedro.algorithms.segmentation.nuclei import Nuclei, slope_of
from cyto_kedro.algorithms.segmentation.programme import Programme
from cyto_kedro.algorithms.segmentation.scale import flatten
from cyto_kedro.algorithms.segmentation.size import CellSize
from cyto_kedro.algorithms.segmentation.stardist import StarDist
from cyto_kedro.algorithms.segmentation.threshold import Li, LocalThreshold, Otsu
from cyto_kedro.core import ndi
from cyto_kedro.core.contract import Image

_ENGINES: dict[str, type[Algorithm]] = {
    each.__name__: each
    for each in (BlobSeeds, CellPose, Li, LocalThreshold, Nuclei, Otsu, StarDist)
}
EngineName = Literal["BlobSeeds", "CellPose", "Li", "LocalThreshold", "Nuclei", "Otsu", "StarDist"]

# Chosen on seeds 1 to 3 of the preset `crowded`; in units of a typical cell's worth.
_SIZE = 0.7  # worth grows with this power of the area
_BASE, _TOLERANCE, _SHARPEST = 0.3, 0.08, 2.0
_VOTE, _MADE = 0.15, 0.15
_LINK, _MIDDLE, _LEAST_IOU = 1.5, 0.5, 0.15
_PRICE = 0.3
_DIVISION = 0.3  # chosen on the first 20 frames of SIM+
_CONFLICT = 0.15  # of the smaller, that two cells may share: engines draw edges differently


@dataclass(frozen=True)
class Seen:
    """A frame: labels (Y, X) int32 of each engine, and how steep the image is at each pixel."""

    labels: Sequence[np.ndarray]
    slope: np.ndarray | None = None
    #: what the labels alone say that its cells may be; None: not yet known
    regions: Regions | None = None


class OverTime(Algorithm):
    """Choose, over a film, among what several engines see and what it can be cut or joined to.

    Each frame has *regions*: the labels of each engine, their cuts at waists, unions of two that look
    like one cell, and cuts of those in which two cells of the frame before or after lie. Chosen is
    the set of regions, of which no two are of the same pixels, and of links from frame to frame, that is
    worth most. A region is worth more the more it looks like an ellipse, the sharper its edge is and
    the more engines have it; a link the more of its two regions lies on each other. A cell may divide
    in two that come apart; where one appears or is lost, it costs. An integer programme (`Programme`)
    finds the best.

    So two cells that touch for a while stay two, halves of a cell that is one before and after are one,
    and what one engine misses another may find. Regions with edges far less sharp than others (cells
    out of focus, haze) are left out. Outlines are those of the first engine that has
    the cell, unless another's is far from it (`same_outline`). Identity
    is left to the linker: what divides or dies is not forced to go on.

    Windows of `window_frames`, at fixed places of the film, are decided each by itself with
    `context_frames` on either side, so results do not depend on block length. For cells that move
    less than their size a frame; others are decided frame by frame. Moves of the whole field are
    taken off.

    References: Jug et al. 2014 (doi:10.1007/978-3-319-12289-2_3); Türetken et al. 2017
    (doi:10.1109/TPAMI.2016.2601102); Bragantini et al. 2025 (ultrack, doi:10.1038/s41592-025-02778-0).

    Examples
    --------
    >>> y, x = np.mgrid[:60, :90]
    >>> film = np.stack([
    ...     100.0 + 50 * ((y - 30) ** 2 + (abs(x - 45) - gap) ** 2 < 100) for gap in (14, 8, 14)
    ... ])
    >>> label = OverTime(engine_args={"Nuclei": {"diameter_px": 20}})(image=film)["label"]
    >>> [int(each.max()) for each in label]
    [2, 2, 2]
    """

    version: ClassVar[int] = 3

    engines: tuple[EngineName, ...] = Field(
        default=("Nuclei", "LocalThreshold"),
        min_length=1,
        description="what sees cells; the first one that has a cell draws its outline",
    )
    engine_args: dict[EngineName, dict[str, Any]] = Field(
        default={}, description="engine -> its arguments"
    )
    window_frames: int = Field(default=20, ge=1, description="frames decided together")
    context_frames: int = Field(default=5, ge=0, description="frames looked at on either side")
    same_outline: float = Field(
        default=SAME_CELL,
        gt=0,
        le=1,
        description="IoU from which masks of two engines are one, the first one's; below, both outlines "
        "may be chosen: 0.75 for targets of crowds, and for textured nuclei",
    )
    least_edge: float = Field(
        default=0.3,
        ge=0,
        lt=1,
        description="least sharpness of an edge, as a share of the usual one; 0: any",
    )

    @model_validator(mode="after")
    def _arguments(self) -> OverTime:
        if strangers := sorted(set(self.engine_args) - set(self.engines)):
            raise ValueError(f"engine_args: {strangers[0]} is not among engines {self.engines}")
        for engine in self.made():
            if getattr(engine, "channels_apart", ()):
                raise ValueError(f"{type(engine).__name__}: OverTime sees one image, no channels")
        return self

    @field_serializer("engine_args")
    def _named(self, _: dict[EngineName, dict[str, Any]]) -> dict[str, Any]:
        """What the ledger hashes: all arguments of the engines, and their versions."""
        made = zip(self.engines, self.made(), strict=True)
        return {
            name: {**each.model_dump(mode="json"), "version": each.version} for name, each in made
        }

    def made(self) -> list[Algorithm]:
        """The engines."""
        return [_ENGINES[name](**self.engine_args.get(name, {})) for name in self.engines]

    @property
    def needs_size(self) -> bool:
        """Whether the film has to tell how wide cells are."""
        return any(getattr(each, "needs_size", False) for each in self.made())

    def film_size(self, image: Image, **where: Any) -> CellSize | None:
        """Size of the cells over the frames of `image`; None where none holds any."""
        engine = next(each for each in self.made() if getattr(each, "needs_size", False))
        size: CellSize | None = engine.film_size(image, **where)  # type: ignore[attr-defined]
        return size

    def opened(self, start: int, stop: int, n_frames: int) -> tuple[int, int]:
        """First frame and end of what has to be seen for frames `start` to `stop` of a film."""
        first = start // self.window_frames * self.window_frames
        last = -(-stop // self.window_frames) * self.window_frames
        return max(first - self.context_frames, 0), min(last + self.context_frames, n_frames)

    def run(
        self,
        image: Image,
        field: Image | None = None,
        corner: tuple[int, int] | None = None,
        valid: np.ndarray | None = None,
        frame_start: int = 0,
        pixel_size_um: float | None = None,
        fov: str = "of no name",
        typical_diameter_px: float | None = None,
    ) -> Labelled:
        """Segment every frame of `image`; right in those of which it holds what `opened` says.

        Inputs and errors are those of the engines.
        """
        frames = Frames(image, field, corner, valid, frame_start)
        engines = self.made()
        label = np.zeros(frames.shape, np.uint32)
        if self.needs_size and typical_diameter_px is None:
            size = self.film_size(image, field=field, corner=corner, valid=valid)
            if size is None:
                return {"label": label}
            typical_diameter_px = size.diameter
        where: dict[str, Any] = {"pixel_size_um": pixel_size_um, "fov": fov, "corner": corner}
        where["typical_diameter_px"] = typical_diameter_px

        def see(index: int) -> Seen:
            one = slice(index, index + 1)
            data = {**where, "frame_start": frame_start + index, "image": image[one]}
            if field is not None:
                data["field"] = field[one]
            if valid is not None:
                data["valid"] = valid if np.ndim(valid) == 2 else valid[one]
            frame = frames[index]
            flat: dict[float, FlatFrame] = {}
            found = []
            for engine, size in zip(engines, sizes, strict=True):
                if isinstance(engine, Classical) and size:
                    flat[size] = flat.get(size) or FlatFrame.of(frame, size)
                    label = engine.of_frame(flat[size], pixel_size_um)
                else:
                    label = np.asarray(engine(data)["label"])[0]
                found.append(renumber(label).view(np.int32))
            if not any(each.any() for each in found):
                return Seen(found)
            diameter = diameter_of(found)
            slope = _slope(frame, diameter, flat.get(diameter)) if self.least_edge else None
            regions = of_labels(found, diameter, self.same_outline) if usual else None
            return Seen(found, slope, regions)

        given = [getattr(each, "diameter", None) for each in engines]
        given = [each and each.in_px("diameter", pixel_size_um) for each in given]
        sizes = [each or typical_diameter_px for each in given]
        usual = typical_diameter_px or next((each for each in given if each), None)

        def diameter_of(labels: Sequence[np.ndarray]) -> float:
            if usual:
                return float(usual)
            areas = np.concatenate([np.bincount(each.ravel())[1:] for each in labels])
            return float(2 * np.sqrt(np.median(areas[areas > 0]) / np.pi))

        seen: dict[int, Seen] = {}
        window, context = self.window_frames, self.context_frames
        end = frame_start + len(label)
        for first in range(frame_start // window * window, end, window):
            a = max(first - context, frame_start) - frame_start
            b = min(first + window + context, end) - frame_start
            seen = {index: seen.get(index) or see(index) for index in range(a, b)}
            labels = [each for held in seen.values() for each in held.labels if each.any()]
            if not labels:
                continue
            decided = decide(
                list(seen.values()), diameter_of(labels), self.least_edge, self.same_outline
            )
            core = slice(max(first - frame_start, 0), min(first + window, end) - frame_start)
            label[core] = decided[core.start - a : core.stop - a]
        return {"label": label}


def _slope(frame: FieldFrame, diameter: float, flat: FlatFrame | None = None) -> np.ndarray:
    """(Y, X) gradient of the root of the intensity above background: see `Nuclei`."""
    part = frame.part
    known = None if flat is None or frame.tiled else flat.scene
    image = flatten(part.image, diameter) if known is None else known.image
    scene = Scene(image, (replace(part, image=image),), diameter, 0, np.inf)
    found = levels_of(scene, max(0.05 * diameter, 0.5))
    return slope_of(np.sqrt(np.maximum(found.smooth - found.level, 0))).astype(np.float32)


def decide(
    window: Sequence[Seen],
    diameter: float,
    least_edge: float = 0.0,
    same_outline: float = SAME_CELL,
) -> np.ndarray:
    """Labels (T, Y, X) uint32 of the frames of a window; cells are typically `diameter` pixels wide."""
    label = np.zeros((len(window), *window[0].labels[0].shape), np.uint32)
    # a frame without any cell was lost: its neighbours are linked across
    used = [t for t, each in enumerate(window) if any(one.any() for one in each.labels)]
    centre = {t: np.concatenate(_centres(window[t].labels)) for t in used}
    moved = {b: shift_of(centre[a], centre[b], diameter) for a, b in pairwise(used)}
    regions = _regions(window, used, moved, diameter, same_outline)
    edges = _edges(window, regions)
    sharp = {t: edges[t] >= least_edge for t in used}
    regions = {t: regions[t].take(sharp[t]) for t in used}
    start = dict(zip(used, np.cumsum([0, *(len(regions[t]) for t in used)]).tolist(), strict=False))
    size = {t: (regions[t].area / (np.pi / 4 * diameter**2)) ** _SIZE for t in used}
    worth, conflicts, links, link_worth = [], [], [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    within = {}
    for t in used:
        each = regions[t]
        shape = np.exp(-np.maximum(1 - fill_of(each), 0) / _TOLERANCE)
        sharpness = np.minimum(edges[t][sharp[t]], _SHARPEST)
        seen = _VOTE * (each.votes - 1) - _MADE * (each.origin >= 2)
        worth.append(size[t] * (_BASE + shape * sharpness + seen))
        i, j, _, share = within[t] = overlaps(each, each)
        exclude = (share > _CONFLICT) & (i < j)
        conflicts.append(np.stack([i[exclude], j[exclude]], axis=1) + start[t])
    divisions, division_worth = [np.zeros((0, 3), np.int64)], [np.zeros(0)]
    for a, b in pairwise(used):
        i, j, iou, _ = between = overlaps(regions[a], regions[b], moved[b])
        divided = divisions_of(regions[a], regions[b], moved[b], between, within[b])
        divisions.append(divided + np.array([start[a], start[b], start[b]]))
        division_worth.append(_DIVISION * size[a][divided[:, 0]])
        near = iou > _LEAST_IOU
        i, j, iou = i[near], j[near], iou[near]
        links.append(np.stack([i + start[a], j + start[b]], axis=1))
        link_worth.append(_LINK * 0.5 * (size[a][i] + size[b][j]) * (iou - _MIDDLE))
    price = [_PRICE * size[t] for t in used]
    chosen, *_ = Programme(
        np.concatenate(worth),
        np.concatenate([0 * price[0], *price[1:]]),  # what was before the window is not known
        np.concatenate([*price[:-1], 0 * price[-1]]),
        np.concatenate(conflicts),
        np.concatenate(links),
        np.concatenate(link_worth),
        np.concatenate(divisions),
        np.concatenate(division_worth),
    ).solved()
    for t in used:
        which = chosen[start[t] : start[t] + len(regions[t])]
        label[t] = renumber(regions[t].labels(which))
    return label


def _regions(
    window: Sequence[Seen],
    used: list[int],
    moved: Mapping[int, tuple[int, int]],
    diameter: float,
    same_outline: float,
) -> dict[int, Regions]:
    """What the cells of each frame may be."""
    found = {
        t: [
            of_labels(each.labels, diameter, same_outline) if each.regions is None else each.regions
        ]
        for t, each in ((t, window[t]) for t in used)
    }
    for forward in (True, False):
        order = used if forward else used[::-1]
        now = window[order[0]].labels
        for a, b in pairwise(order):
            dy, dx = moved[b] if forward else (-moved[a][0], -moved[a][1])
            after = []
            for before, label in zip(now, window[b].labels, strict=True):
                cut = carried(before, label, (dy, dx), diameter)
                found[b].append(cut)
                after.append(with_parts(label, cut))
            now = after
    return {t: joined(each) for t, each in found.items()}


def _edges(window: Sequence[Seen], regions: Mapping[int, Regions]) -> dict[int, np.ndarray]:
    """By frame, (n,) sharpness of each region's edge, as a share of the window's usual one."""
    found = {}
    for t, each in regions.items():
        slope = window[t].slope
        found[t] = np.ones(len(each)) if slope is None else each.contour_mean(slope)
    engines = [found[t][each.origin <= 1] for t, each in regions.items()]
    usual = float(np.median([np.median(each) for each in engines if len(each)]))
    return {t: each / (usual or 1.0) for t, each in found.items()}


def _centres(labels: Sequence[np.ndarray]) -> list[np.ndarray]:
    """(n, 2) y and x of the labels of each engine."""
    return [Regions.of(each, 0).centre() for each in labels]


def shift_of(before: np.ndarray, after: np.ndarray, diameter: float) -> tuple[int, int]:
    """How cells at `before` and `after` (n, 2) moved alike, whole pixels: the stage, not the cells.

    The most frequent step of all pairs within two diameters; none where fewer than a third share it.
    """
    if not len(before) or not len(after):
        return 0, 0
    step = (after[None] - before[:, None]).reshape(-1, 2)
    step = step[(np.abs(step) <= 2 * diameter).all(axis=1)]
    width = max(diameter / 8, 1.0)
    bins = np.rint(step / width).astype(np.int64)
    if not len(bins):
        return 0, 0
    middle = int(np.abs(bins).max()) + 2
    votes = np.zeros((2 * middle + 1, 2 * middle + 1))
    np.add.at(votes, tuple((bins + middle).T), 1)
    votes = ndi.gaussian_filter(votes, 1.0)
    best = np.array(np.unravel_index(votes.argmax(), votes.shape)) - middle
    near = step[(np.abs(step / width - best) <= 1.5).all(axis=1)]
    if 3 * len(near) < min(len(before), len(after)):
        return 0, 0
    y, x = np.rint(np.median(near, axis=0)).astype(int).tolist()
    return y, x
