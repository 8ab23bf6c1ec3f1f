"""Cases at the very edge of a rule: the last joint frame, the frame of a death, exactly a limit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts import (
    Bouts,
    CellTallies,
    ChangePointDeaths,
    ContactJoin,
    Encounters,
    HysteresisDeaths,
    KillLikelihood,
    MarkerThreshold,
)
from cyto_kedro.algorithms.contacts.exposure import exposure_of
from cyto_kedro.algorithms.contacts.kills import Watched

ROLES = {"N": "effector", "T": "target"}
PAIR = {"population_a": "N", "track_id_a": 1, "population_b": "T", "track_id_b": 1}
AT = {"x_px": 9.0, "y_px": 9.0, "x_um": 9.0, "y_um": 9.0}


def points_of(frames, time, tracks=(("N", 1), ("T", 1)), hidden=()):
    """Track points of cells seen in `frames`, at ``time[frame]``; `hidden`: (population, frame)."""
    rows = [
        {
            "fov": "A", "population": p, "track_id": n, "frame": f, "time_min": time[f], **AT,
            "label": pd.NA if (p, f) in hidden else n, "interpolated": (p, f) in hidden,
        }
        for p, n in tracks
        for f in frames
    ]  # fmt: skip
    return schemas.filled(schemas.TrackPoints, rows)


def contacts_of(frames, time, pair=PAIR):
    rows = pd.DataFrame({"frame": list(frames)}).astype(int)
    rows = rows.assign(fov="A", time_min=np.asarray(time, float)[rows["frame"]], **pair)
    return schemas.filled(schemas.Contacts, rows)


def bouts_of(frames, time, seen=None, hidden=(), n_frames=None, **fields):
    points = points_of(range(len(time)) if seen is None else seen, time, hidden=hidden)
    contacts = contacts_of(frames, time)
    made = Bouts(**fields)(contacts=contacts, track_points=points, n_frames=n_frames)["bouts"]
    return schemas.check(schemas.Bouts, made)


def spans(bouts):
    return bouts[["start_frame", "end_frame"]].values.tolist()


EVEN, SLOW = 2.0 * np.arange(30), 4.0 * np.arange(30)


# --- bouts


def test_a_bout_at_the_last_joint_frame_is_cut_there():
    """Both are seen up to frame 9 of 20; contact up to 9 is cut, up to 8 it ended in view."""
    for last, cut in ((9, True), (8, False)):
        bouts = bouts_of(range(5, last + 1), EVEN, seen=range(2, 10), n_frames=20)
        assert bouts["censored_end"].tolist() == [cut], last
        assert bouts["censored_start"].tolist() == [False]
    for first, cut in ((2, True), (3, False)):
        bouts = bouts_of(range(first, 6), EVEN, seen=range(2, 10), n_frames=20)
        assert bouts["censored_start"].tolist() == [cut], first


def test_contact_at_the_last_frame_in_which_both_were_seen_is_cut_though_both_go_on():
    """The target is seen in 2 to 9 and in 15, the effector in 0 to 12: after 9 nobody can tell."""
    seen = {"N": range(13), "T": [*range(2, 10), 15]}
    parts = [points_of(frames, EVEN, ((name, 1),)) for name, frames in seen.items()]
    points = pd.concat(parts, ignore_index=True)
    for last, cut in ((9, True), (8, False)):
        contacts = contacts_of(range(5, last + 1), EVEN)
        bouts = Bouts()(contacts=contacts, track_points=points, n_frames=20)["bouts"]
        assert bouts["censored_end"].tolist() == [cut]
        assert bouts["end_cause"].tolist() == ["unseen" if cut else "seen"]


@pytest.mark.parametrize("mode", ["unknown", "apart", "break"])
@pytest.mark.parametrize(
    ("limit", "time", "apart", "joined"),
    [
        ({"max_gap_frames": 2}, EVEN, 2, True),
        ({"max_gap_frames": 2}, EVEN, 3, False),
        ({"max_gap_min": 4.0}, EVEN, 2, True),
        ({"max_gap_min": 4.0}, EVEN, 3, False),
        ({"max_gap_min": 3.9}, EVEN, 2, True),  # within the jitter of frames
        ({"max_gap_min": 3.5}, EVEN, 2, False),
        ({"max_gap_min": 4.0}, SLOW, 1, True),  # the same time at half the rate
        ({"max_gap_min": 4.0}, SLOW, 2, False),
        ({}, EVEN, 1, True),  # the default: three minutes
        ({}, EVEN, 2, False),
        ({}, SLOW, 1, False),
        ({}, np.full(30, np.nan), 1, True),  # times unknown: one frame
        ({}, np.full(30, np.nan), 2, False),
    ],
)
def test_a_gap_of_exactly_the_limit_is_bridged(mode, limit, time, apart, joined):
    bouts = bouts_of([5, 6 + apart], time, missing_partner=mode, **limit)
    assert (len(bouts) == 1) == joined


@pytest.mark.parametrize(("apart", "n"), [(1, 1), (2, 2)])
def test_frames_in_which_a_cell_was_not_seen_cost_nothing(apart, n):
    """Between two contacts lie five unseen frames, and `apart` in which both were seen apart."""
    hidden = {("T", 6 + apart + k) for k in range(5)}
    bouts = bouts_of([5, 11 + apart], EVEN, hidden=hidden)
    assert len(bouts) == n


def test_jitter_of_the_frames_decides_nothing():
    rng = np.random.default_rng(0)
    time = 2.0 * np.arange(30) + rng.uniform(-0.08, 0.08, 30)
    assert spans(bouts_of([3, 5, 9, 10, 12], time)) == [[3, 5], [9, 12]]


def test_a_pause_ends_a_bout_and_cuts_it():
    """Frames a minute apart, an hour between 4 and 5."""
    time = np.array([0, 1, 2, 3, 4, 64, 65, 66, 67, 68.0])
    bouts = bouts_of([3, 4, 5, 6], time, max_gap_min=1e3)
    assert spans(bouts) == [[3, 4], [5, 6]]
    assert bouts["end_cause"].tolist() == ["pause", "seen"]
    assert bouts["start_cause"].tolist() == ["seen", "pause"]
    assert bouts["censored_end"].tolist() == [True, False]
    assert bouts["censored_start"].tolist() == [False, True]
    assert bouts["duration_min"].tolist() == [2, 2]
    assert bouts[["recontact_min", "recontact_frames"]].isna().all(axis=None)
    away = bouts_of([3, 6], time, max_gap_min=1e3)
    assert away["end_cause"].tolist() == ["seen", "seen"] and len(away) == 2


def test_joint_time_of_a_pair_leaves_the_pause_out():
    time = np.array([0, 1, 2, 3, 4, 64, 65, 66, 67, 68.0])
    bouts = bouts_of([3, 6], time, max_gap_min=1e3)
    made = Encounters()(bouts=bouts, track_points=points_of(range(10), time))["encounters"]
    assert made["joint_min"].tolist() == [10] and made["bouts_per_hour"].tolist() == [2 / (10 / 60)]


def test_joint_time_is_that_of_the_frames_seen_where_these_last_unevenly():
    """Each frame lasts until the next one; summed over the frames that show both cells."""
    time = np.array([0, 1, 3, 4, 6.5, 7.5, 9.5, 10.5, 13, 14.0])
    lasting = [1, 2, 1, 2.5, 1, 2, 1, 2.5, 1, 1]  # the last one: the median step
    hidden = {("N", 1), ("N", 4), ("T", 7), ("T", 9)}
    points = points_of(range(10), time, hidden=hidden)
    made = Encounters()(bouts=bouts_of([3], time, hidden=hidden), track_points=points)["encounters"]
    frames = set(range(10)) - {frame for _, frame in hidden}
    assert made["joint_min"].tolist() == [sum(lasting[frame] for frame in frames)]


# --- who is at risk, and who may have killed


def cell(population, track, last=19, death=None, first=0, sight=False):
    return {
        "fov": "A", "population": population, "track_id": track, "first_frame": first,
        "last_frame": last, "died": death is not None, "death_frame": death,
        "dead_at_first_sight": sight, "end_reason": "film_end",
    }  # fmt: skip


def field(cells, contacts, time=EVEN, last_alive=None):
    """The tables of a field; contacts are (frame, effector, target)."""
    fates = schemas.filled(schemas.Fates, pd.DataFrame(cells).astype({"death_frame": "Int64"}))
    end = fates["last_frame"].where(~fates["died"], fates["death_frame"]).astype(int)
    fates["entry_min"], fates["exit_min"] = time[fates["first_frame"]], time[end]
    died = fates[fates["died"]].reset_index(drop=True)
    frame = died["death_frame"].astype(int)
    deaths = died[["fov", "population", "track_id"]].assign(
        frame=frame, time_min=time[frame], last_alive_frame=frame - 1
    )
    if last_alive is not None:
        deaths["last_alive_frame"] = last_alive
    parts = [
        contacts_of([f], time, {**PAIR, "track_id_a": effector, "track_id_b": target})
        for f, effector, target in contacts
    ]
    touching = pd.concat([contacts_of([], time), *parts], ignore_index=True)
    return {
        "fates": fates,
        "deaths": schemas.filled(schemas.Deaths, deaths),
        "contacts": schemas.conform(schemas.Contacts, touching),
        "populations": ROLES,
        "time_min": time[:20],
    }


def exposed(data):
    tables = (data[name] for name in ("fates", "deaths", "contacts", "populations", "time_min"))
    return exposure_of(*tables, 2.0)


def test_contact_in_the_frame_of_the_death_counts_and_after_it_does_not():
    """The target dies in frame 10: what is seen in that frame came before it, or with it."""
    data = field([cell("T", 1, death=10), cell("N", 1)], [(f, 1, 1) for f in (9, 10, 11, 12)])
    assert exposed(data).attacks["frame"].tolist() == [9, 10]


def test_an_effector_acts_up_to_its_own_death_and_not_in_that_frame():
    """A dead cell kills nobody: contact in the first frame it is dead is contact with a body."""
    data = field([cell("T", 1, death=15), cell("N", 1, death=10)], [(f, 1, 1) for f in (8, 9, 10)])
    assert exposed(data).attacks["frame"].tolist() == [8, 9]
    sight = field([cell("T", 1, death=15), cell("N", 1, sight=True)], [(9, 1, 1)])
    assert not len(exposed(sight).attacks)


def test_a_death_lies_between_the_last_frame_seen_alive_and_the_first_seen_dead():
    data = field([cell("T", 1, death=10), cell("T", 2)], [], last_alive=[7])
    targets = exposed(data).targets
    assert targets[["entry", "before", "at"]].values.tolist() == [[0, 14, 20], [0, 38, 38]]


def test_nobody_is_at_risk_in_a_pause():
    """An hour between frames 4 and 5: 20 frames of a minute are 19 minutes from first to last."""
    time = np.arange(20.0)
    time[5:] += 59
    data = field([cell("T", 1), cell("N", 1)], [(4, 1, 1), (5, 1, 1)], time)
    exposure = exposed(data)
    assert exposure.targets["at"].tolist() == [19] and exposure.attacks["dt"].tolist() == [1, 1]
    data |= {"kills": schemas.empty(schemas.Kills), "bouts": schemas.empty(schemas.Bouts)}
    made = CellTallies()(data)
    assert made["effectors"]["observed_min"].tolist() == [19]
    assert made["targets"]["observed_min"].tolist() == [19]
    assert made["targets"]["contact_min"].tolist() == [2]


def test_contact_time_of_bouts_exposure_and_tallies_is_one():
    """Uneven frames: each stands for the time until the next, whoever asks."""
    time = np.array([0, 2, 3, 6, 7, 9, 12, 13, 15, 16, *range(18, 28)], float)
    frames = [3, 4, 5]  # 1 + 2 + 3 minutes
    data = field([cell("T", 1), cell("N", 1)], [(f, 1, 1) for f in frames], time)
    data["bouts"] = bouts_of(frames, time)
    data["kills"] = schemas.empty(schemas.Kills)
    assert data["bouts"]["duration_min"].tolist() == [6]
    assert exposed(data).attacks["dt"].sum() == 6
    tallies = CellTallies()(data)
    assert tallies["effectors"]["contact_min"].tolist() == [6]
    assert tallies["targets"]["contact_min"].tolist() == [6]


@pytest.mark.parametrize(("n", "source"), [(2, "same_fields"), (3, "control")])
def test_so_many_deaths_of_controls_make_a_background(n, source):
    """The control has a tenth of the time at risk, so its deaths decide."""
    deaths = [cell("T", i, death=10) for i in range(1, n + 1)]
    control = field([*deaths, *(cell("T", i) for i in range(n + 1, 6))], [])
    treated = field([*(cell("T", i) for i in range(1, 50)), cell("N", 1)], [(4, 1, 1)])
    rule = KillLikelihood()
    watched = [Watched(exposed(control), "c", True), Watched(exposed(treated), "t", False)]
    assert set(rule.estimate(watched)["background_source"]) == {source}


def tallied(data, kills=(), bouts=()):
    """Tallies; kills are (effector, target, share), bouts (effector, target, start, end)."""
    names = ["effector_track_id", "target_track_id", "share"]
    rows = pd.DataFrame(list(kills), columns=names)
    rows = rows.assign(fov="A", effector_population="N", target_population="T", death_frame=10)
    made = schemas.filled(schemas.Kills, rows.assign(first_contact_frame=4, last_contact_frame=6))
    names = ["track_id_a", "track_id_b", "start_frame", "end_frame"]
    begun = pd.DataFrame(list(bouts), columns=names)
    begun = schemas.filled(schemas.Bouts, begun.assign(fov="A", population_a="N", population_b="T"))
    return CellTallies()(data, kills=made, bouts=begun)


def test_a_share_of_exactly_one_half_is_a_victim_of_both():
    data = field([cell("T", 1, death=10), cell("N", 1), cell("N", 2), cell("N", 3)], [(4, 1, 1)])
    made = tallied(data, [(1, 1, 0.5), (2, 1, 0.5 - 1e-12), (3, 1, 0.49)])["effectors"]
    assert made["n_victims"].tolist() == [1, 1, 0]
    third = tallied(data, [(1, 1, 0.5), (2, 1, 0.3), (3, 1, 0.2)])["effectors"]
    assert third["n_victims"].tolist() == [1, 0, 0]


@pytest.mark.parametrize(("start", "counts"), [(9, 1), (10, 0), (11, 0)])
@pytest.mark.parametrize("who", ["T", "N"])
def test_a_bout_that_begins_in_the_frame_of_a_death_is_with_a_body(start, counts, who):
    cells = [cell(p, 1, death=10 if p == who else None) for p in "TN"]
    made = tallied(field(cells, []), bouts=[(1, 1, start, 12)])
    assert made["effectors"]["n_bouts"].tolist() == [counts]
    assert made["targets"]["n_hits"].tolist() == [counts]


# --- deaths


def lives(probabilities, time=EVEN, algorithm=None, **tracks):
    """Deaths and fates of one target with these alive_probabilities, nan where not detected."""
    p = np.asarray(probabilities, float)
    frames = np.flatnonzero(~np.isnan(p))
    rows = {"fov": "A", "population": "T", "frame": frames, "label": 1}
    viability = schemas.filled(schemas.Viability, {**rows, "alive_probability": p[frames]})
    points = points_of(frames, time, (("T", 1),))
    track = {"fov": "A", "population": ["T"], "track_id": 1, "first_frame": frames[0]}
    track |= {"last_frame": frames[-1], "end_reason": "film_end"}
    table = schemas.filled(schemas.Tracks, track | tracks)
    made = (algorithm or HysteresisDeaths())(viability=viability, track_points=points, tracks=table)
    return made["deaths"], made["fates"]


def test_the_last_frame_alive_is_the_last_one_seen():
    """Alive in 0 to 4, not detected in 5 and 6, dead from 7 on."""
    alive = [0.95] * 5 + [np.nan] * 2 + [0.02] * 6
    for algorithm in (HysteresisDeaths(), ChangePointDeaths()):
        deaths, _ = lives(alive, algorithm=algorithm)
        assert deaths[["last_alive_frame", "frame"]].values.tolist() == [[4, 7]]


@pytest.mark.parametrize(
    ("time", "n_dead", "died"),
    [
        (EVEN, 3, True),
        (EVEN, 2, False),
        (SLOW, 2, True),  # half the rate
        (SLOW, 1, False),
        (np.arange(30.0), 5, True),
        (np.arange(30.0), 4, False),
        (np.full(30, np.nan), 3, True),
        (np.full(30, np.nan), 2, False),
    ],
)
def test_half_the_frame_rate_does_not_halve_what_counts_as_a_death(time, n_dead, died):
    """Dead for a while, then one frame undecided below which it does not fall, at the film's end."""
    alive = [0.95] * 6 + [0.02] * n_dead + [0.95]
    deaths, _ = lives(alive, time)
    assert (len(deaths) == 1) == died


def body(alive, population="T", missing=1, time=EVEN, off=3.0, **fields):
    """A target lost after frame 5, and a dead cell that begins `missing` + 1 frames later."""
    begins = 6 + missing
    seen = {("T", 1): range(6), (population, 2): range(begins, begins + 8)}
    rows, points, tracks = [], [], []
    for (name, track), frames in seen.items():
        p = alive if track == 1 else 0.02
        key = {"fov": "A", "population": name, "label": track}
        rows += [{**key, "frame": f, "alive_probability": p} for f in frames]
        place = {**AT, "x_um": 9.0 + off * (track - 1)}
        points += [
            {**key, **place, "frame": f, "track_id": track, "time_min": time[f]} for f in frames
        ]
        ends = {"first_frame": frames[0], "last_frame": frames[-1]}
        reason = {"end_reason": "lost" if track == 1 else "film_end"}
        tracks.append({"fov": "A", "population": name, "track_id": track, **ends, **reason})
    made = HysteresisDeaths(**fields)(
        viability=schemas.filled(schemas.Viability, rows),
        track_points=schemas.filled(schemas.TrackPoints, points),
        tracks=schemas.filled(schemas.Tracks, tracks),
    )
    return made["deaths"]


@pytest.mark.parametrize(("alive", "died"), [(0.55, 1), (0.7, 1), (0.5, 0), (0.45, 0)])
def test_a_body_needs_a_cell_that_was_more_likely_alive_than_not(alive, died):
    assert len(body(alive)) == died


def test_a_body_is_of_the_same_population():
    assert len(body(0.95)) == 1
    assert not len(body(0.95, population="N"))


@pytest.mark.parametrize(
    ("missing", "time", "found"),
    [(2, EVEN, 1), (3, EVEN, 0), (1, SLOW, 1), (2, SLOW, 0), (2, np.full(30, np.nan), 1)],
)
def test_a_body_is_found_within_five_minutes(missing, time, found):
    assert len(body(0.95, missing=missing, time=time)) == found


def test_a_body_is_not_looked_for_across_a_pause():
    time = np.where(np.arange(30) < 6, 2.0 * np.arange(30), 2.0 * np.arange(30) + 60)
    assert not len(body(0.95, missing=0, time=time))


@pytest.mark.parametrize(("off", "found"), [(6.0, 1), (6.01, 0)])
def test_a_body_lies_within_reach(off, found):
    assert len(body(0.95, off=off)) == found


@pytest.mark.parametrize(("grey", "dead"), [(10.0, False), (10.0001, True)])
def test_a_signal_of_exactly_the_threshold_is_alive(grey, dead):
    """`threshold`: signal *above* which a cell is dead; the probability is 0.5 there."""
    cells = schemas.filled(schemas.Cells, {"label": [1, 2], "PI_median": [1.0, grey]})
    made = MarkerThreshold(threshold=10.0)(cells=cells, marker="PI")["viability"]
    assert made["dead"].tolist() == [False, dead]
    assert made["alive_probability"][1] == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize(("low", "died"), [(0.4, 0), (0.3999, 1)])
def test_a_cell_dies_below_the_lower_level_and_not_at_it(low, died):
    """`falls below`: a cell at exactly 0.4 stays what it was."""
    assert len(lives([0.95] * 6 + [low] * 6)[0]) == died


@pytest.mark.parametrize(("high", "died"), [(0.6, 1), (0.6001, 0)])
def test_a_cell_lives_again_above_the_upper_level_and_not_at_it(high, died):
    """`rises above`: two dead frames and six at exactly 0.6 are eight dead ones, a death."""
    assert len(lives([0.95] * 6 + [0.02] * 2 + [high] * 6)[0]) == died


@pytest.mark.parametrize(("sure", "died"), [(0.6, 0), (0.6001, 1)])
def test_a_death_needs_a_frame_alive_beyond_doubt(sure, died):
    deaths, fates = lives([sure] * 6 + [0.02] * 6)
    assert len(deaths) == died and fates["dead_at_first_sight"].tolist() == [not died]


def test_a_track_that_lives_on_after_a_death_is_flagged_and_said(caplog):
    """Sixteen dead frames, then 27 living ones: the track went over to another cell."""
    time = 2.0 * np.arange(60)
    deaths, fates = lives([0.95] * 5 + [0.02] * 16 + [0.95] * 27, time)
    assert not len(deaths) and fates["recovered"].tolist() == [True]
    assert "T 1" in caplog.text and "two cells in one track" in caplog.text
    for harmless in (
        [0.95] * 48,
        [0.95] * 20 + [0.02] * 28,
        [0.95] * 20 + [0.02] * 2 + [0.95] * 20,
    ):
        assert lives(harmless, time)[1]["recovered"].tolist() == [False]


def test_most_tracks_dead_at_first_sight_are_said(caplog):
    lives([0.02] * 9)
    assert "1 of 1 tracks are dead at first sight" in caplog.text


def test_time_with_any_target_counts_each_minute_once():
    """Two targets touched in frames 3 and 4, one in 5: five contact frames, three of touching."""
    touching = [(f, 1, t) for f in (3, 4) for t in (1, 2)] + [(5, 1, 1)]
    made = tallied(field([cell("T", 1), cell("T", 2), cell("N", 1)], touching))["effectors"]
    assert made[["contact_min", "touching_min"]].values.tolist() == [[10, 6]]


def test_touches_without_a_track_are_counted_and_said(caplog):
    points = points_of([0], EVEN)
    rows = {"population_a": "N", "label_a": [1, 7], "population_b": "T", "label_b": 1}
    touches = schemas.filled(schemas.Touches, {"fov": "A", **rows})
    made = ContactJoin()(track_points=points, touches=touches)
    assert made["n_untracked"] == 1 and len(made["contacts"]) == 1
    assert "1 of 2 touches are of cells without a track" in caplog.text


@pytest.mark.parametrize("min_share", [0.0, 0.1, 0.4])
def test_credits_of_a_death_sum_to_the_chance_that_an_effector_did_it(min_share):
    """Three effectors touch for 6, 3 and 1 frames: what is dropped as too small is not lost."""
    touching = [(f, e, 1) for e, n in ((1, 6), (2, 3), (3, 1)) for f in range(9 - n, 9)]
    cells = [
        cell("T", 1, death=10),
        *(cell("T", n) for n in (2, 3)),
        *(cell("N", n) for n in (1, 2, 3)),
    ]
    rule = KillLikelihood(min_share=min_share, max_p_background=1.0, credit_by="expected")
    made = rule(field(cells, touching))
    left = 1 - made["deaths"]["p_background"].iloc[0]
    assert made["kills"]["credit"].sum() == pytest.approx(left) and 0 < left < 1
    assert len(made["kills"]) == {0.0: 3, 0.1: 2, 0.4: 1}[min_share] or min_share == 0.1
