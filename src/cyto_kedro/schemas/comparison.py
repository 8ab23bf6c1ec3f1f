"""Survival and the comparison of conditions: tables over the whole assay."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from cyto_kedro.schemas.base import PerFov, Table

KINDS = ("survival", "cumulative_hazard")
METHODS = ("simon_makuch", "landmark")
MODELS = ("contact", "condition", "condition + contact")


class Grouped(Table):
    condition: Series[str] = pa.Field(description="from the sample sheet")
    population: Series[str]


class Curve(Grouped):
    replicate: Series[str] = pa.Field(description="(all): the condition's replicates together")
    time_min: Series[float] = pa.Field(
        nullable=True, description="since the film's start; empty where any field lacks times"
    )
    time_frames: Series[float] = pa.Field(
        nullable=True, description="the same in frames, filled only where `time_min` is empty"
    )


class BandedCurve(Curve):
    estimate: Series[float] = pa.Field(
        ge=0, description="share alive; of cumulative_hazard, deaths expected of a cell by then"
    )
    low: Series[float] = pa.Field(nullable=True, description="95 %, cells independent: too narrow")
    high: Series[float] = pa.Field(nullable=True, description="the same")
    low_clustered: Series[float] = pa.Field(
        nullable=True, description="95 %, replicates independent; empty with fewer than two"
    )
    high_clustered: Series[float] = pa.Field(nullable=True, description="the same")
    at_risk: Series[float] = pa.Field(ge=0, description="cells under observation")
    events: Series[float] = pa.Field(ge=0, description="deaths at this time")
    few_at_risk: Series[bool] = pa.Field(description="too few cells to read the curve here")


class SurvivalCurves(BandedCurve):
    """Kaplan-Meier and Nelson-Aalen curves: one row per time at which something changed."""

    kind: Series[str] = pa.Field(
        isin=KINDS, description="survival (Kaplan-Meier) or cumulative_hazard (Nelson-Aalen)"
    )

    @classmethod
    def key(cls) -> list[str]:
        return ["condition", "population", "replicate", "kind", "time_min", "time_frames"]


class SurvivalBounds(Curve):
    """Survival if every lost track had ended in death, and if none had."""

    estimate: Series[float] = pa.Field(nullable=True, description="lost tracks censored")
    all_lost_died: Series[float] = pa.Field(
        nullable=True, description="all died when they were last seen"
    )
    none_lost_died: Series[float] = pa.Field(
        nullable=True, description="all lived to the end of the film"
    )
    n_cells: Series[int] = pa.Field(ge=1, description="cells ever under observation")
    n_lost: Series[int] = pa.Field(ge=0, description="of them lost so far")

    @classmethod
    def key(cls) -> list[str]:
        return ["condition", "population", "replicate", "time_min", "time_frames"]


class ContactSurvival(BandedCurve):
    """Survival of targets by contact with effectors, without immortal time."""

    method: Series[str] = pa.Field(isin=METHODS, description="simon_makuch or landmark")
    landmark_min: Series[float] = pa.Field(
        nullable=True, description="the curve begins here; of simon_makuch too"
    )
    landmark_frames: Series[float] = pa.Field(
        nullable=True, description="the same in frames, filled only where `landmark_min` is empty"
    )
    group: Series[str] = pa.Field(
        isin=("not_touched", "touched"),
        description="landmark: until the landmark; simon_makuch: so far, cells change groups",
    )

    @classmethod
    def key(cls) -> list[str]:
        own = ["method", "landmark_min", "landmark_frames", "group"]
        return ["condition", "population", "replicate", *own, "time_min", "time_frames"]


class Hazards(Grouped):
    """Cox regression: one row per model and term."""

    model: Series[str] = pa.Field(isin=MODELS, description="which terms it has")
    term: Series[str] = pa.Field(description="of contact, or the condition that is compared")
    reference: Series[str] = pa.Field(description="condition it is compared with; else blank")
    hazard_ratio: Series[float] = pa.Field(nullable=True, description="exp(coefficient)")
    low: Series[float] = pa.Field(nullable=True, description="of the ratio, 95 %, by replicate")
    high: Series[float] = pa.Field(nullable=True, description="the same")
    p: Series[float] = pa.Field(nullable=True, description="by replicate; empty with too few")
    coefficient: Series[float] = pa.Field(nullable=True, description="log hazard ratio")
    se: Series[float] = pa.Field(nullable=True, description="of the coefficient, by replicate")
    se_model: Series[float] = pa.Field(
        nullable=True, description="the same if cells were independent: too small"
    )
    df: Series[float] = pa.Field(nullable=True, description="degrees of freedom of limits and p")
    n_cells: Series[int] = pa.Field(ge=0, description="cells under observation")
    n_events: Series[int] = pa.Field(ge=0, description="deaths")
    n_clusters: Series[int] = pa.Field(ge=0, description="replicates")
    note: Series[str] = pa.Field(description="why something is empty")

    @classmethod
    def key(cls) -> list[str]:
        return ["model", "condition", "population", "reference", "term"]


class ReplicateSummaries(Grouped):
    """One number per replicate and measure: what a comparison of conditions rests on."""

    replicate: Series[str] = pa.Field(description="from the sample sheet, or the field")
    cluster: Series[str] = pa.Field(
        description="replicates of one cluster (donor) are one experiment, in all conditions"
    )
    measure: Series[str] = pa.Field(description="what is measured")
    unit: Series[str] = pa.Field(description="of the measure; blank without one")
    statistic: Series[str] = pa.Field(description="what `value` is")
    value: Series[float] = pa.Field(nullable=True, description="what is compared")
    n_fovs: Series[int] = pa.Field(ge=1, description="fields that it rests on")
    n_cells: Series[int] = pa.Field(ge=0, description="tracks, or contacts, that it rests on")
    mean: Series[float] = pa.Field(nullable=True, description="of cells, where they have a value")
    median: Series[float] = pa.Field(nullable=True, description="the same")
    sd: Series[float] = pa.Field(nullable=True, description="the same")
    q25: Series[float] = pa.Field(nullable=True, description="the same, lower quartile")
    q75: Series[float] = pa.Field(nullable=True, description="the same, upper quartile")

    @classmethod
    def key(cls) -> list[str]:
        return ["condition", "population", "replicate", "measure"]


class Comparisons(Table):
    """Two conditions compared by their replicates' values."""

    measure: Series[str] = pa.Field(description="as in `replicate_summaries`")
    population: Series[str]
    unit: Series[str] = pa.Field(description="of means, difference and its limits")
    reference: Series[str] = pa.Field(description="condition that the other is compared with")
    condition: Series[str] = pa.Field(description="condition that is compared")
    paired: Series[bool] = pa.Field(
        description="replicates of one cluster (donor) are compared pair by pair"
    )
    n_reference: Series[int] = pa.Field(ge=0, description="independent replicates")
    n_condition: Series[int] = pa.Field(ge=0, description="independent replicates")
    mean_reference: Series[float] = pa.Field(nullable=True, description="over replicates")
    mean_condition: Series[float] = pa.Field(nullable=True, description="over replicates")
    difference: Series[float] = pa.Field(nullable=True, description="condition less reference")
    low: Series[float] = pa.Field(nullable=True, description="of the difference, 95 %")
    high: Series[float] = pa.Field(nullable=True, description="the same")
    effect_size: Series[float] = pa.Field(
        nullable=True, description="Hedges' g; of the differences where paired"
    )
    effect_low: Series[float] = pa.Field(nullable=True, description="of the effect size, 95 %")
    effect_high: Series[float] = pa.Field(nullable=True, description="the same")
    test: Series[str] = pa.Field(description="that gave `p`; blank without one")
    p: Series[float] = pa.Field(
        nullable=True, ge=0, le=1, description="two-sided; empty with fewer than two replicates"
    )
    p_holm: Series[float] = pa.Field(
        nullable=True, ge=0, le=1, description="corrected for the number of comparisons"
    )
    p_permutation: Series[float] = pa.Field(
        nullable=True, ge=0, le=1, description="of the difference of means, by permutation"
    )
    smallest_p: Series[float] = pa.Field(
        nullable=True, description="that permutation can reach with so many replicates"
    )
    note: Series[str] = pa.Field(description="why something is empty, or weak")
    outcome: Series[str] | None = pa.Field(
        isin=("primary", "exploratory", "control"),
        description="the assay's question, anything else, or a pair with an effector-free control",
    )

    @classmethod
    def key(cls) -> list[str]:
        return ["measure", "population", "reference", "condition"]


class KillingCurves(Grouped):
    """Living targets over time, by replicate: counted, in percent of the start, and specific killing."""

    replicate: Series[str] = pa.Field(description="from the sample sheet, or the field")
    cluster: Series[str] = pa.Field(description="as in `replicate_summaries`")
    time_min: Series[float] = pa.Field(
        nullable=True, description="since the film's start; empty where no field has times"
    )
    time_frames: Series[float] = pa.Field(nullable=True, description="the same in frames")
    n_live: Series[float] = pa.Field(ge=0, description="living targets in view")
    live_percent: Series[float] = pa.Field(nullable=True, description="of the first frame's")
    control_percent: Series[float] = pa.Field(
        nullable=True, description="the same of the effector-free control, at this time"
    )
    specific_killing: Series[float] = pa.Field(
        nullable=True, description="100 (1 - live_percent / control_percent), percent"
    )
    control: Series[str] = pa.Field(
        isin=("", "cluster", "plate", "all"),
        description="whose control it is: of the same donor, the same plate, or of all; blank: none",
    )

    @classmethod
    def key(cls) -> list[str]:
        return ["condition", "population", "replicate", "time_min", "time_frames"]


class FieldKilling(Grouped):
    """One row per field and target population: living targets and specific killing at the end."""

    fov: Series[str]
    replicate: Series[str]
    cluster: Series[str]
    plate: Series[str] = pa.Field(description="from the sample sheet; blank where it has none")
    well: Series[str] = pa.Field(description="the same")
    treatment: Series[str] = pa.Field(description="the same: what the dose is of")
    dose: Series[float] = pa.Field(nullable=True, description="from the sample sheet")
    et_ratio: Series[float] = pa.Field(nullable=True, description="effectors per target, the same")
    end_min: Series[float] = pa.Field(nullable=True, description="when the values are read")
    end_frames: Series[float] = pa.Field(nullable=True, description="the same in frames")
    n_start: Series[float] = pa.Field(
        nullable=True, description="living targets in the first frame"
    )
    n_end: Series[float] = pa.Field(nullable=True, description="living targets at the end")
    live_percent: Series[float] = pa.Field(nullable=True, description="n_end of n_start")
    specific_killing: Series[float] = pa.Field(
        nullable=True, description="percent, against the replicate's effector-free control"
    )
    specific_killing_area: Series[float] = pa.Field(
        nullable=True, description="area under it over time, percent hours (frames without times)"
    )

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population"]


class Response(Table):
    against: Series[str] = pa.Field(isin=("dose", "et_ratio"), description="what varies")
    population: Series[str]
    treatment: Series[str] = pa.Field(description="what the dose is of; blank: all together")
    at: Series[float] = pa.Field(
        nullable=True, description="the E:T ratio of a dose curve, the dose of an E:T curve"
    )
    replicate: Series[str] = pa.Field(description="(all): all together")
    measure: Series[str] = pa.Field(isin=("specific_killing", "live_percent"))
    unit: Series[str] = pa.Field(description="of dose and EC50 (`dose_unit`); blank: not stated")

    @classmethod
    def key(cls) -> list[str]:
        return ["against", "population", "treatment", "at", "replicate"]


class DoseValues(Response):
    """Points of dose-response and E:T curves: one row per replicate and dose."""

    cluster: Series[str]
    x: Series[float] = pa.Field(ge=0, description="dose, or E:T ratio")
    value: Series[float] = pa.Field(description="mean over the fields, percent")
    n_fovs: Series[int] = pa.Field(ge=1)

    @classmethod
    def key(cls) -> list[str]:
        return [*super().key(), "x"]


def _limits_of(what: str) -> dict[str, Any]:
    return {"nullable": True, "description": what}


class DoseFits(Response):
    """Four-parameter logistic fits, by replicate and of all; limits are 95 %."""

    ec50: Series[float] = pa.Field(**_limits_of("dose of half the effect"))
    ec50_low: Series[float] = pa.Field(nullable=True)
    ec50_high: Series[float] = pa.Field(nullable=True)
    ec50_se: Series[float] = pa.Field(nullable=True)
    hill: Series[float] = pa.Field(**_limits_of("slope, always above 0"))
    hill_low: Series[float] = pa.Field(nullable=True)
    hill_high: Series[float] = pa.Field(nullable=True)
    hill_se: Series[float] = pa.Field(nullable=True)
    at_zero: Series[float] = pa.Field(**_limits_of("response without any, percent"))
    at_zero_low: Series[float] = pa.Field(nullable=True)
    at_zero_high: Series[float] = pa.Field(nullable=True)
    at_zero_se: Series[float] = pa.Field(nullable=True)
    at_infinity: Series[float] = pa.Field(**_limits_of("response to as much as there may be"))
    at_infinity_low: Series[float] = pa.Field(nullable=True)
    at_infinity_high: Series[float] = pa.Field(nullable=True)
    at_infinity_se: Series[float] = pa.Field(nullable=True)
    limits_from: Series[str] = pa.Field(
        isin=("replicates", "points"), description="what is taken as independent"
    )
    df: Series[float] = pa.Field(description="degrees of freedom of the limits")
    n_points: Series[int] = pa.Field(ge=0, description="replicates times doses")
    n_doses: Series[int] = pa.Field(ge=0, description="different ones")
    n_replicates: Series[int] = pa.Field(ge=0, description="independent ones")
    note: Series[str] = pa.Field(description="why something is empty, or weak")


class EventTimes(PerFov):
    """When each track first had each event, or until when it was watched without."""

    population: Series[str]
    track_id: Series[int] = pa.Field(ge=1)
    event: Series[str] = pa.Field(description="contact, death, kill, or one of `events.define`")
    happened: Series[bool] = pa.Field(description="it was seen to begin")
    at_first_sight: Series[bool] = pa.Field(
        description="it had begun when the track was first seen"
    )
    frame: Series[pd.Int64Dtype] = pa.Field(nullable=True, description="of the event")
    entry_frames: Series[float] = pa.Field(description="the track's first frame")
    exit_frames: Series[float] = pa.Field(description="event, death, or last frame")
    entry_min: Series[float] = pa.Field(nullable=True, description="the same in minutes")
    exit_min: Series[float] = pa.Field(nullable=True, description="the same in minutes")

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population", "track_id", "event"]


class EventSums(PerFov):
    """Sums of a column over the tracks of a field, by the time from their event."""

    population: Series[str]
    event: Series[str]
    column: Series[str] = pa.Field(description="what is summed")
    lag_frames: Series[float] = pa.Field(description="after the event, in the field's intervals")
    lag_min: Series[float] = pa.Field(nullable=True, description="the same in minutes")
    n: Series[int] = pa.Field(ge=1, description="tracks")
    sum: Series[float]
    squares: Series[float] = pa.Field(description="sum of the squares")

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population", "event", "column", "lag_frames"]


class EventSignals(Grouped):
    """Mean of a column around an event, by condition and replicate."""

    event: Series[str]
    column: Series[str] = pa.Field(description="what is averaged")
    replicate: Series[str] = pa.Field(description="(all): the mean of the replicates")
    lag_min: Series[float] = pa.Field(nullable=True, description="after the event")
    lag_frames: Series[float] = pa.Field(nullable=True, description="where times are unknown")
    mean: Series[float]
    low: Series[float] = pa.Field(nullable=True, description="95 %, by replicate")
    high: Series[float] = pa.Field(nullable=True, description="the same")
    n: Series[int] = pa.Field(ge=1, description="tracks")
    n_replicates: Series[int] = pa.Field(ge=1, description="independent ones")

    @classmethod
    def key(cls) -> list[str]:
        own = ["event", "column", "replicate", "lag_min", "lag_frames"]
        return ["condition", "population", *own]


class EventCurves(BandedCurve):
    """Share of tracks that have not had an event yet."""

    event: Series[str]

    @classmethod
    def key(cls) -> list[str]:
        return ["event", "condition", "population", "replicate", "time_min", "time_frames"]


TABLES: dict[str, type[Table]] = {
    "survival_curves": SurvivalCurves,
    "survival_bounds": SurvivalBounds,
    "contact_survival": ContactSurvival,
    "hazards": Hazards,
    "replicate_summaries": ReplicateSummaries,
    "comparisons": Comparisons,
    "killing_curves": KillingCurves,
    "field_killing": FieldKilling,
    "dose_values": DoseValues,
    "dose_fits": DoseFits,
    "event_times": EventTimes,
    "event_sums": EventSums,
    "event_signals": EventSignals,
    "event_curves": EventCurves,
}
