"""Tiles joined to fields: against the labels of the whole field."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage as ndi

from cyto_kedro.algorithms.segmentation.cleanup import drop_border
from cyto_kedro.algorithms.segmentation.stitching import stitch
from cyto_kedro.blocks import Tiling
from cyto_kedro.errors import InputError

Engine = Callable[[np.ndarray], np.ndarray]


def discs(size: int, count: int, radius: tuple[float, float], seed: int = 0) -> np.ndarray:
    """Mask (size, size) of random discs."""
    rng = np.random.default_rng(seed)
    mask, reach = np.zeros((size, size), bool), int(radius[1]) + 1
    yy, xx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    for y, x, r in zip(
        *rng.integers(reach, size - reach, (2, count)), rng.uniform(*radius, count), strict=True
    ):
        mask[y - reach : y + reach + 1, x - reach : x + reach + 1] |= yy**2 + xx**2 <= r**2
    return mask


def components(mask: np.ndarray) -> np.ndarray:
    return ndi.label(mask)[0]


def in_tiles(mask: np.ndarray, side: int, overlap: int, engine: Engine) -> np.ndarray:
    rows, columns = (Tiling(side_px=side, overlap_px=overlap).cut(n, None) for n in mask.shape)
    tiles = {(y[0], x[0]): engine(mask[slice(*y), slice(*x)])[None] for y in rows for x in columns}
    return stitch(tiles, mask.shape)[0]


def least_iou(truth: np.ndarray, found: np.ndarray) -> float:
    """The smallest IoU of any true label with the found label that covers it best."""
    assert len(np.unique(truth)) == len(np.unique(found))
    width = int(found.max()) + 1
    pair, both = np.unique(
        truth.astype(np.int64).ravel() * width + found.ravel(), return_counts=True
    )
    a, b = pair // width, pair % width
    iou = both / (np.bincount(truth.ravel())[a] + np.bincount(found.ravel())[b] - both)
    inside = (a > 0) & (b > 0)
    best = np.zeros(int(truth.max()) + 1)
    np.maximum.at(best, a[inside], iou[inside])
    return float(best[np.unique(truth[truth > 0])].min())


def test_a_large_field_is_the_same_stitched_and_whole() -> None:
    mask = discs(4096, 9000, (4, 11))
    truth = components(mask)
    found = in_tiles(mask, 1024, 160, components)
    assert found.dtype == np.uint32
    assert truth.max() > 5000
    assert found.max() == truth.max()
    assert least_iou(truth, found) == 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("side", "overlap"), [(100, 30), (64, 31), (150, 25)])
def test_crowded_small_fields(seed: int, side: int, overlap: int) -> None:
    mask = discs(301, 60, (3, 11), seed)[:217]
    parts = components(mask)
    large = [i + 1 for i, box in enumerate(ndi.find_objects(parts)) if max_side(box) >= overlap]
    mask[np.isin(parts, large)] = False  # chains of discs, longer than the overlap
    truth = components(mask)
    assert least_iou(truth, in_tiles(mask, side, overlap, components)) == 1


def max_side(box: tuple[slice, ...]) -> int:
    return max(each.stop - each.start for each in box)


def test_cells_larger_than_the_overlap_are_put_together_from_their_parts() -> None:
    mask = np.zeros((120, 400), bool)
    mask[10:60, 20:380] = True
    mask[80:110, 30:200] = True
    truth = components(mask)
    assert least_iou(truth, in_tiles(mask, 128, 20, components)) == 1


def test_what_an_engine_does_at_the_edges_of_a_tile_is_not_seen() -> None:
    """An engine that drops cells cut by the edge of its image."""
    mask = discs(400, 90, (4, 9), 3)
    parts = components(mask)
    crowds = [i + 1 for i, box in enumerate(ndi.find_objects(parts)) if max_side(box) >= 40]
    mask[np.isin(parts, crowds)] = False
    truth = drop_border(components(mask))
    found = in_tiles(mask, 150, 48, lambda x: drop_border(components(x)))
    assert least_iou(truth, found) == 1


def test_a_cell_that_one_tile_misses_is_whole_or_absent() -> None:
    cell = np.zeros((1, 40, 40), np.uint32)
    cell[0, 15:25, 25:37] = 7  # columns 25..36 of the field; the seam lies at 32
    nothing = np.zeros((1, 40, 40), np.uint32)
    seen = stitch({(0, 0): cell, (0, 24): nothing}, (40, 64))
    assert (seen[0] == 1).sum() == 120
    late = np.zeros((1, 40, 40), np.uint32)
    late[0, 15:25, 1:13] = 7  # the same cell, seen by the right tile alone: its centroid is left
    assert not stitch({(0, 0): nothing, (0, 24): late}, (40, 64)).any()


def test_frames_are_numbered_alone_and_may_be_empty() -> None:
    tiles = {(0, x): np.zeros((3, 20, 30), np.uint32) for x in (0, 20)}
    tiles[0, 0][1, 2:5, 2:5] = 9
    tiles[0, 20][1, 2:5, 20:25] = 9
    tiles[0, 20][2, 5, 5] = 4
    out = stitch(tiles, (20, 50))
    assert [sorted(np.unique(frame)) for frame in out] == [[0], [0, 1, 2], [0, 1]]
    assert stitch({(0, 0): np.zeros((0, 4, 4), int)}, (4, 4)).shape == (0, 4, 4)


def test_tiles_that_leave_a_gap_are_refused() -> None:
    tile = np.zeros((1, 10, 10), np.uint32)
    with pytest.raises(InputError, match="do not cover"):
        stitch({(0, 0): tile, (0, 12): tile}, (10, 22))
    with pytest.raises(InputError, match="do not cover"):
        stitch({(0, 0): tile}, (10, 22))
    with pytest.raises(InputError, match="not of one block"):
        stitch({(0, 0): tile, (0, 8): np.zeros((2, 10, 10))}, (10, 18))
