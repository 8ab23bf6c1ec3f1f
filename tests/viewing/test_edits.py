"""Edits of masks and tracks: closed cases, and what no edit may lose."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import disk

from cyto_kedro import schemas
from cyto_kedro.errors import InputError
from cyto_kedro.viewing import mask_edits, track_edits


def touching() -> np.ndarray:
    """Two touching disks under one number, and a third cell."""
    labels = np.zeros((40, 60), np.uint32)
    for centre in ((20, 15), (20, 33)):
        labels[disk(centre, 10)] = 4
    labels[2:6, 50:55] = 9
    return labels


def test_a_mask_is_split_where_it_is_narrowest() -> None:
    labels = touching()
    for seeds in ((), ((20, 12), (20, 36))):
        made = mask_edits.split(labels, 4, 10, seeds)
        assert set(np.unique(made)) == {0, 4, 9, 10}
        np.testing.assert_array_equal(made > 0, labels > 0)  # not a pixel is lost
        for x, other in ((15, 33), (33, 15)):
            near = np.zeros_like(labels, bool)
            near[disk((20, x), 8)] = True
            assert len(np.unique(made[near])) == 1 and made[20, x] != made[20, other]
        np.testing.assert_array_equal(mask_edits.merge(made, 4, [10]), labels)


def test_masks_merged_and_deleted() -> None:
    made = mask_edits.merge(touching(), 9, [4])
    assert set(np.unique(made)) == {0, 9} and (made > 0).sum() == (touching() > 0).sum()
    left = mask_edits.delete(touching(), 4)
    assert set(np.unique(left)) == {0, 9} and left.dtype == np.uint32


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda m: mask_edits.delete(m, 3), "no mask 3"),
        (lambda m: mask_edits.delete(m, 0), "no mask 0"),
        (lambda m: mask_edits.merge(m, 4, [4]), "two different masks"),
        (lambda m: mask_edits.split(m, 4, 9), "label 9 is taken"),
        (lambda m: mask_edits.split(m, 4, 5, ((0, 0), (20, 33))), "outside mask 4"),
        (lambda m: mask_edits.split(np.eye(3, dtype=int)[:1], 1, 2), "too small"),
    ],
)
def test_mask_edits_that_cannot_be(act: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        act(touching())  # type: ignore[operator]


def track(track_id: int, frames: list[int], x: float = 0.0) -> pd.DataFrame:
    rows = {"fov": "A1", "population": "C", "track_id": track_id, "frame": frames, "label": 1}
    place = {"x_px": [x + t for t in frames], "y_px": 1.0, "time_min": [2.0 * t for t in frames]}
    return schemas.filled(schemas.TrackPoints, {**rows, **place})


def test_joined_tracks_are_one_with_the_gap_filled() -> None:
    points = pd.concat([track(1, [0, 1, 2]), track(2, [5, 6]), track(3, [0, 1])])
    for first, second in ((1, 2), (2, 1)):
        made = track_edits.join(points, first, second)
        one = made[made["track_id"] == first]
        assert one["frame"].tolist() == [0, 1, 2, 3, 4, 5, 6] and second not in set(
            made["track_id"]
        )
        assert one["interpolated"].tolist() == [False] * 3 + [True] * 2 + [False] * 2
        assert one["label"].isna().tolist() == one["interpolated"].tolist()
        np.testing.assert_allclose(one["x_px"], one["frame"])
        np.testing.assert_allclose(one["time_min"], 2 * one["frame"])
        schemas.check(schemas.TrackPoints, made)


def test_cut_then_join_is_as_before_and_swap_is_its_own_inverse() -> None:
    points = pd.concat([track(1, [0, 1, 2, 3]), track(7, [1, 2, 3, 4], 50)], ignore_index=True)
    made = track_edits.cut(points, 1, 2)
    assert made.groupby("track_id")["frame"].apply(list).to_dict() == {
        1: [0, 1],
        7: [1, 2, 3, 4],
        8: [2, 3],
    }
    pd.testing.assert_frame_equal(track_edits.join(made, 1, 8), points)
    other = track_edits.swap(points, 1, 7, 2)
    assert other.loc[other["track_id"] == 1, "x_px"].tolist() == [0, 1, 52, 53, 54]
    pd.testing.assert_frame_equal(track_edits.swap(other, 7, 1, 2), points)
    assert set(track_edits.delete(points, 1)["track_id"]) == {7}


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda p: track_edits.join(p, 1, 1), "itself"),
        (lambda p: track_edits.join(p, 1, 2), "both seen in frame 2"),
        (lambda p: track_edits.join(p, 1, 5), "unknown track '5'"),
        (lambda p: track_edits.cut(p, 1, 0), "frame 0 to 2"),
        (lambda p: track_edits.cut(p, 1, 3), "cannot be cut"),
        (lambda p: track_edits.swap(p, 1, 2, 9), "ended before frame 9"),
        (lambda p: track_edits.delete(p, 4), "unknown track"),
    ],
)
def test_track_edits_that_cannot_be(act: object, said: str) -> None:
    points = pd.concat([track(1, [0, 1, 2]), track(2, [2, 3])])
    with pytest.raises(InputError, match=said):
        act(points)  # type: ignore[operator]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_edit_loses_a_detection_or_repeats_one(data: st.DataObject) -> None:
    parts = [track(i + 1, list(range(i, i + 4)), 10.0 * i) for i in range(4)]
    points = pd.concat(parts, ignore_index=True)
    points["label"] = pd.array(range(1, len(points) + 1), dtype="Int64")  # tells detections apart
    seen = set(points["label"])
    for _ in range(6):
        ids = sorted(points["track_id"].unique().tolist())
        one, two = data.draw(st.sampled_from(ids)), data.draw(st.sampled_from(ids))
        frame = data.draw(st.integers(0, 8))
        act = data.draw(st.sampled_from(["join", "cut", "swap"]))
        try:
            if act == "join":
                points = track_edits.join(points, one, two)
            elif act == "cut":
                points = track_edits.cut(points, one, frame)
            else:
                points = track_edits.swap(points, one, two, frame)
        except InputError:
            continue
        schemas.check(schemas.TrackPoints, points)  # ids and frames name a row
        labels = points["label"].dropna()
        assert set(labels) == seen and labels.is_unique


def test_tracks_follow_masks_that_changed() -> None:
    labels = np.zeros((10, 10), np.uint32)
    labels[2:4, 2:5] = 1  # was at (1, 0); now its centre is y 2.5, x 3
    labels[7, 7] = 6  # a new cell
    points = pd.concat([track(1, [0, 1]), track(2, [0, 1], 5).assign(label=2)], ignore_index=True)
    made = track_edits.fitted_to_masks(points, {0: labels}, 0.5)
    first = made[made["frame"] == 0].set_index("track_id")
    assert first.loc[1, ["y_px", "x_px", "y_um", "interpolated"]].tolist() == [2.5, 3, 1.25, False]
    assert pd.isna(first.loc[2, "label"]) and first.loc[2, "interpolated"]
    assert first.loc[2, ["y_px", "x_px"]].tolist() == [1, 5]  # stays where it was
    assert first.loc[3, ["label", "y_px", "x_px"]].tolist() == [6, 7, 7]
    pd.testing.assert_frame_equal(
        made[made["frame"] == 1].reset_index(drop=True),
        points[points["frame"] == 1].reset_index(drop=True),
    )
