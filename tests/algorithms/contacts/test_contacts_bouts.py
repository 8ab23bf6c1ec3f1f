"""Contacts and bouts: hand-made films, a slow reference, and what they must conserve."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.bouts import Bouts
from cyto_kedro.algorithms.contacts.contacts import ContactJoin
from cyto_kedro.errors import ConfigError, InputError

STILL = (5.0, 5.0)


def touches_of(rows: list[tuple[int, str, int, str, int, float]]) -> pd.DataFrame:
    names = ["frame", "population_a", "label_a", "population_b", "label_b", "distance_px"]
    if not rows:
        return schemas.empty(schemas.Touches)
    table = pd.DataFrame(rows, columns=names)
    table = table.assign(fov="A", distance_um=table["distance_px"] / 2, contact_length_px=4.0)
    table = table.assign(contact_length_um=2.0, overlap_px=0.0)
    return schemas.conform(schemas.Touches, table)


def join(touches, points, **fields):
    result = ContactJoin(**fields)({"touches": touches, "dataframe": points})
    return schemas.check(schemas.Contacts, result["contacts"]), result["n_untracked"]


def test_touches_take_the_tracks_of_their_labels(make_points):
    points = make_points({("T", 1): {0: STILL, 1: STILL}, ("N", 7): {0: STILL, 1: STILL}})
    points.loc[(points["population"] == "T") & (points["frame"] == 1), "label"] = 55
    touches = touches_of(
        [(0, "T", 101, "N", 107, 1.0), (1, "T", 55, "N", 107, 0.0), (1, "T", 101, "N", 107, 2.0)]
    )
    contacts, n_untracked = join(touches, points)
    assert contacts[["frame", "track_id_a", "track_id_b"]].to_numpy().tolist() == [
        [0, 1, 7],
        [1, 1, 7],
    ]
    assert contacts["distance_px"].tolist() == [1.0, 0.0]
    assert contacts["time_min"].tolist() == [0.0, 2.0]
    assert n_untracked == 1


def test_a_pair_of_one_population_is_named_alike_whatever_its_labels(make_points):
    points = make_points({("T", 1): {0: STILL, 1: STILL}, ("T", 2): {0: STILL, 1: STILL}})
    points.loc[points["frame"] == 1, "label"] = [9, 3]
    touches = touches_of([(0, "T", 101, "T", 102, 1.0), (1, "T", 3, "T", 9, 1.0)])
    # what is said of a side goes with its cell: in frame 1 label 3 is track 2
    touches = touches.assign(perimeter_share_a=[0.1, 0.2], perimeter_share_b=[0.3, 0.4])
    contacts, _ = join(touches, points)
    assert contacts["track_id_a"].tolist() == [1, 1]
    assert contacts["track_id_b"].tolist() == [2, 2]
    assert contacts["perimeter_share_a"].tolist() == [0.1, 0.4]
    assert contacts["perimeter_share_b"].tolist() == [0.3, 0.2]


def test_tighter_reach_and_its_units(make_points):
    points = make_points({("T", 1): {0: STILL}, ("N", 7): {0: STILL}, ("N", 8): {0: STILL}})
    touches = touches_of([(0, "T", 101, "N", 107, 1.0), (0, "T", 101, "N", 108, 4.0)])
    for fields in ({"max_distance_px": 2.0}, {"max_distance_um": 1.0}):
        contacts, n_untracked = join(touches, points, **fields)
        assert contacts["track_id_b"].tolist() == [7] and n_untracked == 0
    with pytest.raises(ConfigError, match="pixel size"):
        join(touches.assign(distance_um=np.nan), points, max_distance_um=1.0)
    # both: micrometres where the film is calibrated, pixels elsewhere
    both = {"max_distance_px": 0.5, "max_distance_um": 1.0}
    assert len(join(touches, points, **both)[0]) == 1
    assert len(join(touches.assign(distance_um=np.nan), points, **both)[0]) == 0


def test_join_ordinary_cases(make_points):
    points = make_points({("T", 1): {0: STILL}})
    contacts, n_untracked = join(touches_of([]), points)
    assert len(contacts) == 0 and n_untracked == 0
    contacts, n_untracked = join(touches_of([(0, "T", 1, "N", 1, 0.0)]), make_points({}))
    assert len(contacts) == 0 and n_untracked == 1
    join(touches_of([]), make_points({}))


def test_a_label_of_two_tracks_is_refused(make_points):
    points = make_points({("T", 1): {0: STILL}, ("T", 2): {0: STILL}}).assign(label=4)
    with pytest.raises(InputError, match="frame 0: label 4 belongs to tracks 1 and 2"):
        join(touches_of([]), points)


def film(make_points, n, missing=(), interpolated=()):
    """T1 and N1 seen in all of n frames but those of T1 in `missing` and `interpolated`."""
    return make_points(
        {
            ("T", 1): {f: STILL for f in range(n) if f not in missing},
            ("N", 1): dict.fromkeys(range(n), STILL),
        },
        interpolated={("T", 1, f) for f in interpolated},
    )


def bouts_of(make_contacts, points, frames, **fields) -> pd.DataFrame:
    contacts = make_contacts([(f, "T", 1, "N", 1) for f in frames])
    bouts = Bouts(**fields)({"contacts": contacts, "dataframe": points})["bouts"]
    return schemas.check(schemas.Bouts, bouts)


def spans(bouts: pd.DataFrame) -> list[tuple[int, int]]:
    return list(zip(bouts["start_frame"], bouts["end_frame"], strict=True))


def test_bouts_of_one_pair(make_points, make_contacts):
    points = film(make_points, 20)
    bouts = bouts_of(make_contacts, points, [3, 4, 6, 10, 19], max_gap_frames=1)
    assert spans(bouts) == [(3, 6), (10, 10), (19, 19)]
    assert bouts["bout"].tolist() == [1, 2, 3]
    assert bouts["n_frames"].tolist() == [4, 1, 1]
    assert bouts["n_contact_frames"].tolist() == [3, 1, 1]
    assert bouts["start_min"].tolist() == [6, 20, 38]
    assert bouts["duration_min"].tolist() == [8, 2, 2]  # a frame lasts one interval of 2 min
    assert bouts["censored_start"].tolist() == [False, False, False]
    assert bouts["censored_end"].tolist() == [False, False, True]
    assert spans(bouts_of(make_contacts, points, [3, 4, 6], max_gap_frames=0)) == [(3, 4), (6, 6)]
    short = bouts_of(make_contacts, points, [3, 5, 6, 9], max_gap_frames=0, min_frames=2)
    assert spans(short) == [(5, 6)] and short["bout"].tolist() == [1]


def test_bouts_are_censored_where_either_track_ends(make_points, make_contacts):
    points = make_points(
        {("T", 1): dict.fromkeys(range(4, 9), STILL), ("N", 1): dict.fromkeys(range(20), STILL)}
    )
    bouts = bouts_of(make_contacts, points, [4, 6, 8], max_gap_frames=0)
    assert bouts["censored_start"].tolist() == [True, False, False]
    assert bouts["censored_end"].tolist() == [False, False, True]


@pytest.mark.parametrize("hidden", ["missing", "interpolated"])
def test_a_cell_not_detected_is_unknown_and_not_apart(make_points, make_contacts, hidden):
    points = film(make_points, 12, **{hidden: (4, 5, 6, 7)})
    frames = [2, 3, 8, 9]
    assert spans(bouts_of(make_contacts, points, frames, max_gap_frames=0)) == [(2, 9)]
    apart = bouts_of(make_contacts, points, frames, max_gap_frames=1, missing_partner="apart")
    assert spans(apart) == [(2, 3), (8, 9)]
    cut = bouts_of(make_contacts, points, frames, max_gap_frames=5, missing_partner="break")
    assert spans(cut) == [(2, 3), (8, 9)]
    assert cut["censored_end"].tolist() == [True, False]
    assert cut["censored_start"].tolist() == [False, True]
    # one frame seen apart beside the unknown ones
    frames = [2, 8, 9]
    assert len(bouts_of(make_contacts, points, frames, max_gap_frames=0)) == 2
    assert len(bouts_of(make_contacts, points, frames, max_gap_frames=1)) == 1


def test_bouts_without_times_or_contacts(make_points, make_contacts):
    points = make_points({("T", 1): {0: STILL}, ("N", 1): {0: STILL}}, interval_min=None)
    contacts = make_contacts([(0, "T", 1, "N", 1)], interval_min=None)
    bouts = schemas.check(
        schemas.Bouts, Bouts()({"contacts": contacts, "dataframe": points})["bouts"]
    )
    assert bouts["duration_min"].isna().all()
    assert bouts["censored_start"].all() and bouts["censored_end"].all()
    empty = Bouts()({"contacts": make_contacts([]), "dataframe": make_points({})})["bouts"]
    assert len(schemas.check(schemas.Bouts, empty)) == 0


def causes(bouts):
    return list(zip(bouts["start_cause"], bouts["end_cause"], strict=True))


def test_why_a_bout_is_censored(make_points, make_contacts):
    points = make_points(
        {("T", 1): dict.fromkeys(range(4, 9), STILL), ("N", 1): dict.fromkeys(range(20), STILL)}
    )
    found = bouts_of(make_contacts, points, [4, 6, 8], max_gap_frames=0)
    assert causes(found) == [("track_a", "seen"), ("seen", "seen"), ("seen", "track_a")]
    both = make_points({(p, 1): dict.fromkeys(range(4, 9), STILL) for p in "TN"})
    assert causes(bouts_of(make_contacts, both, [4, 8])) == [("tracks", "seen"), ("seen", "film")]
    whole = film(make_points, 5)
    assert causes(bouts_of(make_contacts, whole, range(5))) == [("film", "film")]
    # T1 is not detected in frames 4 to 7: whether contact lasted is not known
    hidden = film(make_points, 12, missing=(4, 5, 6, 7))
    for rule, censored in (("unknown", False), ("break", True)):
        found = bouts_of(make_contacts, hidden, [3], missing_partner=rule)
        assert causes(found) == [("seen", "unseen")]
        assert found["censored_end"].tolist() == [censored]
    # the first frame in which both are seen is not the first of either track
    late = make_points(
        {("T", 1): {0: STILL, 3: STILL, 4: STILL}, ("N", 1): dict.fromkeys(range(2, 9), STILL)}
    )
    found = bouts_of(make_contacts, late, [3])
    assert causes(found) == [("unseen", "seen")] and found["censored_start"].tolist() == [True]


def test_intervals_until_contact_again(make_points, make_contacts):
    bouts = bouts_of(make_contacts, film(make_points, 20), [3, 4, 8, 15], max_gap_frames=0)
    assert bouts["recontact_frames"].fillna(-1).tolist() == [-1, 4, 7]
    assert bouts["recontact_min"].fillna(-1).tolist() == [-1, 8, 14]


@pytest.mark.parametrize("seed", range(5))
def test_a_camera_that_is_a_little_late_splits_no_bout(make_points, make_contacts, seed):
    """Default limits do not lie on a whole number of frames of usual films."""
    points = film(make_points, 20)
    frames = [3, 4, 6, 8, 9, 11, 15, 17]
    even = bouts_of(make_contacts, points, frames)
    assert spans(even) == [(3, 11), (15, 17)]
    late = np.random.default_rng(seed).normal(0, 0.05, 20)
    time_min = 2.0 * np.arange(20) + late
    jittered = points.assign(time_min=time_min[points["frame"]])
    assert spans(bouts_of(make_contacts, jittered, frames)) == spans(even)


def test_limits_in_minutes_do_not_depend_on_the_frame_rate(make_points, make_contacts):
    limits = {"max_gap_min": 4.0, "min_duration_min": 6.0}
    slow = [3, 4, 7, 12, 16, 17, 18]  # frames of 2 min; 2 frames apart are bridged
    fast = [f for at in slow for f in (2 * at, 2 * at + 1)]  # the same film in frames of 1 min
    found = []
    for frames, interval in ((slow, 2.0), (fast, 1.0)):
        points = make_points(
            {(p, 1): dict.fromkeys(range(int(60 / interval)), STILL) for p in "TN"},
            interval_min=interval,
        )
        contacts = make_contacts([(f, "T", 1, "N", 1) for f in frames], interval)
        bouts = Bouts(**limits)({"contacts": contacts, "dataframe": points})["bouts"]
        found.append(bouts[["start_min", "duration_min"]].to_numpy().tolist())
    assert found[0] == found[1] == [[6, 10], [32, 6]]
    points = make_points({("T", 1): {0: STILL}, ("N", 1): {0: STILL}}, interval_min=None)
    for name in limits:
        with pytest.raises(ConfigError, match=f"{name}=.*frame times"):
            bouts_of(make_contacts, points, [0], **{name: 4.0})


def slow_bouts(contact: set[int], both: set[int], max_gap: int, mode: str) -> list[tuple[int, int]]:
    """Bouts of one pair, frame by frame, as the docstring defines them."""
    found: list[list[int]] = []
    for frame in sorted(contact):
        between = range(found[-1][1] + 1, frame) if found else ()
        unknown = sum(f not in both for f in between)
        apart = len(between) - unknown
        if mode == "apart":
            ok = apart + unknown <= max_gap
        else:
            ok = apart <= max_gap and (mode == "unknown" or unknown == 0)
        if found and ok:
            found[-1][1] = frame
        else:
            found.append([frame, frame])
    return [(a, b) for a, b in found]


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["unknown", "apart", "break"]),
    st.integers(0, 3),
)
def test_many_pairs_against_frame_by_frame(seed, mode, max_gap):
    rng = np.random.default_rng(seed)
    n, tracks = 14, [("T", 1), ("T", 2), ("N", 1), ("N", 2)]
    seen = {track: set(np.flatnonzero(rng.random(n) < 0.7)) or {0} for track in tracks}
    points = pd.DataFrame(
        [(p, t, f) for (p, t), frames in seen.items() for f in frames],
        columns=["population", "track_id", "frame"],
    )
    points = points.assign(fov="A", time_min=1.0 * points["frame"], label=1, interpolated=False)
    points = schemas.conform(
        schemas.TrackPoints, points.assign(x_px=0.0, y_px=0.0, x_um=0.0, y_um=0.0)
    )
    rows, expected = [], []
    for i, a in enumerate(tracks):
        for b in tracks[i + 1 :]:
            both = seen[a] & seen[b]
            contact = {f for f in both if rng.random() < 0.5}
            rows += [(f, *a, *b) for f in contact]
            expected += [(*a, *b, *span) for span in slow_bouts(contact, both, max_gap, mode)]
    columns = ["frame", "population_a", "track_id_a", "population_b", "track_id_b"]
    contacts = pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=seed)
    contacts = contacts.assign(fov="A", time_min=1.0 * contacts["frame"])
    algorithm = Bouts(max_gap_frames=max_gap, missing_partner=mode)
    bouts = algorithm({"contacts": contacts, "dataframe": points})["bouts"]
    schemas.check(schemas.Bouts, bouts)
    mine = bouts[[*columns[1:], "start_frame", "end_frame"]].to_numpy().tolist()
    assert sorted(map(tuple, mine)) == sorted(expected)
    assert bouts["n_contact_frames"].sum() == len(contacts)


@pytest.mark.parametrize("interval", [None, 2.0])
def test_a_least_duration_in_frames_counts_both_ends(make_points, make_contacts, interval):
    points = make_points(
        {(p, 1): dict.fromkeys(range(12), STILL) for p in "TN"}, interval_min=interval
    )
    contacts = make_contacts([(f, "T", 1, "N", 1) for f in (2, 3, 4, 7, 8)], interval)
    rule = {"max_gap_frames": 0, "max_gap_min": None, "min_duration_frames": 3}
    bouts = Bouts(**rule)({"contacts": contacts, "dataframe": points})["bouts"]
    assert bouts[["start_frame", "end_frame"]].to_numpy().tolist() == [[2, 4]]
