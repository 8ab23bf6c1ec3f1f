"""`Touches` against all pixels with all pixels."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from cyto_kedro import schemas
from cyto_kedro.algorithms.tabulation import touches as module
from cyto_kedro.algorithms.tabulation.touches import Touches
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
    with pytest.raises(ConfigError, match="exactly one"):
        Touches()(data)
    with pytest.raises(InputError, match=r"'f1'.*differ in shape"):
        touch({"T": label, "C": label[:, :8]}, 1)
    with pytest.raises(ConfigError, match="at least one population"):
        touch({}, 1)


def test_micrometres_are_resolved_by_pixel_size():
    t = boxes(3, 9, 9)
    data = {"label": {"T": t}, "fov": "f1", "pixel_size_um": 0.5}
    by_um = Touches(max_distance_um=2)(data)["dataframe"]
    assert by_um.equals(touch({"T": t}, 4, pixel_size_um=0.5))
    np.testing.assert_allclose(by_um["distance_um"], by_um["distance_px"] / 2)
