"""Cells that touch: seen as one for a while, or one seen as two; against what happened."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.simulation.assay import SimulatedAssay
from cyto_kedro.algorithms.tabulation.features import Features
from cyto_kedro.algorithms.tracking.lap import LAP
from cyto_kedro.algorithms.tracking.repairs import RepairMerges
from cyto_kedro.algorithms.tracking.steps import InterpolateGaps, JoinFragments
from cyto_kedro.errors import InputError


def repaired(rows: list[tuple[int, int, int, float, float]], **args: object) -> pd.DataFrame:
    """Of rows (track, frame, label, x, area)."""
    columns = ["track_id", "frame", "label", "x_px", "area_px"]
    table = pd.DataFrame(rows, columns=columns)
    points = schemas.filled(schemas.TrackPoints, {**table.drop(columns="area_px"), "y_px": 5.0})
    cells = schemas.filled(schemas.Cells, table[["frame", "label", "area_px"]])
    return RepairMerges(**args)(track_points=points, cells=cells)["track_points"]


def labels(points: pd.DataFrame) -> list[list[tuple[int, int]]]:
    """The (frame, label) of each track's detections."""
    seen = points[points["label"].notna()]
    return [
        list(zip(one["frame"].tolist(), one["label"].tolist(), strict=True))
        for _, one in seen.groupby("track_id")
    ]


def merged(areas: tuple[float, float, float, float], blob: float, frames: int = 2) -> list:
    """Two cells at 10 and 20 that are one blob for `frames`; tracks 1 and 3 are what is left."""
    first, second, third, fourth = areas
    rows = [(1, 0, 1, 10.0, first), (2, 0, 2, 20.0, second)]
    rows += [(1, t, 1, 15.0, blob) for t in range(1, frames + 1)]
    last = frames + 1
    return [*rows, (1, last, 1, 10.0, third), (3, last, 2, 20.0, fourth)]


def test_a_cell_goes_on_after_it_was_seen_as_one_with_a_neighbour():
    points = repaired(merged((80, 70, 80, 70), 150))
    assert labels(points) == [[(0, 1), (1, 1), (2, 1), (3, 1)], [(0, 2), (3, 2)]]
    between = points[points["track_id"] == 2].set_index("frame").loc[[1, 2]]
    assert between["interpolated"].all() and between["label"].isna().all()  # unknown, not denied
    n_tracks = [
        len(labels(repaired(merged((80, 70, 80, 70), 150), max_frames=most))) for most in (1, 2)
    ]
    assert n_tracks == [3, 2]  # a blob of two frames is too long for one


def test_cells_that_changed_places_in_the_blob_are_told_by_their_size():
    rows = merged((40, 120, 120, 40), 160)
    # alike in place only if the small one passed the large one
    near = [(t, f, n, 15.0 + 0.3 * (x - 15.0), a) for t, f, n, x, a in rows]
    assert labels(repaired(near)) == [[(0, 1), (1, 1), (2, 1), (3, 2)], [(0, 2), (3, 1)]]


@pytest.mark.parametrize(
    ("areas", "blob"),
    [((80, 70, 80, 70), 90), ((80, 70, 140, 70), 150)],
    ids=["nobody grew: it died or left", "nobody shrank: another cell came"],
)
def test_a_cell_lost_beside_nobody_who_takes_it_up_is_not_carried(areas, blob):
    assert len(labels(repaired(merged(areas, blob)))) == 3


def pieces(frames: int, whole: float = 150.0) -> list[tuple[int, int, int, float, float]]:
    rows = [(1, 0, 1, 15.0, 150.0), (1, frames + 1, 1, 15.0, 150.0)]
    rows += [(1, t, 1, 11.0, whole - 70.0) for t in range(1, frames + 1)]
    return rows + [(2, t, 2, 19.0, 70.0) for t in range(1, frames + 1)]


def test_a_piece_of_a_cell_is_dropped_and_a_cell_beside_it_is_not():
    assert [len(each) for each in labels(repaired(pieces(2)))] == [4]
    assert [len(each) for each in labels(repaired(pieces(3)))] == [5, 3]  # too long for a piece
    assert [len(each) for each in labels(repaired(pieces(2), max_half_frames=0))] == [4, 2]
    assert [len(each) for each in labels(repaired(pieces(2, whole=220.0)))] == [4, 2]


def test_daughters_are_no_pieces():
    table = pd.DataFrame(pieces(2), columns=["track_id", "frame", "label", "x_px", "area_px"])
    table["track_id"] = [1, 4, 2, 2, 3, 3]
    given = {**table.drop(columns="area_px"), "y_px": 5.0}
    points = schemas.filled(schemas.TrackPoints, given)
    points["parent_track_id"] = pd.Series([pd.NA, pd.NA, 1, 1, 1, 1], dtype="Int64")
    cells = schemas.filled(schemas.Cells, table[["frame", "label", "area_px"]])
    kept = RepairMerges()(track_points=points, cells=cells)["track_points"]
    assert kept["parent_track_id"].notna().sum() == 4


def test_areas_are_needed():
    points = schemas.filled(
        schemas.TrackPoints, {"track_id": [1], "frame": 0, "label": 1, "x_px": 1.0, "y_px": 1.0}
    )
    with pytest.raises(InputError, match="area_px"):
        RepairMerges()(track_points=points)


def test_identities_survive_masks_of_touching_cells_that_run_together():
    """True masks of a crowded film, in which neighbours are painted as one for a while."""
    film = SimulatedAssay(
        seed=2, n_frames=40, size_px=160, n_targets=28, n_effectors=0,
        targets={"cling_rate_per_min": 1.0, "cling_min": 200.0, "pile": 0.1},
    )(fov="f1")  # fmt: skip
    label = film["label"]["CancerCell"].copy()
    touches = film["touches"]
    pairs = touches.groupby(["track_id_a", "track_id_b"])["frame"].agg(["min", "max"])
    rng, n_merged = np.random.default_rng(0), 0
    taken: set[int] = set()
    blobs: set[tuple[int, int]] = set()
    for (a, b), (first, last) in pairs.iterrows():
        start = first + int(rng.integers(2, 6))
        stop = start + int(rng.integers(2, 9))
        if stop < last and not {a, b} & taken:
            part = label[start:stop]
            part[part == b] = a
            taken |= {a, b}
            blobs |= {(frame, a) for frame in range(start, stop)}
            n_merged += 1
    assert n_merged >= 4
    data = {"fov": "f1", "population": "CancerCell", "pixel_size_um": 0.65}
    cells = Features()({**data, "label": label})["cells"]
    place = {"n_frames": 40, "shape": label.shape[1:], "cells": cells}
    points = LAP(max_distance_um=12.0, gap_closing_max_frames=2)({**data, **place})["track_points"]
    mended = RepairMerges()({**data, "cells": cells}, track_points=points)["track_points"]

    def switches(table: pd.DataFrame) -> int:
        seen = table[table["label"].notna()]  # the label is the true track, but in blobs
        alone = [key not in blobs for key in zip(seen["frame"], seen["label"], strict=True)]
        seen = seen[alone].sort_values(["label", "frame"])
        same = seen["label"].diff().eq(0).fillna(False)
        return int((same & seen["track_id"].diff().ne(0)).sum())

    assert switches(points) >= 10
    assert switches(mended) <= switches(points) // 5


def marks(points: pd.DataFrame) -> list[tuple[int, int]]:
    """Track and frame of what is marked."""
    made = points[points["repaired"]]
    return list(zip(made["track_id"].tolist(), made["frame"].tolist(), strict=True))


def test_what_a_repair_carries_is_marked_and_so_is_the_mask_that_it_is_in():
    rows = merged((80, 70, 80, 70), 150)
    rows += [(1, 4, 1, 10.0, 80), (3, 4, 2, 20.0, 70)]
    points = repaired(rows)
    assert marks(points) == [(1, 1), (1, 2), (2, 1), (2, 2)]  # the blob is in frames 1 and 2
    again = InterpolateGaps()(track_points=points)["track_points"]
    pd.testing.assert_frame_equal(again, points)


def test_a_cell_whose_piece_was_dropped_is_marked_where_its_mask_lacks_it():
    assert marks(repaired(pieces(2))) == [(1, 1), (1, 2)]
    assert marks(repaired(pieces(3))) == []


def test_gaps_of_a_linker_are_no_repairs_and_those_of_steps_are():
    rows = {"frame": [0, 2, 5], "label": 1, "x_px": [2.0, 4.0, 7.0], "y_px": 5.0}
    cells = schemas.filled(schemas.Cells, {**rows, "area_px": 50})
    cells["fov"], cells["population"] = "f1", "T"
    linked = LAP(max_distance_px=5, gap_closing_max_frames=2)(cells=cells)["track_points"]
    assert marks(linked) == [] and linked["interpolated"].tolist() == [False, True, False, False]
    joined = JoinFragments(max_distance_px=3)(track_points=linked)["track_points"]
    filled = InterpolateGaps()(track_points=joined)["track_points"]
    assert marks(filled) == [(1, 3), (1, 4)] and filled["interpolated"].sum() == 3
