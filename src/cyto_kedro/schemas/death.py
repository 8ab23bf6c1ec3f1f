"""Who is alive, who died when, who killed them."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from cyto_kedro.schemas.base import END_REASONS, PerFov, Table, nullable

EVIDENCE = ("marker", "body")
VERDICTS = ("kill", "background", "no_contact", "not_a_target")
START_REASONS = ("film_start", "division", "entered")
BACKGROUND_SOURCES = ("control", "same_fields", "assumed")
TARGET_FATES = ("killed", "background", "no_contact", "died", "dead_at_first_sight", "alive")


class Viability(PerFov, key=("fov", "population", "frame", "label")):
    """Death-marker reading of a cell in a frame; needs no time, works on stills."""

    population: Series[str]
    frame: Series[int] = pa.Field(ge=0)
    label: Series[int] = pa.Field(ge=1)
    marker_signal: Series[float]
    alive_probability: Series[float] = pa.Field(ge=0, le=1)
    dead: Series[bool]


class Fates(PerFov, key=("fov", "population", "track_id")):
    """One row per track: did it die in view (`died`), or is it censored at `last_frame`?"""

    population: Series[str]
    track_id: Series[int] = pa.Field(ge=1)
    first_frame: Series[int] = pa.Field(ge=0)
    last_frame: Series[int] = pa.Field(ge=0)
    dead_at_first_sight: Series[bool]
    died: Series[bool]
    death_frame: Series[pd.Int64Dtype] = nullable()
    entry_min: Series[float] = nullable()
    exit_min: Series[float] = nullable("death, or last frame seen")
    end_reason: Series[str] = pa.Field(isin=END_REASONS)
    start_reason: Series[str] | None = pa.Field(
        isin=START_REASONS, description="when its clock starts: a daughter's at the division"
    )
    recovered: Series[bool] | None = pa.Field(
        description="called dead for as long as a death takes, and alive again for longer: two cells "
        "in one track (an identity switch), or the light of another cell; no death is counted"
    )
    past_track_id: Series[pd.Int64Dtype] | None = nullable(
        "the ended track that it is the rest of: of one dead at first sight a cell lost alive (its "
        "death) or a dead one that was lost again, of a living one a living cell that was lost"
    )


class Deaths(PerFov, key=("fov", "population", "track_id")):
    """Observed transitions from alive to dead; at most one per track."""

    population: Series[str]
    track_id: Series[int] = pa.Field(ge=1)
    frame: Series[int] = pa.Field(ge=0, description="first frame called dead")
    time_min: Series[float] = nullable()
    n_killers: Series[int] = pa.Field(ge=0, description="effectors the death is attributed to")
    # Tables made by hand, or truth, may lack these.
    last_alive_frame: Series[int] | None = pa.Field(
        ge=0, description="last frame seen before the death: it lies between the two"
    )
    evidence: Series[str] | None = pa.Field(
        isin=EVIDENCE, description="marker: its rise was seen; body: track lost, dead cell there"
    )
    body_track_id: Series[pd.Int64Dtype] | None = nullable(
        "the dead cell's track, where evidence is body"
    )
    p_background: Series[float] | None = nullable(
        "chance that no effector did it; null: not estimated", ge=0, le=1
    )
    verdict: Series[str] | None = pa.Field(isin=VERDICTS, description="what the death is put to")


class Kills(
    PerFov,
    key=("fov", "target_population", "target_track_id", "effector_population", "effector_track_id"),
):
    """A death attributed to an effector; the shares of one death sum to 1."""

    target_population: Series[str]
    target_track_id: Series[int] = pa.Field(ge=1)
    effector_population: Series[str]
    effector_track_id: Series[int] = pa.Field(ge=1)
    death_frame: Series[int] = pa.Field(ge=0)
    death_min: Series[float] = nullable()
    share: Series[float] = pa.Field(gt=0, le=1)
    contact_frames: Series[int] = pa.Field(ge=1, description="in the window before death")
    first_contact_frame: Series[int] = pa.Field(ge=0)
    last_contact_frame: Series[int] = pa.Field(ge=0)
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


class AttackModels(Table, key=("target_population", "condition")):
    """What was learnt of killing: per target population, of all fields and of each condition.

    The law is in `cyto_kedro.algorithms.contacts.attack_model`. Frames are of the median interval.
    """

    target_population: Series[str]
    condition: Series[str] = pa.Field(description="empty: all fields together")
    lethal_frames: Series[float] = pa.Field(
        gt=0, description="mean contact time until the fatal hit"
    )
    lethal_min: Series[float] = nullable("the same in minutes", gt=0)
    hits: Series[float] = pa.Field(gt=0, description="1: any minute may kill; more: damage adds up")
    delay_frames: Series[float] = pa.Field(
        gt=0, description="mean time from the fatal hit to death"
    )
    delay_min: Series[float] = nullable("the same in minutes", gt=0)
    delay_cv: Series[float] = pa.Field(gt=0, description="sd over mean of that time")
    background_per_frame: Series[float] = pa.Field(ge=0, description="deaths per target and frame")
    background_per_h: Series[float] = nullable("the same per hour", ge=0)
    background_source: Series[str] = pa.Field(
        isin=BACKGROUND_SOURCES,
        description="control (effector-free control fields), same_fields (all time at risk), assumed",
    )
    gain: Series[float] = pa.Field(
        description="log likelihood over that of no killing at all; below about 3: no evidence"
    )
    evidence: Series[float] = pa.Field(ge=0, le=1, description="chance that contact kills at all")
    n_targets: Series[int] = pa.Field(ge=0, description="targets seen alive")
    n_deaths: Series[int] = pa.Field(ge=0, description="of these")
    risk_frames: Series[float] = pa.Field(ge=0, description="frames of targets at risk")
    contact_frames: Series[float] = pa.Field(ge=0, description="summed over effectors")
    expected_background: Series[float] = pa.Field(ge=0, description="deaths by themselves")
    control_deaths: Series[int] = pa.Field(ge=0, description="in effector-free control fields")
    control_frames: Series[float] = pa.Field(ge=0, description="frames at risk there")


class EffectorTallies(PerFov, key=("fov", "population", "track_id")):
    """One row per effector: what it touched and killed."""

    population: Series[str]
    track_id: Series[int] = pa.Field(ge=1)
    first_frame: Series[int] = pa.Field(ge=0)
    last_frame: Series[int] = pa.Field(ge=0, description="alive; its death ends its row")
    observed_min: Series[float] = nullable("time seen alive")
    died: Series[bool]
    n_targets: Series[int] = pa.Field(ge=0, description="different targets touched")
    n_bouts: Series[int] = pa.Field(ge=0, description="bouts with targets")
    contact_frames: Series[int] = pa.Field(ge=0, description="summed over targets")
    contact_min: Series[float] = nullable(
        "summed over targets: two touched at once count twice, so it may be above observed_min"
    )
    touching_min: Series[float] | None = nullable(
        "time in contact with any target, each minute once"
    )
    kills: Series[float] = pa.Field(ge=0, description="sum of its shares")
    expected_kills: Series[float] = nullable("sum of its credits", ge=0)
    n_victims: Series[int] = pa.Field(
        ge=0, description="deaths of which its share is at least half"
    )
    serial_killer: Series[bool] = pa.Field(description="two victims or more")
    bouts_per_kill: Series[float] = nullable("n_bouts over kills")
    first_contact_to_death_min: Series[float] = nullable("mean over its victims")
    search_min: Series[float] = nullable(
        "mean time from its last contact with a victim to its first with the next"
    )
    kills_per_h: Series[float] = nullable("kills over observed time")
    kills_per_contact_h: Series[float] = nullable("killing capacity: kills over contact time")


class TargetTallies(PerFov, key=("fov", "population", "track_id")):
    """One row per target: what happened to it."""

    population: Series[str]
    track_id: Series[int] = pa.Field(ge=1)
    fate: Series[str] = pa.Field(
        isin=TARGET_FATES,
        description="the verdict on its death (died: none given), dead_at_first_sight, or alive",
    )
    end_reason: Series[str] = pa.Field(isin=END_REASONS)
    death_frame: Series[pd.Int64Dtype] = nullable()
    observed_min: Series[float] = nullable("alive")
    n_effectors: Series[int] = pa.Field(ge=0, description="different effectors that touched it")
    n_hits: Series[int] = pa.Field(
        ge=0, description="bouts begun before its death, or till the end"
    )
    contact_frames: Series[int] = pa.Field(ge=0, description="before its death, over effectors")
    contact_min: Series[float] = nullable("before its death")
    first_contact_frame: Series[pd.Int64Dtype] = nullable()
    first_contact_min: Series[float] = nullable("time of that frame")
    first_contact_to_death_min: Series[float] = nullable("if it died")
    last_contact_to_death_min: Series[float] = nullable("if it died; 0: still in contact")
    n_killers: Series[int] = pa.Field(ge=0, description="effectors its death is attributed to")
    p_background: Series[float] = nullable("chance that no effector did it", ge=0, le=1)


class DeathIndexes(PerFov, key=("fov", "population", "frame")):
    """Share of dead cells among all cells of a population, per frame; every frame has a row."""

    population: Series[str]
    frame: Series[int] = pa.Field(ge=0)
    time_min: Series[float] = nullable()
    n_live: Series[int] = pa.Field(ge=0, description="cells called alive in the frame")
    n_dead: Series[int] = pa.Field(ge=0, description="cells called dead in the frame")
    death_index: Series[float] = nullable("dead / (live + dead); empty without cells", ge=0, le=1)
    death_index_low: Series[float] = nullable("lower end of Wilson's interval", ge=0, le=1)
    death_index_high: Series[float] = nullable("upper end of Wilson's interval", ge=0, le=1)


TABLES: dict[str, type[Table]] = {
    "viability": Viability,
    "fates": Fates,
    "deaths": Deaths,
    "kills": Kills,
    "attack_models": AttackModels,
    "effectors": EffectorTallies,
    "targets": TargetTallies,
    "death_index": DeathIndexes,
}
