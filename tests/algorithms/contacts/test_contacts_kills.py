"""Attribution of deaths: worked examples and a slow reference."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.kills import KillShares
from cyto_kedro.errors import ConfigError, InputError

ROLES = {"N": "effector", "T": "target", "X": "other"}


def deaths_of(frames: dict[int, int], interval_min: float | None = 2.0) -> pd.DataFrame:
    """Deaths of targets ``{track_id: frame}``."""
    if not frames:
        return schemas.empty(schemas.Deaths)
    table = pd.DataFrame({"track_id": list(frames), "frame": list(frames.values())})
    interval = np.nan if interval_min is None else interval_min
    table = table.assign(fov="A", population="T", time_min=table["frame"] * interval, n_killers=0)
    return schemas.conform(schemas.Deaths, table)


def attribute(deaths, contacts, roles=ROLES, **fields) -> tuple[pd.DataFrame, pd.DataFrame]:
    data = {"deaths": deaths, "contacts": contacts, "populations": roles}
    result = KillShares(**fields)(data)
    return (
        schemas.check(schemas.Kills, result["kills"]),
        schemas.check(schemas.Deaths, result["deaths"]),
    )


def shares(kills: pd.DataFrame) -> dict[int, float]:
    return dict(zip(kills["effector_track_id"], kills["share"], strict=True))


# effector 1 touches in frames 4-7, effector 2 in 8-9; the target dies in frame 10
TWO = [(f, "N", 1, "T", 1) for f in range(4, 8)] + [(f, "N", 2, "T", 1) for f in (8, 9)]


def test_modes(make_contacts):
    deaths, contacts = deaths_of({1: 10}), make_contacts(TWO)
    kills, filled = attribute(deaths, contacts, half_life_min=None)
    assert shares(kills) == pytest.approx({1: 4 / 6, 2: 2 / 6})
    assert filled["n_killers"].tolist() == [2]
    first = kills.iloc[0]
    assert (first["death_frame"], first["death_min"]) == (10, 20.0)
    assert (first["contact_frames"], first["first_contact_frame"]) == (4, 4)
    assert first["last_contact_frame"] == 7
    assert shares(attribute(deaths, contacts, mode="last")[0]) == {2: 1.0}
    assert shares(attribute(deaths, contacts, mode="first")[0]) == {1: 1.0}
    assert shares(attribute(deaths, contacts, mode="longest")[0]) == {1: 1.0}


def test_recent_contact_weighs_more(make_contacts):
    # ages in minutes: effector 1 at 12, 10, 8, 6; effector 2 at 4, 2; half-life 2 min
    kills, _ = attribute(deaths_of({1: 10}), make_contacts(TWO), half_life_min=2, min_share=0)
    one, two = (sum(2.0**-k for k in ages) for ages in ((6, 5, 4, 3), (2, 1)))
    assert shares(kills) == pytest.approx({1: one / (one + two), 2: two / (one + two)})
    kept, filled = attribute(
        deaths_of({1: 10}), make_contacts(TWO), half_life_min=2, min_share=0.25
    )
    assert shares(kept) == {2: 1.0} and filled["n_killers"].tolist() == [1]


def test_window_is_closed_and_ends_at_the_death(make_contacts):
    contacts = make_contacts([(f, "N", f, "T", 1) for f in (4, 5, 10, 11)])
    kills, _ = attribute(deaths_of({1: 10}), contacts, window_min=10, min_share=0)
    assert sorted(shares(kills)) == [5, 10]


def test_sides_roles_and_targets_are_told_apart(make_contacts):
    contacts = make_contacts(
        [
            (9, "T", 1, "N", 5),  # the target on side a
            (9, "N", 6, "T", 1),
            (9, "T", 1, "T", 2),
            (9, "T", 1, "X", 3),
            (9, "N", 7, "T", 2),
            (9, "N", 8, "T", 9),  # does not die
        ]
    )
    kills, filled = attribute(deaths_of({1: 10, 2: 9, 3: 9}), contacts)
    found = set(zip(kills["target_track_id"], kills["effector_track_id"], strict=True))
    assert found == {(1, 5), (1, 6), (2, 7)}
    assert set(kills["effector_population"]) == {"N"}
    assert filled["n_killers"].tolist() == [2, 1, 0]


def test_uncalibrated_time_uses_frames_or_says_so(make_contacts):
    deaths, contacts = deaths_of({1: 10}, None), make_contacts(TWO, interval_min=None)
    kills, _ = attribute(deaths, contacts, window_frames=2)
    assert shares(kills) == {2: 1.0} and kills["death_min"].isna().all()
    with pytest.raises(ConfigError, match=r"window_min=60.*window_frames"):
        attribute(deaths, contacts)
    with pytest.raises(ValueError, match="window"):
        KillShares(window_min=None)


def test_ordinary_cases(make_contacts):
    for deaths, contacts in (
        (deaths_of({}), make_contacts([])),
        (deaths_of({}), make_contacts(TWO)),
        (deaths_of({1: 10}), make_contacts([])),
        (deaths_of({4: 10}), make_contacts(TWO)),
        (deaths_of({1: 2}), make_contacts(TWO)),
    ):
        kills, filled = attribute(deaths, contacts)
        assert len(kills) == 0 and (filled["n_killers"] == 0).all() and len(filled) == len(deaths)
    with pytest.raises(InputError, match="unknown population 'N'"):
        attribute(deaths_of({1: 10}), make_contacts(TWO), roles={"T": "target"})


@pytest.mark.parametrize(("n", "min_share"), [(2, 0.5), (3, 1 / 3), (7, 1 / 7), (10, 0.1)])
@pytest.mark.parametrize("n_others", range(4))
@pytest.mark.parametrize("half_life", [5.0, 7.3])
def test_equal_contact_is_an_equal_share_whatever_else_is_in_the_table(
    make_contacts, n, min_share, n_others, half_life
):
    """Other targets were touched by effectors named before: sums must not run through them."""
    rows = [(f, "N", 100 + e, "T", 1) for e in range(n_others) for f in range(3, 9)]
    rows += [(f, "N", e + 1, "T", 2) for e in range(n) for f in (4, 6, 7, 9)]
    kills, _ = attribute(
        deaths_of({1: 10, 2: 10}),
        make_contacts(rows),
        window_min=16,
        half_life_min=half_life,
        min_share=min_share,
    )
    found = kills.loc[kills["target_track_id"] == 2, "share"]
    assert found.tolist() == pytest.approx([1 / n] * n, abs=1e-12)


def test_a_frame_that_stands_for_longer_weighs_more(make_contacts):
    """Frames a minute apart, then three: one long frame of contact is three short ones."""
    time = np.array([0.0, 1, 2, 3, 4, 5, 8, 9, 10])  # frame 5 lasts three minutes
    contacts = make_contacts([(f, "N", 1, "T", 1) for f in (2, 3, 4)] + [(5, "N", 2, "T", 1)])
    contacts["time_min"] = time[contacts["frame"]]
    deaths = deaths_of({1: 8}).assign(time_min=10.0)
    data = {"deaths": deaths, "contacts": contacts, "populations": ROLES}
    rule = KillShares(half_life_min=None)
    kills = rule(data, time_min=time)["kills"]
    assert shares(kills) == pytest.approx({1: 0.5, 2: 0.5})
    assert shares(rule(data)["kills"]) == pytest.approx({1: 0.75, 2: 0.25})  # times not told


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["share", "last", "first", "longest"]),
    st.floats(0, 0.5),
)
def test_shares_sum_to_one_and_match_a_slow_reference(seed, mode, min_share):
    rng = np.random.default_rng(seed)
    touching = rng.random((20, 4, 4)) < 0.15  # frame, effector, target
    rows = [(f, "N", e + 1, "T", t + 1) for f, e, t in np.argwhere(touching).tolist()]
    names = ["frame", "population_a", "track_id_a", "population_b", "track_id_b"]
    contacts = pd.DataFrame(rows, columns=names)
    contacts = contacts.assign(fov="A", time_min=2.0 * contacts["frame"])
    death = {t: int(rng.integers(0, 22)) for t in (1, 2, 3)}
    kills, filled = attribute(
        deaths_of(death), contacts, mode=mode, min_share=min_share, window_min=16, half_life_min=5
    )
    for t, frame in death.items():
        score = {}
        for e in range(4):
            f = np.flatnonzero(touching[:, e, t - 1])
            f = f[(f <= frame) & (2 * (frame - f) <= 16)]
            if len(f):
                score[e + 1] = {
                    "share": (0.5 ** (2 * (frame - f) / 5)).sum(),
                    "last": f.max(),
                    "first": -f.min(),
                    "longest": len(f),
                }[mode]
        best = max(score.values(), default=0)
        if mode != "share":
            score = {e: 1.0 for e, value in score.items() if value == best}
            best = 1.0
        total = sum(score.values())
        score = {e: v for e, v in score.items() if v / total >= min_share or v == best}
        expected = {e: v / sum(score.values()) for e, v in score.items()}
        mine = kills[kills["target_track_id"] == t]
        assert shares(mine) == pytest.approx(expected)
        assert not len(mine) or mine["share"].sum() == pytest.approx(1)
        assert filled.set_index("track_id").loc[t, "n_killers"] == len(expected)
