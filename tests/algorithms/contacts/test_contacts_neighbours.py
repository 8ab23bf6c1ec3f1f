"""Neighbours against all pairs, discs against counted pixels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.neighbours import Neighbours, inside_share
from cyto_kedro.errors import InputError

ROLES = {"T": "effector", "C": "target"}
KEY = ["frame", "population", "track_id", "neighbour_population"]


def run(contacts, points, pixel_size_um=0.5, shape=(60, 80), **fields):
    data = {
        "contacts": contacts,
        "dataframe": points,
        "populations": ROLES,
        "shape": shape,
        "pixel_size_um": pixel_size_um,
    }
    table = Neighbours(**fields)(data)["neighbours"]
    return schemas.check(schemas.Neighbours, table)


@pytest.mark.parametrize("radius", [3.0, 12.5, 40.0, 200.0])
def test_share_of_a_disc_inside_the_image_by_counting(radius):
    shape = (30, 50)
    rng = np.random.default_rng(1)
    xy = np.concatenate([rng.random((20, 2)) * [49, 29], [[0, 0], [49, 29], [-0.5, 12], [24, 14]]])
    step = radius / 400
    side = np.arange(-400, 400) * step + step / 2
    dx, dy = (each.ravel() for each in np.meshgrid(side, side))
    disc = dx * dx + dy * dy <= radius * radius
    dx, dy = dx[disc], dy[disc]
    counted = [
        np.mean(
            (x + dx > -0.5)
            & (x + dx < shape[1] - 0.5)
            & (y + dy > -0.5)
            & (y + dy < shape[0] - 0.5)
        )
        for x, y in xy
    ]
    np.testing.assert_allclose(inside_share(xy, radius, shape), counted, atol=3e-3)


def test_a_disc_that_holds_the_image_and_one_in_its_corner():
    assert inside_share(np.array([[9.5, 4.5]]), 100, (10, 20)) * np.pi * 100**2 == pytest.approx(
        200
    )
    assert inside_share(np.array([[-0.5, -0.5]]), 4, (10, 20)) == pytest.approx(0.25)
    assert np.isnan(inside_share(np.array([[3.0, 3.0]]), np.nan, (10, 20))).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_against_all_pairs(make_points, make_contacts, seed):
    rng = np.random.default_rng(seed)
    tracks = {
        (p, t + 1): {f: tuple(rng.random(2) * [79, 59]) for f in range(2)}
        for p, n in (("T", 14), ("C", 9))
        for t in range(n)
    }
    points = make_points(tracks, interpolated={("T", 3, 1), ("C", 2, 0)})
    seen = points[~points["interpolated"]]
    rows = list(seen[["frame", "population", "track_id"]].itertuples(index=False, name=None))
    order = {"T": 0, "C": 1}
    contacts = [
        (a[0], *a[1:], *b[1:])
        for a in rows
        for b in rows
        if a[0] == b[0] and (order[a[1]], a[2]) < (order[b[1]], b[2]) and rng.random() < 0.2
    ]
    table = run(make_contacts(contacts), points, radius_um=8.0).set_index(KEY)
    assert len(table) == len(points) * 2
    for cell in points.itertuples():
        others = points[points["frame"] == cell.frame]
        others = others[
            (others["population"] != cell.population) | (others["track_id"] != cell.track_id)
        ]
        for name in ROLES:
            them = others[others["population"] == name]
            far = np.hypot(them["x_px"] - cell.x_px, them["y_px"] - cell.y_px)
            row = table.loc[(cell.frame, cell.population, cell.track_id, name)]
            assert row["nearest_distance_px"] == pytest.approx(far.min())
            assert row["nearest_distance_um"] == pytest.approx(far.min() / 2)
            assert row["nearest_track_id"] == them["track_id"].iloc[far.argmin()]
            assert row["n_within_radius"] == (far <= 16).sum()
            area = np.pi * 64 * row["inside_share"]
            assert row["density_per_1000um2"] == pytest.approx(1000 * (far <= 16).sum() / area)
            assert row["neighbour_role"] == ROLES[name]
            if cell.interpolated:
                assert pd.isna(row["n_contacts"]) and pd.isna(row["partner_track_ids"])
                continue
            me = (cell.population, cell.track_id)
            partners = [c[3:] if c[1:3] == me else c[1:3] for c in contacts if c[0] == cell.frame
                        and me in (c[1:3], c[3:])]  # fmt: skip
            mine = sorted(track for population, track in partners if population == name)
            assert row["n_contacts"] == len(mine)
            assert row["partner_track_ids"] == ";".join(map(str, mine))


def test_ordinary_cases(make_points, make_contacts):
    none = make_contacts([])
    assert len(run(none, make_points({}))) == 0
    alone = run(none, make_points({("T", 4): {0: (5.0, 5.0)}}))
    assert alone["nearest_track_id"].isna().all() and alone["nearest_distance_px"].isna().all()
    assert alone["n_within_radius"].tolist() == [0, 0] and alone["n_contacts"].tolist() == [0, 0]
    same = run(none, make_points({("T", n): {0: (5.0, 5.0)} for n in (1, 2)}))
    assert same.loc[same["neighbour_population"] == "T", "nearest_track_id"].tolist() == [2, 1]
    points = make_points(
        {("T", 1): {0: (5.0, 5.0)}, ("C", 1): {0: (8.0, 9.0)}},
        pixel_size_um=None,
        interval_min=None,
    )
    blind = run(none, points, pixel_size_um=None)
    null = ["nearest_distance_um", "radius_um", "n_within_radius", "inside_share", "time_min"]
    assert blind[[*null, "density_per_1000um2"]].isna().all(axis=None)
    assert blind["nearest_distance_px"].max() == 5
    with pytest.raises(InputError, match="unknown population 'X'"):
        run(none, points.assign(population="X"))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_turned_or_renumbered_is_the_same(seed):
    rng = np.random.default_rng(seed)
    n = 12
    points = pd.DataFrame(
        {
            "fov": "A",
            "population": ["T"] * 7 + ["C"] * 5,
            "track_id": np.arange(n) + 1,
            "frame": 0,
            "time_min": 0.0,
            "label": 1,
            "interpolated": False,
            "x_px": rng.random(n) * 79,
            "y_px": rng.random(n) * 59,
        }
    ).assign(x_um=np.nan, y_um=np.nan)
    points = schemas.conform(schemas.TrackPoints, points)
    none = schemas.empty(schemas.Contacts)
    numbers = ["nearest_distance_px", "n_within_radius", "inside_share", "density_per_1000um2"]

    def values(table):
        return table.set_index(KEY)[numbers].sort_index().astype(float)

    truth = values(run(none, points, radius_um=10.0))
    x, y = points["x_px"], points["y_px"]
    turned = points.assign(x_px=59 - y, y_px=x)
    again = values(run(none, turned, shape=(80, 60), radius_um=10.0))
    pd.testing.assert_frame_equal(again, truth)
    new = np.append(0, rng.permutation(n) + 1)
    renumbered = run(none, points.assign(track_id=new[points["track_id"]]), radius_um=10.0)
    back = np.argsort(new)
    again = values(renumbered.assign(track_id=back[renumbered["track_id"]]))
    pd.testing.assert_frame_equal(again, truth)


def test_a_neighbour_just_at_the_radius_is_within_it(make_points, make_contacts):
    points = make_points({("T", 1): {0: (10.0, 10.0)}, ("T", 2): {0: (26.0, 10.0)}})  # 16 px apart
    own = lambda radius_um: run(make_contacts([]), points, radius_um=radius_um).query(  # noqa: E731
        "neighbour_population == 'T'"
    )
    assert own(8.0)["n_within_radius"].tolist() == [1, 1]
    assert own(7.99)["n_within_radius"].tolist() == [0, 0]
