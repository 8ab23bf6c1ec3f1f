"""Edges at exactly a limit, and that neither chance nor the names of labels decide a link."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.tabulation.features import Features
from cyto_kedro.algorithms.tracking import (
    LAP,
    BTrack,
    CallDivisions,
    InterpolateGaps,
    JoinFragments,
    Overlap,
    RemoveStill,
    TrackPy,
)
from cyto_kedro.algorithms.tracking.trackastra import Trackastra
from cyto_kedro.errors import MissingExtraError


def cells_of(rows):
    """`Cells` of (frame, label, y, x) rows, area 20."""
    table = pd.DataFrame(rows, columns=["frame", "label", "y_px", "x_px"]).assign(area_px=20.0)
    for name in schemas.dtypes(schemas.Cells):
        if name not in table:
            table[name] = {"fov": "f1", "population": "T", "on_border": False}.get(name, 1)
    return schemas.conform(schemas.Cells, table)


def partition(points, names):
    """The tracks as sets of (frame, true name), whatever their numbers."""
    real = points[points["label"].notna()]
    keys = [names[key] for key in zip(real["frame"], real["label"].astype(int), strict=True)]
    rows = pd.Series(keys, real.index).groupby(real["track_id"])
    return {frozenset(each) for _, each in rows}


def relabelled(cells, rng):
    """Rows in another order, labels numbered otherwise, and who is who."""
    table = cells.sample(frac=1, random_state=int(rng.integers(1 << 30))).copy()
    new = table.groupby("frame")["label"].transform(lambda s: rng.permutation(len(s)) + 1)
    names = dict(
        zip(
            zip(table["frame"], new, strict=True),
            zip(table["frame"], table["y_px"], table["x_px"], strict=True),
            strict=True,
        )
    )
    return table.assign(label=new), names


# every next position is as far from two cells: a row of cells that moves by half their distance
EQUIDISTANT = [(t, n + 1, 50.0, 10.0 * n + 5.0 * t) for t in range(3) for n in range(6)]
GRID = [
    (t, 3 * i + j + 1, 8.0 * i + 4 * (t % 2), 8.0 * j + 4 * (t % 2))
    for t in range(3)
    for i in range(3)
    for j in range(3)
]


@pytest.mark.parametrize("rows", [EQUIDISTANT, GRID], ids=["row", "grid"])
@pytest.mark.parametrize(
    "linker",
    [
        TrackPy(search_range_px=6, memory=1),
        TrackPy(search_range_px=6, adaptive_stop_px=1),
        LAP(max_distance_px=6),
        LAP(max_distance_px=6, splitting=True, merging=True, gap_closing_max_frames=3),
        BTrack(max_search_radius_px=8),
    ],
    ids=["TrackPy", "TrackPy adaptive", "LAP", "LAP all", "BTrack"],
)
def test_equidistant_cells_are_linked_the_same_in_any_order_of_labels_and_rows(linker, rows):
    rng = np.random.default_rng(7)
    found = set()
    for _ in range(5):
        table, names = relabelled(cells_of(rows), rng)
        try:
            points = linker(cells=table, shape=(100, 200))["track_points"]
        except MissingExtraError as error:
            pytest.skip(str(error))
        found.add(frozenset(partition(points, names)))
    assert len(found) == 1


def test_masks_of_equal_overlap_are_linked_the_same_whatever_their_labels():
    """One mask lies half on either of two."""
    rng, found = np.random.default_rng(1), set()
    film = np.zeros((4, 30, 40), np.uint32)
    for t in range(4):
        for n in range(4):
            film[t, 5:15, 8 * n + 4 * (t % 2) : 8 * n + 4 * (t % 2) + 8] = n + 1
    for _ in range(5):
        label = np.zeros_like(film)
        for t in range(4):
            label[t] = np.append(0, rng.permutation(4) + 1)[film[t]]
        cells = Features()({"label": label, "fov": "f1", "population": "T"})["dataframe"]
        names = {
            (r.frame, r.label): (r.frame, r.y_px, r.x_px) for r in cells.itertuples(index=False)
        }
        points = Overlap(splitting=True)(cells=cells, label=label)["track_points"]
        found.add(frozenset(partition(points, names)))
    assert len(found) == 1


@pytest.mark.skipif("TRACKASTRA_MODEL" not in os.environ, reason="names no Trackastra model")
def test_trackastra_links_the_same_whatever_the_labels():
    """Runs where the package and a model's folder are: TRACKASTRA_MODEL names it."""
    pytest.importorskip("trackastra", reason="needs the extra trackastra")
    rng, found = np.random.default_rng(2), set()
    film = np.zeros((4, 60, 60), np.uint32)
    for t in range(4):
        for n in range(3):
            film[t, 8 + 16 * n : 16 + 16 * n, 10 + 4 * t : 18 + 4 * t] = n + 1
    for _ in range(3):
        label = np.zeros_like(film)
        for t in range(4):
            label[t] = np.append(0, rng.permutation(3) + 1)[film[t]]
        data = {"label": label, "fov": "f1", "population": "T"}
        cells = Features()(data)["cells"].sample(frac=1, random_state=int(rng.integers(9)))
        names = {
            (r.frame, r.label): (r.frame, r.y_px, r.x_px) for r in cells.itertuples(index=False)
        }
        linker = Trackastra(model=os.environ["TRACKASTRA_MODEL"], device="cpu")
        points = linker(data, cells=cells, image=100.0 * (film > 0))["track_points"]
        found.add(frozenset(partition(points, names)))
    assert len(found) == 1


@pytest.mark.parametrize(
    "step",
    [JoinFragments(max_distance_px=6), CallDivisions(max_distance_px=7, max_offset=2.0)],
    ids=lambda step: type(step).__name__,
)
def test_steps_do_not_depend_on_labels(step):
    """Two ends as far from two beginnings, and daughters as far from two mothers."""
    rows = [(t, 1, 20.0, 20.0) for t in range(3)] + [(t, 2, 20.0, 30.0) for t in range(3)]
    rows += [(t, 3, 25.0, 25.0) for t in range(4, 7)] + [(t, 4, 15.0, 25.0) for t in range(4, 7)]
    rows += [(t, 5, 60.0, 60.0) for t in range(8)] + [(t, 6, 60.0, 68.0) for t in range(8)]
    rows += [(t, 7, 60.0, 64.0) for t in range(4, 8)]
    rng, found = np.random.default_rng(3), set()
    for _ in range(5):
        table, names = relabelled(cells_of(rows), rng)
        linked = LAP(max_distance_px=1, gap_closing_max_frames=0)(cells=table)
        points = step(linked, cells=table)["track_points"]
        found.add(frozenset(partition(points, names)))
    assert len(found) == 1


@pytest.mark.parametrize("length", [3.0, 0.3, 4.7, 1e3 / 7])
@pytest.mark.parametrize(
    "linker",
    [
        lambda d: LAP(max_distance_px=d, gap_closing_max_frames=0),
        lambda d: TrackPy(search_range_px=d),
        lambda d: LAP(max_distance_px=0.01, gap_closing_max_distance_px=d),
    ],
    ids=["LAP", "TrackPy", "LAP gap"],
)
def test_a_step_of_exactly_the_largest_distance_is_linked(linker, length):
    """`largest step`: one of that length is made, one longer is not (along an axis and across)."""
    gap = linker(1.0).model_fields_set >= {"gap_closing_max_distance"}
    last = 2 if gap else 1
    for y, x in ((0.0, 1.0), (0.6, 0.8)):
        for factor, n in ((1.0, 1), (1.0001, 2)):
            d = length * factor
            table = cells_of([(0, 1, 7.1, 9.3), (last, 1, 7.1 + y * d, 9.3 + x * d)])
            assert len(linker(length)(cells=table, n_frames=3)["tracks"]) == n, (y, x, factor)


@pytest.mark.parametrize(
    ("x", "step", "border_px", "reason"),
    [
        # an image 100 wide: centres lie in 0 to 99, its area from -0.5 to 99.5
        (95.0, 4.5, 0.0, "lost"),  # the next centre would lie at 99.5: still on the edge
        (95.0, 4.6, 0.0, "border"),
        (4.0, -4.5, 0.0, "lost"),
        (4.0, -4.6, 0.0, "border"),
        (97.0, 0.0, 2.0, "border"),  # exactly at the margin
        (96.9, 0.0, 2.0, "lost"),
        (2.0, 0.0, 2.0, "border"),
        (2.1, 0.0, 2.0, "lost"),
    ],
)
@pytest.mark.parametrize("down", [False, True])
def test_a_track_leaves_at_the_edge_and_not_before(x, step, border_px, reason, down):
    rows = [(t, 1, 50.0, x - step * (3 - t)) for t in range(4)]
    rows = [(t, n, b, a) for t, n, a, b in rows] if down else rows
    linker = LAP(max_distance_px=6, border_px=border_px)
    tracks = linker(cells=cells_of(rows), n_frames=9, shape=(100, 100))["tracks"]
    assert tracks["end_reason"].tolist() == [reason]


@pytest.mark.parametrize(("missing", "joined"), [(4, True), (5, False)])
def test_fragments_are_joined_over_so_many_frames_not_seen(missing, joined):
    rows = [(t, 1, 20.0, 20.0) for t in range(3)]
    rows += [(t, 1, 20.0, 20.0) for t in range(3 + missing, 12)]
    linked = LAP(max_distance_px=2, gap_closing_max_frames=0)(cells=cells_of(rows))
    step = JoinFragments(max_distance_px=2, max_gap_frames=4)
    assert (step(linked)["track_points"]["track_id"].max() == 1) == joined


@pytest.mark.parametrize(("off", "joined"), [(3.0, True), (3.001, False)])
def test_fragments_are_joined_up_to_the_distance(off, joined):
    """The cell walks at 2 px a frame and is looked for at 2 + 2 * 3 = 8 px after two missed."""
    rows = [(t, 1, 20.0, 20 + 2.0 * t) for t in range(3)]
    rows += [(t, 1, 20.0, 24 + 2.0 * 3 + off) for t in range(5, 8)]
    linked = LAP(max_distance_px=2, gap_closing_max_frames=0)(cells=cells_of(rows))
    points = JoinFragments(max_distance_px=3)(linked)["track_points"]
    assert (points["track_id"].max() == 1) == joined


@pytest.mark.parametrize(("steps", "joined"), [(1, True), (2, False), (3, False)])
def test_the_velocity_of_a_lost_cell_is_that_of_its_last_steps(steps, joined):
    """It stood still and made one step of 4 px: only the last step tells where it went."""
    x = [20.0, 20.0, 20.0, 24.0]
    rows = [(t, 1, 20.0, each) for t, each in enumerate(x)]
    rows += [(t, 1, 20.0, 24.0 + 4 * 2) for t in range(5, 8)]
    linked = LAP(max_distance_px=4, gap_closing_max_frames=0)(cells=cells_of(rows))
    points = JoinFragments(max_distance_px=1, velocity_steps=steps)(linked)["track_points"]
    assert (points["track_id"].max() == 1) == joined


@pytest.mark.parametrize(("n", "kept"), [(9, True), (10, False)])
def test_debris_is_dropped_from_so_many_frames_on(n, kept):
    linked = LAP(max_distance_px=2)(cells=cells_of([(t, 1, 5.0, 5.0) for t in range(n)]))
    points = RemoveStill(max_spread_px=1, min_points=10)(linked)["track_points"]
    assert (len(points) == n) == kept


@pytest.mark.parametrize(("spread", "kept"), [(0.15, False), (0.1499, True)])
def test_debris_is_what_spreads_at_most_so_far(spread, kept):
    """Positions 0.3 px apart in turn: 0.15 px about their mean."""
    rows = [(t, 1, 5 + 0.3 * (t % 2), 5.0) for t in range(20)]
    linked = LAP(max_distance_px=2)(cells=cells_of(rows))
    assert bool(len(RemoveStill(max_spread_px=spread)(linked)["track_points"])) == kept


@pytest.mark.parametrize(("limit", "kept"), [(20.0, False), (19.9, True)])
def test_debris_is_at_most_so_large(limit, kept):
    cells = cells_of([(t, 1, 5.0, 5.0) for t in range(12)])
    linked = LAP(max_distance_px=2)(cells=cells)
    step = RemoveStill(max_spread_px=1, max_area_px=limit)
    assert bool(len(step(linked, cells=cells)["track_points"])) == kept
    by_size = RemoveStill(max_spread_px=1, max_area_um2=limit / 4)
    points = by_size(linked, cells=cells, pixel_size_um=0.5)["track_points"]
    assert bool(len(points)) == kept


def test_gaps_of_exactly_the_longest_are_filled():
    rows = [(0, 1, 5.0, 5.0), (3, 1, 5.0, 5.0), (7, 1, 5.0, 5.0)]
    linker = LAP(max_distance_px=1, gap_closing_max_frames=9, interpolate_gaps=False)
    points = InterpolateGaps(max_gap_frames=2)(linker(cells=cells_of(rows)))["track_points"]
    assert points.loc[points["interpolated"], "frame"].tolist() == [1, 2]
