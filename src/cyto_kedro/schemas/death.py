"""Who is alive, who died when, who killed them."""

from __future__ import annotations

import pandas as pd
from pandera.typing import Series

from cyto_kedro.schemas.base import (
    END_REASONS,
    PerFov,
    PerPopulation,
    PerTrack,
    Table,
    known,
    nullable,
)

EVIDENCE = ("marker", "body", "person")
EVENTS = ("death", "contact", "kill")  # that a person may correct
VERDICTS = ("kill", "background", "no_contact", "not_a_target")
START_REASONS = ("film_start", "division", "entered")
BACKGROUND_SOURCES = ("control", "same_fields", "assumed")
TARGET_FATES = ("killed", "background", "no_contact", "died", "dead_at_first_sight", "alive")


class Viability(PerPopulation, key="fov population frame label"):
    """Death-marker reading of a cell in a frame; needs no time, works on stills."""

    frame: Series[int] = known(ge=0)
    label: Series[int] = known(ge=1)
    marker_signal: Series[float]
    alive_probability: Series[float] = known(ge=0, le=1)
    dead: Series[bool]


class Fates(PerTrack, key="fov population track_id"):
    """One row per track: did it die in view (`died`), or is it censored at `last_frame`?"""

    first_frame: Series[int] = known(ge=0)
    last_frame: Series[int] = known(ge=0)
    dead_at_first_sight: Series[bool]
    died: Series[bool]
    death_frame: Series[pd.Int64Dtype] = nullable()
    entry_min: Series[float] = nullable()
    exit_min: Series[float] = nullable("death, or last frame seen")
    end_reason: Series[str] = known(isin=END_REASONS)
    start_reason: Series[str] | None = known(
        "when its clock starts: a daughter's at the division", isin=START_REASONS
    )
    recovered: Series[bool] | None = known(
        "called dead for as long as a death takes, and alive again for longer: two cells "
        "in one track (an identity switch), or the light of another cell; no death is counted"
    )
    past_track_id: Series[pd.Int64Dtype] | None = nullable(
        "the ended track that it is the rest of: of one dead at first sight a cell lost alive (its "
        "death) or a dead one that was lost again, of a living one a living cell that was lost"
    )


class Deaths(PerTrack, key="fov population track_id"):
    """Observed transitions from alive to dead; at most one per track."""

    frame: Series[int] = known("first frame called dead", ge=0)
    time_min: Series[float] = nullable()
    n_killers: Series[int] = known("effectors the death is attributed to", ge=0)
    # Tables made by hand, or truth, may lack these.
    last_alive_frame: Series[int] | None = known(
        "last frame seen before the death: it lies between the two", ge=0
    )
    evidence: Series[str] | None = known(
        "marker: its rise was seen; body: track lost, dead cell there; person: set by hand",
        isin=EVIDENCE,
    )
    body_track_id: Series[pd.Int64Dtype] | None = nullable(
        "the dead cell's track, where evidence is body"
    )
    p_background: Series[float] | None = nullable(
        "chance that no effector did it; null: not estimated", ge=0, le=1
    )
    verdict: Series[str] | None = known("what the death is put to", isin=VERDICTS)


class EventCorrections(
    PerPopulation,
    key="fov population event frame y_px x_px other_population other_y_px other_x_px",
):
    """What a person says of events, by place and time: it holds for whatever track is there.

    A kill stands in the partition of its target, and the effector is the other cell.
    """

    event: Series[str] = known("what is spoken of", isin=EVENTS)
    frame: Series[int] = known("of the death, or first of the contact; else any of the cell", ge=0)
    y_px: Series[float] = known("where the cell is in that frame")
    x_px: Series[float]
    happened: Series[bool] = known("false: this cell does not die, touch, or is not killed so")
    # Of deaths alone a table may lack these.
    other_population: Series[str] | None = known("of the other cell; empty where event is death")
    other_y_px: Series[float] | None = nullable("where the other cell is in that frame")
    other_x_px: Series[float] | None = nullable("the same")
    last_frame: Series[pd.Int64Dtype] | None = nullable(
        "of the contact, frame included; empty: that frame alone", ge=0
    )


class Kills(
    PerFov, key="fov target_population target_track_id effector_population effector_track_id"
):
    """A death attributed to an effector; the shares of one death sum to 1."""

    target_population: Series[str]
    target_track_id: Series[int] = known(ge=1)
    effector_population: Series[str]
    effector_track_id: Series[int] = known(ge=1)
    death_frame: Series[int] = known(ge=0)
    death_min: Series[float] = nullable()
    share: Series[float] = known(gt=0, le=1)
    contact_frames: Series[int] = known("in the window before death", ge=1)
    first_contact_frame: Series[int] = known(ge=0)
    last_contact_frame: Series[int] = known(ge=0)
    # Truth lacks these.
    p_background: Series[float] | None = nullable(
        "chance that no effector did it; null: not estimated", ge=0, le=1
    )
    credit: Series[float] | None = nullable(
        "expected part in the death, (1 - p_background) times the posterior share", ge=0, le=1
    )
    delay_min: Series[float] | None = nullable("from the first contact to the death")
    since_last_contact_min: Series[float] | None = nullable(
        "from the last contact to the death; 0: still in contact"
    )
    by_hand: Series[bool] | None = known("a person named the killer")


class AttackModels(Table, key="target_population condition"):
    """What was learnt of killing: per target population, of all fields and of each condition.

    The law is in `cyto_kedro.algorithms.contacts.attack_model`. Frames are of the median interval.
    """

    target_population: Series[str]
    condition: Series[str] = known("empty: all fields together")
    lethal_frames: Series[float] = known("mean contact time until the fatal hit", gt=0)
    lethal_min: Series[float] = nullable("the same in minutes", gt=0)
    hits: Series[float] = known("1: any minute may kill; more: damage adds up", gt=0)
    delay_frames: Series[float] = known("mean time from the fatal hit to death", gt=0)
    delay_min: Series[float] = nullable("the same in minutes", gt=0)
    delay_cv: Series[float] = known("sd over mean of that time", gt=0)
    background_per_frame: Series[float] = known("deaths per target and frame", ge=0)
    background_per_h: Series[float] = nullable("the same per hour", ge=0)
    background_source: Series[str] = known(
        "control (effector-free control fields), same_fields (all time at risk), assumed",
        isin=BACKGROUND_SOURCES,
    )
    gain: Series[float] = known(
        "log likelihood over that of no killing at all; below about 3: no evidence"
    )
    evidence: Series[float] = known("chance that contact kills at all", ge=0, le=1)
    n_targets: Series[int] = known("targets seen alive", ge=0)
    n_deaths: Series[int] = known("of these", ge=0)
    risk_frames: Series[float] = known("frames of targets at risk", ge=0)
    contact_frames: Series[float] = known("summed over effectors", ge=0)
    expected_background: Series[float] = known("deaths by themselves", ge=0)
    control_deaths: Series[int] = known("in effector-free control fields", ge=0)
    control_frames: Series[float] = known("frames at risk there", ge=0)


class EffectorTallies(PerTrack, key="fov population track_id", called="effectors"):
    """One row per effector: what it touched and killed."""

    first_frame: Series[int] = known(ge=0)
    last_frame: Series[int] = known("alive; its death ends its row", ge=0)
    observed_min: Series[float] = nullable("time seen alive")
    died: Series[bool]
    n_targets: Series[int] = known("different targets touched", ge=0)
    n_bouts: Series[int] = known("bouts with targets", ge=0)
    contact_frames: Series[int] = known("summed over targets", ge=0)
    contact_min: Series[float] = nullable(
        "summed over targets: two touched at once count twice, so it may be above observed_min"
    )
    touching_min: Series[float] | None = nullable(
        "time in contact with any target, each minute once"
    )
    kills: Series[float] = known("sum of its shares", ge=0)
    expected_kills: Series[float] = nullable("sum of its credits", ge=0)
    n_victims: Series[int] = known("deaths of which its share is at least half", ge=0)
    serial_killer: Series[bool] = known("two victims or more")
    bouts_per_kill: Series[float] = nullable("n_bouts over kills")
    first_contact_to_death_min: Series[float] = nullable("mean over its victims")
    search_min: Series[float] = nullable(
        "mean time from its last contact with a victim to its first with the next"
    )
    kills_per_h: Series[float] = nullable("kills over observed time")
    kills_per_contact_h: Series[float] = nullable("killing capacity: kills over contact time")


class TargetTallies(PerTrack, key="fov population track_id", called="targets"):
    """One row per target: what happened to it."""

    fate: Series[str] = known(
        "the verdict on its death (died: none given), dead_at_first_sight, or alive",
        isin=TARGET_FATES,
    )
    end_reason: Series[str] = known(isin=END_REASONS)
    death_frame: Series[pd.Int64Dtype] = nullable()
    observed_min: Series[float] = nullable("alive")
    n_effectors: Series[int] = known("different effectors that touched it", ge=0)
    n_hits: Series[int] = known("bouts begun before its death, or till the end", ge=0)
    contact_frames: Series[int] = known("before its death, over effectors", ge=0)
    contact_min: Series[float] = nullable("before its death")
    first_contact_frame: Series[pd.Int64Dtype] = nullable(
        "of the cell, whichever of its tracks it was"
    )
    first_contact_min: Series[float] = nullable("time of that frame")
    first_contact_to_death_min: Series[float] = nullable("if it died")
    last_contact_to_death_min: Series[float] = nullable("if it died; 0: still in contact")
    n_killers: Series[int] = known("effectors its death is attributed to", ge=0)
    p_background: Series[float] = nullable("chance that no effector did it", ge=0, le=1)


class DeathIndexes(PerPopulation, key="fov population frame", called="death_index"):
    """Share of dead cells among all cells of a population, per frame; every frame has a row."""

    frame: Series[int] = known(ge=0)
    time_min: Series[float] = nullable()
    n_live: Series[int] = known("cells called alive in the frame", ge=0)
    n_dead: Series[int] = known("cells called dead in the frame", ge=0)
    death_index: Series[float] = nullable("dead / (live + dead); empty without cells", ge=0, le=1)
    death_index_low: Series[float] = nullable("lower end of Wilson's interval", ge=0, le=1)
    death_index_high: Series[float] = nullable("upper end of Wilson's interval", ge=0, le=1)
