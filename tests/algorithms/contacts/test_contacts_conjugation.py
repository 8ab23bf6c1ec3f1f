"""Conjugation of hand-made films, and against counting cell by cell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.conjugation import Conjugation

ROLES = {"T": "effector", "N": "effector", "C": "target", "X": "other"}


def run(contacts, points, n_frames=2, shape=(40, 80), pixel_size_um=0.5, tile_um=10.0, **more):
    data = {
        "contacts": contacts,
        "dataframe": points,
        "populations": ROLES,
        "fov": "A",
        "n_frames": n_frames,
        "shape": shape,
        "pixel_size_um": pixel_size_um,
        **more,
    }
    found = Conjugation(tile_um=tile_um)(data)
    schemas.check(schemas.ConjugationTiles, found["tiles"])
    return schemas.check(schemas.Conjugation, found["conjugation"]), found["tiles"]


def film(make_points, make_contacts):
    points = make_points(
        {
            ("T", 1): {0: (5.0, 5.0), 1: (5.0, 5.0)},
            ("N", 1): {0: (30.0, 5.0), 1: (30.0, 5.0)},
            ("N", 2): {0: (70.0, 30.0)},
            ("C", 1): {0: (8.0, 5.0), 1: (8.0, 5.0)},
            ("C", 2): {0: (25.0, 5.0)},
            ("X", 1): {0: (8.0, 9.0)},
        },
        interpolated={("N", 1, 1)},
    )
    contacts = make_contacts(
        [
            (0, "T", 1, "C", 1),
            (0, "N", 1, "C", 1),
            (0, "N", 1, "N", 2),
            (0, "C", 1, "X", 1),
            (0, "C", 2, "T", 1),
            (1, "T", 1, "C", 1),
        ]
    )
    return points, contacts


def test_by_hand(make_points, make_contacts):
    points, contacts = film(make_points, make_contacts)
    table, tiles = run(contacts, points)
    first, second = table.to_dict("records")
    assert (first["n_effectors"], first["n_targets"], first["n_conjugates"]) == (3, 2, 3)
    assert first["effector_target_ratio"] == 1.5
    assert (first["n_effectors_in_contact"], first["n_targets_in_contact"]) == (2, 2)
    assert first["effector_contact_share"] == pytest.approx(2 / 3)
    assert not first["dead_left_out"]
    # N1 is interpolated in frame 1: not detected, so it does not count
    assert (second["n_effectors"], second["n_targets"], second["time_min"]) == (1, 1, 2.0)
    # tiles of 10 um = 20 px: 2 x 4
    assert len(tiles) == 16 and set(tiles["tile_width_um"]) == {10.0}
    at = tiles[tiles["frame"] == 0].set_index(["tile_row", "tile_column"])
    assert at.loc[(0, 0), ["n_effectors", "n_targets", "n_conjugates"]].tolist() == [1, 1, 2]
    assert at.loc[(0, 1), ["n_effectors", "n_targets", "n_conjugates"]].tolist() == [1, 1, 1]
    assert at.loc[(1, 3), ["n_effectors", "n_targets"]].tolist() == [1, 0]
    assert np.isnan(at.loc[(1, 3), "effector_target_ratio"])
    assert at.loc[(0, 1), "tile_x0_px"] == 19.5


def test_the_dead_and_excluded_frames_are_left_out(make_points, make_contacts):
    points, contacts = film(make_points, make_contacts)
    viability = pd.DataFrame(
        {"fov": "A", "population": ["C", "T", "C"], "frame": 0, "label": [101, 101, 102]}
    ).assign(marker_signal=1.0, alive_probability=0.5, dead=[True, False, False])
    table, _ = run(contacts, points, viability=viability)
    first = table.iloc[0]
    assert first["dead_left_out"]
    assert (first["n_targets"], first["n_conjugates"], first["n_effectors_in_contact"]) == (1, 1, 1)
    frames = pd.DataFrame(
        {"fov": "A", "frame": [0, 1], "time_s": [60.0, 180.0], "excluded": [True, False]}
    )
    table, tiles = run(contacts, points, frames=frames)
    assert table[["frame", "time_min", "n_effectors"]].to_numpy().tolist() == [[1, 3, 1]]
    assert set(tiles["frame"]) == {1}


def test_unknown_viability_is_neither_alive_nor_dead(make_points, make_contacts):
    points, contacts = film(make_points, make_contacts)
    seen = points[points["label"].notna()][["fov", "population", "frame", "label"]]
    alive = seen.assign(marker_signal=1.0, alive_probability=1.0, dead=False)
    whole = run(contacts, points, viability=alive)[0].iloc[0]
    assert (whole["n_effectors"], whole["n_targets"], whole["n_unknown"]) == (3, 2, 0)
    # nothing is told of the first target in frame 0, and of population N at all
    told = alive[~((alive["population"] == "C") & (alive["label"] == 101) & (alive["frame"] == 0))]
    table, tiles = run(contacts, points, viability=told[told["population"] != "N"])
    first = table.iloc[0]
    assert (first["n_targets"], first["n_unknown"], first["n_effectors"]) == (1, 1, 3)
    assert (first["n_conjugates"], first["n_targets_in_contact"]) == (1, 1)
    assert table["n_unknown"].tolist() == [1, 0]
    assert tiles.loc[tiles["frame"] == 0, "n_targets"].sum() == 1


def test_tiles_add_up(make_points, make_contacts):
    rng = np.random.default_rng(0)
    tracks = {
        (p, t + 1): {f: tuple(rng.random(2) * [79.9, 39.9] - 0.4) for f in range(3)}
        for p, n in (("T", 30), ("C", 20))
        for t in range(n)
    }
    points = make_points(tracks)
    rows = [
        (f, "T", a, "C", b)
        for f in range(3)
        for a in range(1, 31)
        for b in range(1, 21)
        if rng.random() < 0.04
    ]
    table, tiles = run(make_contacts(rows), points, n_frames=3, tile_um=7.0)
    counts = [name for name in tiles if name.startswith("n_")]
    assert (
        tiles.groupby("frame")[counts].sum().to_numpy().tolist()
        == table[counts].to_numpy().tolist()
    )
    for f in range(3):
        now = [row for row in rows if row[0] == f]
        expected = [len({row[2] for row in now}), len({row[4] for row in now}), len(now)]
        names = ["n_effectors_in_contact", "n_targets_in_contact", "n_conjugates"]
        assert table.loc[f, names].tolist() == expected


def test_ordinary_cases(make_points, make_contacts):
    table, tiles = run(make_contacts([]), make_points({}))
    assert table["n_effectors"].tolist() == [0, 0] and table["effector_target_ratio"].isna().all()
    assert len(tiles) == 16
    points = make_points({("T", 1): {0: (5.0, 5.0)}}, pixel_size_um=None, interval_min=None)
    table, tiles = run(make_contacts([]), points, pixel_size_um=None)
    assert table["time_min"].isna().all() and len(tiles) == 0
    assert table["effector_contact_share"].fillna(-1).tolist() == [0, -1]


def test_a_cell_is_in_the_tile_of_its_pixel(make_points, make_contacts):
    # tiles of 20 px; pixel centres are whole numbers, so the second tile begins at 19.5
    at = {("C", n): {0: (x, 5.0)} for n, x in enumerate((19.4, 19.6, 39.4, 39.6), 1)}
    _, tiles = run(make_contacts([]), make_points(at), n_frames=1)
    top = tiles[tiles["tile_row"] == 0].sort_values("tile_column")
    assert top["tile_x0_px"].tolist() == [-0.5, 19.5, 39.5, 59.5]
    assert top["n_targets"].tolist() == [1, 2, 1, 0]
