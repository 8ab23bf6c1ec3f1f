"""`Touches` against all pixels with all pixels."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.spatial.distance import cdist

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import construct
from cyto_kedro.algorithms.tabulation import proximity as module
from cyto_kedro.algorithms.tabulation.touches import (
    DilatedOverlap,
    Touches,
    TouchingMasks,
)
from cyto_kedro.errors import ConfigError, InputError

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)


def touch(labels, distance, **more):
    data = {"label": labels, "fov": "f1", "frame_start": 0, "pixel_size_um": None}
    table = Touches(max_distance_px=distance)(data | more)["dataframe"]
    return schemas.check(schemas.Touches, table)


def brute(labels, distance):
    """Every pair by its definition: {(frame, a, label_a, b, label_b): (gap, length, overlap)}."""
    found = {}
    for t in range(len(next(iter(labels.values())))):
        masks = [
            (k, name, int(n), labels[name][t] == n)
            for k, name in enumerate(labels)
            for n in np.unique(labels[name][t])
            if n
        ]
        for i, (_, pop_a, a, mask_a) in enumerate(masks):
            for _, pop_b, b, mask_b in masks[i + 1 :]:
                centres = cdist(np.argwhere(mask_a), np.argwhere(mask_b)) - 1
                if (gap := max(centres.min(), 0.0)) > distance + 1e-9:
                    continue
                near = 0
                for own, rows in ((mask_a, centres), (mask_b, centres.T)):
                    inner = binary_erosion(own, CROSS, border_value=0)[own]
                    near += ((rows.min(axis=1) <= distance + 1e-9) & ~inner).sum()
                overlap = (mask_a & mask_b).sum()
                found[t, pop_a, a, pop_b, b] = (gap, near / 2, overlap)
    return found


def as_dict(table):
    return {
        (r.frame, r.population_a, r.label_a, r.population_b, r.label_b): (
            r.distance_px,
            r.contact_length_px,
            r.overlap_px,
        )
        for r in table.itertuples()
    }


def boxes(seed, n, size, shape=(2, 40, 44)):
    rng = np.random.default_rng(seed)
    label = np.zeros(shape, np.uint32)
    for frame in label:
        for number in rng.choice(np.arange(1, 900), n, replace=False):
            y, x = rng.integers(0, shape[1]), rng.integers(0, shape[2])
            h, w = rng.integers(1, size, 2)
            patch = frame[y : y + h, x : x + w]
            patch[rng.random(patch.shape) < 0.9] = number
    return label


@pytest.mark.parametrize("distance", [0, 0.42, 1, 3, 7.5, 20])
@pytest.mark.parametrize("lookup_cost", [0, np.inf], ids=["look around", "compare"])
@pytest.mark.parametrize("seed", [0, 1])
def test_as_by_brute_force(distance, seed, lookup_cost, monkeypatch):
    monkeypatch.setattr(module, "_LOOKUP_COST", lookup_cost)
    labels = {"T": boxes(seed, 9, 9), "C": boxes(seed + 50, 6, 16), "D": boxes(seed + 90, 4, 5)}
    table = touch(labels, distance)
    ours, truth = as_dict(table), brute(labels, distance)
    assert list(ours) == list(truth)  # the same pairs, sides and order
    np.testing.assert_allclose(np.array(list(ours.values())), np.array(list(truth.values())))


@pytest.mark.parametrize("lookup_cost", [0, np.inf], ids=["look around", "compare"])
def test_work_in_small_pieces_is_the_same(monkeypatch, lookup_cost):
    monkeypatch.setattr(module, "_LOOKUP_COST", lookup_cost)
    labels = {"T": boxes(3, 9, 9), "C": boxes(4, 6, 16)}
    whole = touch(labels, 5)
    monkeypatch.setattr(module, "_CHUNK", 7)
    assert touch(labels, 5).equals(whole)


def test_order_of_populations_only_swaps_the_sides():
    t, c = boxes(3, 9, 9), boxes(4, 6, 16)
    one, other = as_dict(touch({"T": t, "C": c}, 4)), as_dict(touch({"C": c, "T": t}, 4))
    swapped = {(k[0], *k[3:], *k[1:3]) if k[1] != k[3] else k: v for k, v in other.items()}
    assert swapped == one


def test_image_turned_or_mirrored_gives_the_same():
    t, c = boxes(6, 9, 9), boxes(7, 6, 16)
    one = as_dict(touch({"T": t, "C": c}, 4))
    for turn in (lambda f: f.transpose(0, 2, 1), lambda f: f[:, ::-1, ::-1]):
        assert as_dict(touch({"T": turn(t), "C": turn(c)}, 4)) == one


def test_closed_forms():
    t = np.zeros((1, 20, 30), np.uint32)
    t[0, 5:10, 5:10], t[0, 5:10, 10:15], t[0, 10:12, 15:17] = 1, 2, 3
    table = touch({"T": t}, 0, pixel_size_um=0.5, frame_start=4)
    assert table[["frame", "label_a", "label_b", "distance_px"]].values.tolist() == [[4, 1, 2, 0]]
    assert table["contact_length_px"].tolist() == [5.0]
    assert table["contact_length_um"].tolist() == [2.5]
    corner = touch({"T": t}, np.sqrt(2) - 1).set_index(["label_a", "label_b"])
    assert corner.loc[(2, 3), "distance_px"] == pytest.approx(np.sqrt(2) - 1)
    assert corner["distance_um"].isna().all()


def test_a_cell_inside_another_touches_with_its_whole_outline():
    big, small = np.zeros((1, 40, 40), np.uint32), np.zeros((1, 40, 40), np.uint32)
    big[0, 2:38, 2:38], small[0, 18:22, 18:22] = 1, 1
    table = touch({"C": big, "T": small}, 2)
    assert table[["distance_px", "contact_length_px", "overlap_px"]].values.tolist() == [[0, 6, 16]]


def test_empty_frames_single_cells_and_dask():
    none = np.zeros((2, 9, 9), np.uint32)
    one = none.copy()
    one[1, 3:5, 3:5] = 4
    assert len(touch({"T": none}, 3)) == 0
    assert len(touch({"T": one, "C": none}, 3)) == 0
    pair = touch({"T": none + one, "C": one}, 3)
    assert touch({"T": da.from_array(one, (1, -1, -1)), "C": one}, 3).equals(pair)
    assert pair["overlap_px"].tolist() == [4]
    assert pair.dtypes.equals(touch({"T": none}, 3).dtypes)


def test_bad_parameters_and_input():
    label = np.zeros((1, 9, 9), np.uint32)
    data = {"label": {"T": label}, "fov": "f1", "pixel_size_um": None}
    with pytest.raises(ConfigError, match=r"max_distance_um=2.* needs the pixel size"):
        Touches(max_distance_um=2)(data)
    with pytest.raises(ConfigError, match="needs max_distance_um or max_distance_px"):
        construct(Touches)
    with pytest.raises(InputError, match=r"'f1'.*differ in shape"):
        touch({"T": label, "C": label[:, :8]}, 1)
    with pytest.raises(ConfigError, match="at least one population"):
        touch({}, 1)


def test_micrometres_are_resolved_by_pixel_size():
    t = boxes(3, 9, 9)
    data = {"label": {"T": t}, "fov": "f1", "pixel_size_um": 0.5}
    by_um = Touches(max_distance_um=2)(data)["dataframe"]
    by_px = touch({"T": t}, 4, pixel_size_um=0.5)
    assert by_um.drop(columns="definition").equals(by_px.drop(columns="definition"))
    assert set(by_um["definition"]) == {"mask distance <= 2 um"}
    np.testing.assert_allclose(by_um["distance_um"], by_um["distance_px"] / 2)


def pairs(table):
    return set(as_dict(table))


def test_shares_of_the_perimeter():
    t = np.zeros((1, 12, 12), np.uint32)
    t[0, 2:6, 2:6], t[0, 2:6, 6:8] = 1, 2  # outlines of 12 and 8 pixels share an edge of 4
    row = touch({"T": t}, 0).iloc[0]
    assert row["perimeter_share_a"] == 4 / 12
    assert row["perimeter_share_b"] == 4 / 8


def found(algorithm, labels):
    data = {"label": labels, "fov": "f1", "pixel_size_um": 0.5}
    return schemas.check(schemas.Touches, algorithm(data)["dataframe"])


@pytest.mark.parametrize("seed", [0, 1])
def test_touching_is_a_shared_edge(seed):
    labels = {"T": boxes(seed, 12, 9), "C": boxes(seed + 50, 6, 16)}
    for corners, structure in ((False, CROSS), (True, np.ones((3, 3), bool))):
        truth = set()
        for t in range(2):
            cells = [(p, n, labels[p][t] == n) for p in labels for n in np.unique(labels[p][t])[1:]]
            for i, (p, a, mask) in enumerate(cells):
                wide = binary_dilation(mask, structure)
                truth |= {(t, p, a, q, b) for q, b, other in cells[i + 1 :] if (wide & other).any()}
        table = found(TouchingMasks(corners=corners), labels)
        assert pairs(table) == truth
        assert set(table["definition"]) == {"masks share a pixel edge" + " or corner" * corners}


@pytest.mark.parametrize("radius", [1, 1.5, 2.3, 4])
@pytest.mark.parametrize("chunk", [3000, 10**6])
def test_dilated_masks_overlap(radius, chunk, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    labels = {"T": boxes(5, 9, 9), "C": boxes(6, 4, 25)}
    y, x = np.mgrid[-4:5, -4:5]
    disk = y * y + x * x <= radius * radius
    truth = {}
    for t in range(2):
        cells = [
            (p, n, binary_dilation(labels[p][t] == n, disk))
            for p in labels
            for n in np.unique(labels[p][t])[1:]
        ]
        for i, (p, a, mask) in enumerate(cells):
            shared = {(t, p, a, q, b): (mask & other).sum() for q, b, other in cells[i + 1 :]}
            truth |= {key: n for key, n in shared.items() if n}
    table = found(DilatedOverlap(radius_px=radius), labels)
    assert dict(zip(as_dict(table), table["dilated_overlap_px"], strict=True)) == truth
    by_um = found(DilatedOverlap(radius_um=radius / 2, min_overlap_px=3), labels)
    assert pairs(by_um) == {k for k, n in truth.items() if n >= 3}


@settings(max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(
        [
            Touches(max_distance_px=3),
            TouchingMasks(),
            TouchingMasks(corners=True),
            DilatedOverlap(radius_px=2),
        ]
    ),
)
def test_moved_turned_relabelled_or_swapped_touches_are_the_same(seed, algorithm):
    labels = {"T": boxes(seed, 6, 8, (1, 24, 24)), "C": boxes(seed + 1, 4, 12, (1, 24, 24))}
    rng = np.random.default_rng(seed)
    truth = as_dict(found(algorithm, labels))

    def changed(change):
        return as_dict(found(algorithm, {p: change(each) for p, each in labels.items()}))

    shift = tuple(rng.integers(0, 9, 2))
    assert changed(lambda f: np.pad(f, ((0, 0), (shift[0], 2), (3, shift[1])))) == truth
    assert changed(lambda f: np.rot90(f, axes=(1, 2))) == truth
    new = np.concatenate([[0], rng.permutation(900) + 1]).astype(np.uint32)
    relabelled = {
        tuple(sorted([(p, new[a]), (q, new[b])])): value for (_, p, a, q, b), value in truth.items()
    }
    again = {
        tuple(sorted([(p, a), (q, b)])): v
        for (_, p, a, q, b), v in changed(new.__getitem__).items()
    }
    assert again == relabelled
    swapped = as_dict(found(algorithm, dict(reversed(labels.items()))))
    assert {(k[0], *k[3:], *k[1:3]) if k[1] != k[3] else k: v for k, v in swapped.items()} == truth
