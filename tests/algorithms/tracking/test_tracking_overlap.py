"""`Overlap` and the overlaps it reads, against skimage's and pixel counts by hand."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from skimage.measure import regionprops

from cyto_kedro import schemas
from cyto_kedro.algorithms.tabulation.features import Features
from cyto_kedro.algorithms.tracking.lap import LAP
from cyto_kedro.algorithms.tracking.masks import best_pairs, overlaps_of
from cyto_kedro.algorithms.tracking.overlap import Overlap
from cyto_kedro.core.stack import Blocks
from cyto_kedro.errors import InputError


def film(*frames):
    """(T, 20, 20) with rectangles (label, y0, y1, x0, x1)."""
    label = np.zeros((len(frames), 20, 20), np.uint32)
    for t, boxes in enumerate(frames):
        for name, y0, y1, x0, x1 in boxes:
            label[t, y0:y1, x0:x1] = name
    return label


def run(linker, label, **more):
    result = linker({"label": label, **more})
    schemas.check(schemas.TrackPoints, result["dataframe"])
    return result["dataframe"], schemas.check(schemas.Tracks, result["tracks"])


def chain(points):
    """track_id -> [(frame, label)], interpolated rows with label None."""
    label = [None if pd.isna(each) else int(each) for each in points["label"]]
    rows = list(zip(points["track_id"], points["frame"], label, strict=True))
    return {int(k): [(t, n) for track, t, n in rows if track == k] for k, _, _ in rows}


def test_overlaps_are_those_counted_pixel_by_pixel():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 5, (4, 20, 20)).astype(np.uint32)
    keys = np.array([(t, n) for t in range(4) for n in range(1, 5)])
    found = overlaps_of(label, keys, "here", lag=2)
    parts = [label[:1], label[1:3], label[3:]]
    film = Blocks([partial(np.copy, part) for part in parts], [0, 1, 3], label.shape)
    blocks = overlaps_of(film, keys, "here", lag=2)
    assert np.array_equal(found.iou, blocks.iou)
    assert np.array_equal(found.source, blocks.source)
    for i, j, iou, share in zip(found.source, found.target, found.iou, found.share, strict=True):
        (t, a), (u, b) = keys[i], keys[j]
        one, two = label[t] == a, label[u] == b
        both = (one & two).sum()
        assert iou == pytest.approx(both / (one | two).sum())
        assert share == pytest.approx(both / min(one.sum(), two.sum()))
    assert set(keys[found.target, 0] - keys[found.source, 0]) == {1, 2}
    sizes = {(t, p.label): p.area for t in range(4) for p in regionprops(label[t])}
    assert len(sizes) == 16


def test_best_pairs_are_those_of_an_exhaustive_search():
    rng = np.random.default_rng(1)
    for _ in range(20):
        i, j = np.nonzero(rng.random((4, 4)) < 0.6)
        worth = rng.uniform(0.1, 1, len(i))
        best = max(
            sum(w for k, w in enumerate(worth) if mask >> k & 1)
            for mask in range(1 << len(i))
            if all(
                len({s[k] for k in range(len(i)) if mask >> k & 1}) == bin(mask).count("1")
                for s in (i, j)
            )
        )
        pairs = set(zip(*best_pairs(i, j, worth), strict=True))
        total = sum(w for a, b, w in zip(i, j, worth, strict=True) if (a, b) in pairs)
        assert total == pytest.approx(best)


def test_labels_alone_are_followed():
    # two cells that swap labels; one moves 2 px a frame
    label = film(
        *[[(1 + t % 2, 2, 8, 2, 8), (2 - t % 2, 12, 18, t * 2, 6 + t * 2)] for t in range(5)]
    )
    points, tracks = run(Overlap(), label)
    assert chain(points) == {
        1: [(0, 1), (1, 2), (2, 1), (3, 2), (4, 1)],
        2: [(0, 2), (1, 1), (2, 2), (3, 1), (4, 2)],
    }
    assert tracks["end_reason"].tolist() == ["film_end"] * 2
    # the same from the table of cells and blocks of labels
    table = Features()({"label": label, "fov": "A1", "population": "T"})["dataframe"]
    parts = [label[:2], label[2:]]
    blocks = Blocks([partial(np.copy, part) for part in parts], [0, 2], label.shape)
    again, _ = run(Overlap(), blocks, cells=table)
    assert chain(again) == chain(points)


@pytest.mark.parametrize(("gap", "n"), [(0, 2), (1, 2), (2, 1)])
def test_a_cell_that_blinks(gap, n):
    label = film([(1, 2, 8, 2, 8)], [], [], [(7, 3, 9, 2, 8)], [])
    points, tracks = run(Overlap(max_gap_frames=gap), label)
    assert len(tracks) == n
    if n == 1:
        assert chain(points) == {1: [(0, 1), (1, None), (2, None), (3, 7)]}


def test_least_iou_and_the_larger_wins():
    label = film([(1, 0, 10, 0, 10)], [(1, 0, 10, 9, 19), (2, 0, 10, 0, 9)])
    assert len(run(Overlap(), label)[1]) == 2
    points, _ = run(Overlap(min_iou=0.02), label)
    assert chain(points)[1] == [(0, 1), (1, 2)]
    assert len(run(Overlap(min_iou=0.95), label)[1]) == 3


def test_division_and_merging():
    one, two = (1, 4, 16, 4, 16), [(1, 4, 16, 4, 11), (2, 4, 16, 12, 16)]
    points, tracks = run(Overlap(splitting=True), film([one], [one], two, two))
    assert tracks["parent_track_id"].fillna(0).tolist() == [0, 1, 1]
    assert tracks["end_reason"].tolist() == ["division", "film_end", "film_end"]
    assert points["parent_track_id"].notna().sum() == 4
    assert len(run(Overlap(), film([one], [one], two, two))[1]) == 2

    points, tracks = run(Overlap(merging=True), film(two, two, [one], [one]))
    assert tracks["merged_into_track_id"].fillna(0).tolist() == [3, 3, 0]
    assert tracks["end_reason"].tolist() == ["merge", "merge", "film_end"]
    assert tracks["parent_track_id"].isna().all()


def test_a_daughter_half_of_which_lies_on_its_mother_is_one():
    label = film([(1, 2, 6, 2, 8)], [(1, 2, 6, 2, 6), (2, 2, 6, 6, 10)])  # 8 of its 16 pixels
    for share, born_of in ((0.5, [0, 1, 1]), (0.51, [0, 0])):
        tracks = run(Overlap(splitting=True, min_share=share), label)[1]
        assert tracks["parent_track_id"].fillna(0).tolist() == born_of


def test_ordinary_cases():
    empty, none = run(Overlap(), film([], []))
    points, _ = run(Overlap(), film([(3, 2, 8, 2, 8)]))
    assert len(empty) == len(none) == 0
    assert empty.dtypes.equals(points.dtypes)
    assert points["label"].tolist() == [3]
    assert points[["x_um", "time_min"]].isna().all(axis=None)


def test_masks_must_be_those_of_the_cells():
    label = film([(1, 2, 8, 2, 8)], [(2, 2, 8, 2, 8)])
    table = Features()({"label": label, "fov": "A1", "population": "T"})["dataframe"]
    with pytest.raises(InputError, match=r"'A1'.*masks are compared.*'label'"):
        Overlap()({"dataframe": table})
    with pytest.raises(InputError, match=r"label 2 of frame 1 has a row .* no mask"):
        Overlap()({"dataframe": table, "label": film([(1, 2, 8, 2, 8)], [(1, 2, 8, 2, 8)])})
    with pytest.raises(InputError, match="label 2 of frame 1"):
        Overlap()({"dataframe": table, "label": label[:1], "n_frames": 2})


def test_overlap_tells_cells_apart_where_position_does_not():
    masks = film([(1, 5, 15, 5, 9)], [(1, 8, 18, 5, 9), (2, 5, 15, 9, 12)])
    table = Features()({"label": masks, "fov": "A", "population": "T"})["dataframe"]
    table.loc[table["label"] == 2, "x_px"] = 8.0  # nearer by position, and beside the mask
    near, _ = run(LAP(max_distance_px=10), masks, dataframe=table)
    on_top, _ = run(LAP(max_distance_px=10, overlap_weight=4), masks, dataframe=table)
    assert chain(near)[1] == [(0, 1), (1, 2)]
    assert chain(on_top)[1] == [(0, 1), (1, 1)]
