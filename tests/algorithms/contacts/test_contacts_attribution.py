"""Kills by likelihood: against a world simulated here, scipy's distributions, and by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.attack_model import AttackModel, Histories
from cyto_kedro.algorithms.contacts.attribution import KillLikelihood, model_of
from cyto_kedro.algorithms.contacts.kills import Watched

ROLES = {"N": "effector", "T": "target"}
N_FRAMES = 60


def field(
    contacts: list[tuple[int, int, int]],
    died: dict[int, int],
    n_targets: int,
    *,
    interval: float | None = 2.0,
    effector_deaths: dict[int, int] | None = None,
    fov: str = "A",
    n_frames: int = N_FRAMES,
) -> dict:
    """Tables of contacts (frame, effector, target) and deaths {target: frame}."""
    time = None if interval is None else interval * np.arange(n_frames)
    minute = np.full(n_frames, np.nan) if time is None else time
    rows = []
    everyone = [("T", i + 1, died.get(i + 1)) for i in range(n_targets)]
    effectors = {e for _, e, _ in contacts} | set(effector_deaths or {})
    everyone += [("N", e, (effector_deaths or {}).get(e)) for e in effectors]
    for population, track, death in everyone:
        rows.append(
            {
                "fov": fov, "population": population, "track_id": track, "first_frame": 0,
                "last_frame": n_frames - 1, "dead_at_first_sight": False,
                "died": death is not None, "death_frame": pd.NA if death is None else death,
                "entry_min": minute[0], "exit_min": minute[-1 if death is None else death],
                "end_reason": "film_end",
            }
        )  # fmt: skip
    fates = (
        schemas.conform(schemas.Fates, pd.DataFrame(rows)) if rows else schemas.empty(schemas.Fates)
    )
    dead = fates[fates["died"]]
    frame = dead["death_frame"].astype(int)
    deaths = dead[["fov", "population", "track_id"]].assign(
        frame=frame, time_min=minute[frame], n_killers=0, last_alive_frame=frame - 1
    )
    touch = pd.DataFrame(contacts, columns=["frame", "track_id_a", "track_id_b"]).astype(int)
    touch = touch.assign(
        fov=fov, population_a="N", population_b="T", time_min=minute[touch["frame"]]
    )
    for name in (
        "distance_px",
        "distance_um",
        "contact_length_px",
        "contact_length_um",
        "overlap_px",
    ):
        touch[name] = 1.0
    return {
        "fates": fates,
        "deaths": schemas.conform(schemas.Deaths, deaths.reset_index(drop=True)),
        "contacts": schemas.conform(schemas.Contacts, touch),
        "populations": ROLES,
        "time_min": time,
    }


def law(**numbers: float) -> pd.DataFrame:
    """A row of models, frames of 2 minutes."""
    given_ = {
        "evidence": 1.0,
        "lethal_min": 20.0,
        "delay_min": 10.0,
        "hits": 1.0,
        "delay_cv": 0.4,
    } | numbers
    rate = given_.pop("background_per_min", 0.001)
    row = given_ | {
        "target_population": "T",
        "condition": "",
        "background_per_frame": 2 * rate,
        "lethal_frames": given_["lethal_min"] / 2,
        "delay_frames": given_["delay_min"] / 2,
    }
    return pd.DataFrame([row])


def judge(data: dict, models: pd.DataFrame | None = None, **fields) -> tuple[pd.DataFrame, ...]:
    given_ = data if models is None else {**data, "attack_models": models}
    found = KillLikelihood(**fields)(given_)
    return (
        schemas.check(schemas.Kills, found["kills"]),
        schemas.check(schemas.Deaths, found["deaths"]),
    )


def world(rng: np.random.Generator, hits: int, n: int, rate: float) -> tuple[dict, np.ndarray]:
    """Targets hit at random while touched: dead `hits` hits and a gamma delay later, or by themselves.

    Returns the field and, per target, the effector of the fatal hit where that killed it (else 0).
    """
    contacts, died, killer = [], {}, np.zeros(n + 1, int)
    touching = rng.random((n, 2)) < 0.7
    for target in range(1, n + 1):
        visits = []
        for e in (1, 2):
            if touching[target - 1, e - 1]:
                start = int(rng.integers(0, 45))
                visits += [(f, e) for f in range(start, start + int(rng.integers(3, 15)))]
        contacts += [(f, 2 * target + e, target) for f, e in visits]
        # hits anywhere in the two minutes up to a frame of contact, one in ten minutes
        hit = sorted(
            (2 * f - 2 * rng.random(), 2 * target + e)
            for f, e in visits
            for _ in range(rng.poisson(2 / 10))
        )
        own = rng.exponential(1 / rate)
        attack = np.inf
        if len(hit) >= hits:
            attack = hit[hits - 1][0] + rng.gamma(6.25, 12 / 6.25)
        when = int(np.ceil(min(own, attack) / 2)) if min(own, attack) < 2 * (N_FRAMES - 1) else 0
        if when > 0:
            died[target] = when
            killer[target] = hit[hits - 1][1] if attack < own else 0
    return field(contacts, died, n), killer


@pytest.mark.parametrize("hits", [1, 3])
def test_the_law_is_learnt_from_a_world_made_otherwise(hits):
    data, killer = world(np.random.default_rng(5), hits, 500, 0.002)
    algorithm = KillLikelihood()
    models = algorithm.estimate([Watched(algorithm.exposure(**data), "c", False)])
    schemas.check(schemas.AttackModels, models)
    found, evidence = model_of(models, "T", "c", 2.0)
    assert evidence > 0.99
    assert found.lethal_min == pytest.approx(10 * hits, rel=0.25)
    assert found.delay_min == pytest.approx(12, rel=0.15)
    assert found.background_per_min == pytest.approx(0.002, rel=0.25)
    assert found.hits < 1.5 if hits == 1 else 2 < found.hits < 5
    assert (models["gain"] > 20).all() and models["condition"].tolist() == ["", "c"]
    kills, deaths = judge(data, models)
    true_background = (killer[deaths["track_id"]] == 0).mean()
    # calibrated: the chances add up to what happened
    assert deaths["p_background"].mean() == pytest.approx(true_background, abs=0.06)
    credit = kills["credit"].sum() + (1 - deaths["p_background"])[deaths["n_killers"] == 0].sum()
    assert credit == pytest.approx((killer > 0).sum(), rel=0.15)
    sure = kills[kills["credit"] > 0.9] if hits == 1 else kills[:0]
    right = sure["effector_track_id"] == killer[sure["target_track_id"]]
    assert hits > 1 or right.mean() > 0.85


def test_posterior_against_scipys_distributions():
    contacts = [(f, 1, 1) for f in (3, 4, 5)] + [(f, 2, 1) for f in (5, 6, 7, 8)]
    kills, deaths = judge(field(contacts, {1: 10}, 1), law(), credit_by="expected", min_share=0)
    threshold, delay = stats.expon(scale=20), stats.gamma(6.25, scale=10 / 6.25)
    contact, part, who = 0.0, {1: 0.0, 2: 0.0}, {3: [1], 4: [1], 5: [1, 2], 6: [2], 7: [2], 8: [2]}
    lived = 1.0
    for frame, effectors in who.items():
        more = contact + 2 * len(effectors)
        fatal = threshold.cdf(more) - threshold.cdf(contact)
        middle = 2 * frame - 1
        for e in effectors:
            share = fatal * (delay.cdf(20 - middle) - delay.cdf(18 - middle)) / len(effectors)
            part[e] += share
        lived -= fatal * delay.cdf(18 - middle)
        contact = more
    own = (1 - np.exp(-0.001 * 2)) * lived
    total = sum(part.values())
    assert deaths["p_background"][0] == pytest.approx(own / (own + total))
    assert kills["share"].tolist() == pytest.approx([part[1] / total, part[2] / total])
    assert kills["credit"].sum() == pytest.approx(1 - own / (own + total))
    assert kills[["delay_min", "since_last_contact_min"]].to_numpy().tolist() == [[14, 10], [10, 4]]
    best, _ = judge(field(contacts, {1: 10}, 1), law())
    assert best["effector_track_id"].tolist() == [2] and best["share"].tolist() == [1.0]


def test_the_likelihood_is_the_formula_row_by_row_whatever_was_asked_before():
    rng = np.random.default_rng(8)
    data, _ = world(rng, 1, 40, 0.01)
    minute = np.cumsum(rng.uniform(1.9, 2.1, N_FRAMES))  # no two steps are alike
    for times in (data["time_min"] / 3, minute):
        exposure = KillLikelihood().exposure(**{**data, "time_min": times})
        histories = Histories([exposure, exposure])
        m, died = histories.moments, histories.died
        for numbers in [(9, 2.5, 6, 0.4, 0.002), (9, 2.5, 7, 0.4, 0.002), (9, 2.5, 6, 0.4, 0.002)]:
            model = AttackModel(*numbers)
            threshold = stats.gamma(model.hits, scale=model.lethal_min / model.hits)
            shape = model.delay_cv**-2
            delay = stats.gamma(shape, scale=model.delay_min / shape)
            expected = 0.0
            for target in range(len(histories)):
                mine = m["target"] == target
                fatal = threshold.cdf(m["high"][mine]) - threshold.cdf(m["low"][mine])
                entry, a, b = (getattr(histories, x)[target] for x in ("entry", "before", "at"))
                seen = [delay.cdf(when - m["time"][mine]) for when in (a, b)]
                lives = 1 - (fatal * seen[0]).sum()
                dies = (fatal * (seen[1] - seen[0])).sum() - np.expm1(-0.002 * (b - a)) * lives
                expected += np.log(dies if died[target] else lives) - 0.002 * (a - entry)
            assert histories.log_likelihood(model) == pytest.approx(expected, rel=1e-7)


def test_a_fixed_dose_is_shared_by_contact_time():
    # 10 frames of effector 1, then 5 of effector 2: the dose of 30 minutes is reached at the end
    contacts = [(f, 1, 1) for f in range(10)] + [(f, 2, 1) for f in range(10, 15)]
    models = law(lethal_min=28.0, hits=50.0, delay_min=6.0, delay_cv=0.2)
    kills, _ = judge(field(contacts, {1: 18}, 1), models)
    assert dict(zip(kills["effector_track_id"], kills["share"], strict=True)) == pytest.approx(
        {1: 2 / 3, 2: 1 / 3}, abs=0.05
    )


def test_no_contact_late_contact_and_dead_effectors():
    contacts = [(f, 1, 2) for f in range(30, 33)] + [(f, 2, 3) for f in range(5, 12)]
    contacts += [(f, 3, 4) for f in range(5, 12)]
    data = field(contacts, {1: 10, 2: 20, 3: 16, 4: 16}, 5, effector_deaths={3: 2})
    kills, deaths = judge(data, law())
    assert kills["target_track_id"].tolist() == [3]
    by = deaths[deaths["population"] == "T"].set_index("track_id")
    # contact after the death, and with a dead effector, is none
    assert by["verdict"].to_dict() == {1: "no_contact", 2: "no_contact", 3: "kill", 4: "no_contact"}
    assert by.loc[[1, 2, 4], "p_background"].tolist() == [1, 1, 1]
    assert deaths.query("population == 'N'")["verdict"].tolist() == ["not_a_target"]
    shy, judged = judge(data, law(background_per_min=0.5))
    assert not len(shy) and "background" in set(judged["verdict"])


def test_control_fields_give_the_background():
    rng = np.random.default_rng(1)
    died = {t: int(f) for t, f in enumerate(rng.integers(1, 59, 12), start=1)}
    control = field([], died, 100, fov="C")
    treated, _ = world(rng, 1, 50, 0.01)
    algorithm = KillLikelihood()
    watched = [
        Watched(algorithm.exposure(**control), "control", True),
        Watched(algorithm.exposure(**treated), "treated", False),
    ]
    models = algorithm.estimate(watched)
    time = 2 * (sum(died.values()) + 88 * 59)
    assert set(models["background_source"]) == {"control"} and models["control_deaths"][0] == 12
    assert models["background_per_h"].to_numpy() == pytest.approx(60 * 12.5 / time)
    assert models["condition"].tolist() == ["", "control", "treated"]
    # a control with effectors in contact is no measure of deaths without them
    touched = field([(3, 1, 1)], died, 100, fov="C")
    watched[0] = Watched(algorithm.exposure(**touched), "control", True)
    assert set(algorithm.estimate(watched)["background_source"]) == {"same_fields"}
    fixed = KillLikelihood(background_per_h=0.3, hits=2).estimate(watched)
    assert fixed["background_per_h"].to_numpy() == pytest.approx(0.3)
    assert (fixed["hits"] == 2).all() and set(fixed["background_source"]) == {"assumed"}


def test_harmless_effectors_are_acquitted():
    rng = np.random.default_rng(3)
    data, _ = world(rng, 40, 150, 0.002)  # forty hits never come together
    kills, deaths = judge(data)
    assert len(deaths) > 20 and len(kills) == 0
    models = KillLikelihood().estimate([Watched(KillLikelihood().exposure(**data), "", False)])
    assert models["gain"].max() < 3 and models["evidence"].max() < 0.5


def test_untimed_films_need_no_other_parameters():
    contacts = [(f, 1, 1) for f in range(4, 9)]
    kills, deaths = judge(field(contacts, {1: 10}, 3, interval=None))
    assert kills["share"].tolist() == [1.0] and 0 <= deaths["p_background"][0] < 1
    assert kills[["death_min", "delay_min", "since_last_contact_min"]].isna().all(axis=None)
    exposure = KillLikelihood().exposure(**field(contacts, {1: 10}, 3, interval=None))
    models = KillLikelihood().estimate([Watched(exposure, "", False)])
    schemas.check(schemas.AttackModels, models)
    assert models[["lethal_min", "delay_min", "background_per_h"]].isna().all(axis=None)
    same = KillLikelihood().exposure(**field(contacts, {1: 10}, 3))
    timed = KillLikelihood().estimate([Watched(same, "", False)])
    names = ["lethal_frames", "delay_frames", "background_per_frame"]
    assert models[names].to_numpy() == pytest.approx(timed[names].to_numpy())


def test_ordinary_cases():
    for data in (
        field([], {}, 0),
        field([], {}, 3),
        field([(2, 1, 1)], {}, 3),
        field([], {1: 4}, 1),
        field([(0, 1, 1)], {}, 1, n_frames=1),
    ):
        kills, deaths = judge(data)
        assert len(kills) == 0 and (deaths["n_killers"] == 0).all()
        assert set(deaths["verdict"]) <= {"no_contact"}
    empty = KillLikelihood().estimate([])
    schemas.check(schemas.AttackModels, empty)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["likeliest", "expected"]), st.floats(1, 10))
def test_shares_sum_to_one_and_names_do_not_matter(seed, credit_by, hits):
    rng = np.random.default_rng(seed)
    touching = np.argwhere(rng.random((20, 4, 4)) < 0.2)
    contacts = [(int(f), int(e) + 1, int(t) + 1) for f, e, t in touching]
    died = {t: int(rng.integers(1, 22)) for t in (1, 2, 3)}
    models, fields = law(hits=hits), {"credit_by": credit_by, "max_p_background": 1.0}
    kills, deaths = judge(field(contacts, died, 4), models, **fields)
    total = kills.groupby("target_track_id")["share"].sum()
    assert total.to_numpy() == pytest.approx(1) and deaths["p_background"].between(0, 1).all()
    assert set(total.index) == set(deaths.query("n_killers > 0")["track_id"])
    names = rng.permutation(4) + 11
    renamed = [(f, int(names[e - 1]), t) for f, e, t in contacts]
    again, _ = judge(field(renamed, died, 4), models, **fields)
    share = {
        (t, int(names[e - 1])): s
        for t, e, s in kills[["target_track_id", "effector_track_id", "share"]].to_numpy().tolist()
        for t, e in [(int(t), int(e))]
    }
    mine = again.set_index(["target_track_id", "effector_track_id"])["share"].to_dict()
    assert mine == pytest.approx(share)


def test_a_film_at_twice_the_rate_gives_nearly_the_same():
    contacts = [(f, 1, 1) for f in range(5, 12)] + [(f, 2, 1) for f in range(9, 15)]
    slow = field(contacts, {1: 18}, 1)
    # each frame of contact becomes two: the one before, and itself
    fast = field(
        [(2 * f - k, e, t) for f, e, t in contacts for k in (0, 1)], {1: 36}, 1,
        interval=1.0, n_frames=2 * N_FRAMES,
    )  # fmt: skip
    fast["deaths"]["last_alive_frame"] = 34
    one, two = (judge(each, law(), credit_by="expected") for each in (slow, fast))
    assert two[0]["share"].to_numpy() == pytest.approx(one[0]["share"].to_numpy(), abs=0.01)
    assert two[1]["p_background"][0] == pytest.approx(one[1]["p_background"][0], rel=0.05)


def test_priors_decide_where_there_are_no_deaths() -> None:
    """Without any contact or death, what is learnt is the prior (for the background: below it)."""
    rule = {"lethal_prior_min": 77.0, "delay_prior_min": 9.0, "background_prior_per_h": 0.4}
    data = field([], {}, 1, n_frames=2)

    def learn(**fields: float) -> pd.Series:
        algorithm = KillLikelihood(**fields)
        return algorithm.estimate([Watched(algorithm.exposure(**data), "", False)]).iloc[0]

    default, own = learn(), learn(**rule)
    assert own["lethal_min"] == pytest.approx(77, rel=0.05)
    assert own["delay_min"] == pytest.approx(9, rel=0.05)
    ratio = own["background_per_h"] / default["background_per_h"]
    assert 4 < ratio < 0.4 / 0.05 * 1.05
