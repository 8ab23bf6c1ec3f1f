"""Survival and the comparison of conditions: tables over the whole assay."""

from __future__ import annotations

import pandas as pd
from pandera.typing import Series

from cyto_kedro.schemas.base import PerPopulation, PerTrack, Table, known, nullable

KINDS = ("survival", "cumulative_hazard")
METHODS = ("simon_makuch", "landmark")
MODELS = ("contact", "condition", "condition + contact")


class Grouped(Table):
    condition: Series[str] = known("from the sample sheet")
    population: Series[str]


class Curve(Grouped):
    replicate: Series[str] = known("(all): the condition's replicates together")
    time_min: Series[float] = nullable("since the film's start; empty where any field lacks times")
    time_frames: Series[float] = nullable(
        "the same in frames, filled only where `time_min` is empty"
    )


class BandedCurve(Curve):
    estimate: Series[float] = known(
        "share alive; of cumulative_hazard, deaths expected of a cell by then", ge=0
    )
    low: Series[float] = nullable("95 %, cells independent: too narrow")
    high: Series[float] = nullable("the same")
    low_clustered: Series[float] = nullable(
        "95 %, replicates independent; empty with fewer than two"
    )
    high_clustered: Series[float] = nullable("the same")
    at_risk: Series[float] = known("cells under observation", ge=0)
    events: Series[float] = known("deaths at this time", ge=0)
    few_at_risk: Series[bool] = known("too few cells to read the curve here")


class SurvivalCurves(BandedCurve, key="condition population replicate kind time_min time_frames"):
    """Kaplan-Meier and Nelson-Aalen curves: one row per time at which something changed."""

    kind: Series[str] = known(
        "survival (Kaplan-Meier) or cumulative_hazard (Nelson-Aalen)", isin=KINDS
    )


class SurvivalBounds(Curve, key="condition population replicate time_min time_frames"):
    """Survival if every lost track had ended in death, and if none had."""

    estimate: Series[float] = nullable("lost tracks censored")
    all_lost_died: Series[float] = nullable("all died when they were last seen")
    none_lost_died: Series[float] = nullable("all lived to the end of the film")
    n_cells: Series[int] = known("cells ever under observation", ge=1)
    n_lost: Series[int] = known("of them lost so far", ge=0)


class ContactSurvival(
    BandedCurve,
    key="condition population replicate method landmark_min landmark_frames group time_min time_frames",
):
    """Survival of targets by contact with effectors, without immortal time."""

    method: Series[str] = known("simon_makuch or landmark", isin=METHODS)
    landmark_min: Series[float] = nullable("the curve begins here; of simon_makuch too")
    landmark_frames: Series[float] = nullable(
        "the same in frames, filled only where `landmark_min` is empty"
    )
    group: Series[str] = known(
        "landmark: until the landmark; simon_makuch: so far, cells change groups",
        isin=("not_touched", "touched"),
    )


class Hazards(Grouped, key="model condition population reference term"):
    """Cox regression: one row per model and term."""

    model: Series[str] = known("which terms it has", isin=MODELS)
    term: Series[str] = known("of contact, or the condition that is compared")
    reference: Series[str] = known("condition it is compared with; else blank")
    hazard_ratio: Series[float] = nullable("exp(coefficient)")
    low: Series[float] = nullable("of the ratio, 95 %, by replicate")
    high: Series[float] = nullable("the same")
    p: Series[float] = nullable("by replicate; empty with too few")
    coefficient: Series[float] = nullable("log hazard ratio")
    se: Series[float] = nullable("of the coefficient, by replicate")
    se_model: Series[float] = nullable("the same if cells were independent: too small")
    df: Series[float] = nullable("degrees of freedom of limits and p")
    n_cells: Series[int] = known("cells under observation", ge=0)
    n_events: Series[int] = known("deaths", ge=0)
    n_clusters: Series[int] = known("replicates", ge=0)
    note: Series[str] = known("why something is empty")


class ReplicateSummaries(Grouped, key="condition population replicate measure"):
    """One number per replicate and measure: what a comparison of conditions rests on."""

    replicate: Series[str] = known("from the sample sheet, or the field")
    cluster: Series[str] = known(
        "replicates of one cluster (donor) are one experiment, in all conditions"
    )
    measure: Series[str] = known("what is measured")
    unit: Series[str] = known("of the measure; blank without one")
    statistic: Series[str] = known("what `value` is")
    value: Series[float] = nullable("what is compared")
    n_fovs: Series[int] = known("fields that it rests on", ge=1)
    n_cells: Series[int] = known("tracks, or contacts, that it rests on", ge=0)
    mean: Series[float] = nullable("of cells, where they have a value")
    median: Series[float] = nullable("the same")
    sd: Series[float] = nullable("the same")
    q25: Series[float] = nullable("the same, lower quartile")
    q75: Series[float] = nullable("the same, upper quartile")


class Comparisons(Table, key="measure population reference condition"):
    """Two conditions compared by their replicates' values."""

    measure: Series[str] = known("as in `replicate_summaries`")
    population: Series[str]
    unit: Series[str] = known("of means, difference and its limits")
    reference: Series[str] = known("condition that the other is compared with")
    condition: Series[str] = known("condition that is compared")
    paired: Series[bool] = known("replicates of one cluster (donor) are compared pair by pair")
    n_reference: Series[int] = known("independent replicates", ge=0)
    n_condition: Series[int] = known("independent replicates", ge=0)
    mean_reference: Series[float] = nullable("over replicates")
    mean_condition: Series[float] = nullable("over replicates")
    difference: Series[float] = nullable("condition less reference")
    low: Series[float] = nullable("of the difference, 95 %")
    high: Series[float] = nullable("the same")
    effect_size: Series[float] = nullable("Hedges' g; of the differences where paired")
    effect_low: Series[float] = nullable("of the effect size, 95 %")
    effect_high: Series[float] = nullable("the same")
    test: Series[str] = known("that gave `p`; blank without one")
    p: Series[float] = nullable("two-sided; empty with fewer than two replicates", ge=0, le=1)
    p_holm: Series[float] = nullable("corrected for the number of comparisons", ge=0, le=1)
    p_permutation: Series[float] = nullable(
        "of the difference of means, by permutation", ge=0, le=1
    )
    smallest_p: Series[float] = nullable("that permutation can reach with so many replicates")
    note: Series[str] = known("why something is empty, or weak")
    outcome: Series[str] | None = known(
        "the assay's question, anything else, or a pair with an effector-free control",
        isin=("primary", "exploratory", "control"),
    )


class KillingCurves(Grouped, key="condition population replicate time_min time_frames"):
    """Living targets over time, by replicate: counted, in percent of the start, and specific killing."""

    replicate: Series[str] = known("from the sample sheet, or the field")
    cluster: Series[str] = known("as in `replicate_summaries`")
    time_min: Series[float] = nullable("since the film's start; empty where no field has times")
    time_frames: Series[float] = nullable("the same in frames")
    n_live: Series[float] = known("living targets in view", ge=0)
    live_percent: Series[float] = nullable("of the first frame's")
    control_percent: Series[float] = nullable("the same of the effector-free control, at this time")
    specific_killing: Series[float] = nullable("100 (1 - live_percent / control_percent), percent")
    control: Series[str] = known(
        "whose control it is: of the same donor, the same plate, or of all; blank: none",
        isin=("", "cluster", "plate", "all"),
    )


class FieldKilling(Grouped, key="fov population"):
    """One row per field and target population: living targets and specific killing at the end."""

    fov: Series[str]
    replicate: Series[str]
    cluster: Series[str]
    plate: Series[str] = known("from the sample sheet; blank where it has none")
    well: Series[str] = known("the same")
    treatment: Series[str] = known("the same: what the dose is of")
    dose: Series[float] = nullable("from the sample sheet")
    et_ratio: Series[float] = nullable("effectors per target, the same")
    end_min: Series[float] = nullable("when the values are read")
    end_frames: Series[float] = nullable("the same in frames")
    n_start: Series[float] = nullable("living targets in the first frame")
    n_end: Series[float] = nullable("living targets at the end")
    live_percent: Series[float] = nullable("n_end of n_start")
    specific_killing: Series[float] = nullable(
        "percent, against the replicate's effector-free control"
    )
    specific_killing_area: Series[float] = nullable(
        "area under it over time, percent hours (frames without times)"
    )


class Response(Table):
    against: Series[str] = known("what varies", isin=("dose", "et_ratio"))
    population: Series[str]
    treatment: Series[str] = known("what the dose is of; blank: all together")
    at: Series[float] = nullable("the E:T ratio of a dose curve, the dose of an E:T curve")
    replicate: Series[str] = known("(all): all together")
    measure: Series[str] = known(isin=("specific_killing", "live_percent"))
    unit: Series[str] = known("of dose and EC50 (`dose_unit`); blank: not stated")


class DoseValues(Response, key="against population treatment at replicate x"):
    """Points of dose-response and E:T curves: one row per replicate and dose."""

    cluster: Series[str]
    x: Series[float] = known("dose, or E:T ratio", ge=0)
    value: Series[float] = known("mean over the fields, percent")
    n_fovs: Series[int] = known(ge=1)


class DoseFits(Response, key="against population treatment at replicate"):
    """Four-parameter logistic fits, by replicate and of all; limits are 95 %."""

    ec50: Series[float] = nullable("dose of half the effect")
    ec50_low: Series[float] = nullable()
    ec50_high: Series[float] = nullable()
    ec50_se: Series[float] = nullable()
    hill: Series[float] = nullable("slope, always above 0")
    hill_low: Series[float] = nullable()
    hill_high: Series[float] = nullable()
    hill_se: Series[float] = nullable()
    at_zero: Series[float] = nullable("response without any, percent")
    at_zero_low: Series[float] = nullable()
    at_zero_high: Series[float] = nullable()
    at_zero_se: Series[float] = nullable()
    at_infinity: Series[float] = nullable("response to as much as there may be")
    at_infinity_low: Series[float] = nullable()
    at_infinity_high: Series[float] = nullable()
    at_infinity_se: Series[float] = nullable()
    limits_from: Series[str] = known("what is taken as independent", isin=("replicates", "points"))
    df: Series[float] = known("degrees of freedom of the limits")
    n_points: Series[int] = known("replicates times doses", ge=0)
    n_doses: Series[int] = known("different ones", ge=0)
    n_replicates: Series[int] = known("independent ones", ge=0)
    note: Series[str] = known("why something is empty, or weak")


class EventTimes(PerTrack, key="fov population track_id event"):
    """When each track first had each event, or until when it was watched without."""

    event: Series[str] = known("contact, death, kill, or one of `events.define`")
    happened: Series[bool] = known("it was seen to begin")
    at_first_sight: Series[bool] = known("it had begun when the track was first seen")
    frame: Series[pd.Int64Dtype] = nullable("of the event")
    entry_frames: Series[float] = known("the track's first frame")
    exit_frames: Series[float] = known("event, death, or last frame")
    entry_min: Series[float] = nullable("the same in minutes")
    exit_min: Series[float] = nullable("the same in minutes")


class EventSums(PerPopulation, key="fov population event column lag_frames"):
    """Sums of a column over the tracks of a field, by the time from their event."""

    event: Series[str]
    column: Series[str] = known("what is summed")
    lag_frames: Series[float] = known("after the event, in the field's intervals")
    lag_min: Series[float] = nullable("the same in minutes")
    n: Series[int] = known("tracks", ge=1)
    sum: Series[float]
    squares: Series[float] = known("sum of the squares")


class EventSignals(Grouped, key="condition population event column replicate lag_min lag_frames"):
    """Mean of a column around an event, by condition and replicate."""

    event: Series[str]
    column: Series[str] = known("what is averaged")
    replicate: Series[str] = known("(all): the mean of the replicates")
    lag_min: Series[float] = nullable("after the event")
    lag_frames: Series[float] = nullable("where times are unknown")
    mean: Series[float]
    low: Series[float] = nullable("95 %, by replicate")
    high: Series[float] = nullable("the same")
    n: Series[int] = known("tracks", ge=1)
    n_replicates: Series[int] = known("independent ones", ge=1)


class EventCurves(BandedCurve, key="event condition population replicate time_min time_frames"):
    """Share of tracks that have not had an event yet."""

    event: Series[str]
