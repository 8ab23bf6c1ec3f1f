"""`OutlineDistance` against discs of known radius and place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyto_kedro import schemas
from cyto_kedro.algorithms.tabulation.proximity import Reader
from cyto_kedro.algorithms.tabulation.subpixel import OutlineDistance, edge_offsets
from cyto_kedro.algorithms.tabulation.touches import Touches
from cyto_kedro.errors import ConfigError

SIDE = 60


def disc(y, x, radius, shape=(SIDE, SIDE)):
    row, column = np.indices(shape)
    return ((row - y) ** 2 + (column - x) ** 2 <= radius**2).astype(np.uint32)


def touch(algorithm, labels, **more):
    data = {"label": labels, "fov": "f1", "pixel_size_um": None} | more
    return schemas.check(schemas.Touches, algorithm(data)["dataframe"])


def discs(seed, n=150):
    """Films of two discs, one of them in the middle, and the gap between them in each frame."""
    rng = np.random.default_rng(seed)
    films, gaps = [], []
    for _ in range(n):
        r, q, gap, angle = 6.0, rng.uniform(8, 12), rng.uniform(1, 3), rng.uniform(0, 2 * np.pi)
        y, x = 29 + rng.random(2)
        far = r + q + gap
        films.append([disc(y, x, q), disc(y + far * np.sin(angle), x + far * np.cos(angle), r)])
        gaps.append(gap)
    one, other = np.moveaxis(np.array(films), 1, 0)
    return {"C": one, "T": other}, np.array(gaps)


def test_gap_of_discs_is_unbiased_and_that_in_pixels_is_not():
    labels, gap = discs(0)
    found = touch(OutlineDistance(max_distance_px=6), labels)
    assert len(found) == len(gap)
    error = found["distance_px"] - gap
    assert abs(error.mean()) < 0.06
    assert error.std() < 0.2
    in_pixels = touch(Touches(max_distance_px=6), labels)["distance_px"] - gap
    assert in_pixels.mean() < -0.2
    assert in_pixels.std() > error.std()


def test_the_edge_of_a_disc_lies_on_its_circle():
    y, x, radius = 30.3, 29.8, 11.0
    lines = Reader((SIDE, SIDE), 1).outlines([disc(y, x, radius)])
    pixel = np.arange(len(lines.flat))
    offset = edge_offsets(lines, pixel, np.zeros(len(pixel), int))
    edge = offset + np.stack([lines.y, lines.x])
    error = np.hypot(edge[0] - y, edge[1] - x) - radius
    assert abs(error.mean()) < 0.08 and np.abs(error).max() < 0.7


def test_reach_length_and_shares():
    labels = {"C": disc(20, 20, 9)[None], "T": disc(20, 37, 6)[None]}  # 2 px apart
    assert len(touch(OutlineDistance(max_distance_px=1.5), labels)) == 0
    row = touch(OutlineDistance(max_distance_um=1.3), labels, pixel_size_um=0.5).iloc[0]
    assert row["distance_um"] == pytest.approx(1.0, abs=0.15)
    assert row["distance_px"] == row["distance_um"] * 2
    assert 0 < row["perimeter_share_a"] < row["perimeter_share_b"] < 0.5
    assert row["definition"] == "outline distance <= 1.3 um"
    over = touch(OutlineDistance(max_distance_px=0.5), {"C": labels["C"], "T": labels["C"]}).iloc[0]
    assert over["distance_px"] == 0 and over["overlap_px"] == labels["C"].sum()
    assert over["perimeter_share_a"] == over["perimeter_share_b"] == 1


def test_ordinary_cases():
    none, alone = np.zeros((1, 9, 9), np.uint32), np.zeros((1, 9, 9), np.uint32)
    alone[0, 4, 4] = 7
    algorithm = OutlineDistance(max_distance_px=2)
    assert len(touch(algorithm, {"T": none})) == len(touch(algorithm, {"T": alone, "C": none})) == 0
    beside = none.copy()
    beside[0, 4, 5] = 1
    assert len(touch(algorithm, {"T": alone, "C": beside})) == 1
    with pytest.raises(ConfigError, match="needs the pixel size"):
        touch(OutlineDistance(max_distance_um=2), {"T": none})


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_turned_moved_or_swapped_is_the_same(seed):
    labels, _ = discs(seed, 3)
    algorithm = OutlineDistance(max_distance_px=6)
    names = ["distance_px", "contact_length_px", "perimeter_share_a", "perimeter_share_b"]

    def values(labels, columns=names):
        return touch(algorithm, labels)[columns].to_numpy()

    truth = values(labels)
    for change in (
        lambda f: np.rot90(f, axes=(1, 2)),
        lambda f: np.pad(f, ((0, 0), (3, 1), (0, 7))),
    ):
        again = values({name: change(each) for name, each in labels.items()})
        np.testing.assert_allclose(again, truth, atol=1e-9)
    swapped = values(dict(reversed(labels.items())), [*names[:2], *names[:1:-1]])
    np.testing.assert_allclose(swapped, truth, atol=1e-9)
