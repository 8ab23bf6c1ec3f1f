"""Encounters: all bouts of a pair together, and how long contacts last."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.contacts.joint import Joint
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.groups import any_known, design
from cyto_kedro.core.keys import PAIR, divide, fov_of


class Met(TypedDict):
    """One row per pair that ever met."""

    encounters: TableOf[schemas.Encounters]


class Encounters(Algorithm):
    """Sum the bouts of each pair: first contact, how often, how long, how soon again.

    Notes
    -----
    The two cells are *under joint observation* in the frames in which both were detected, each for
    the time it stands for (`cyto_kedro.core.clock`). ``bouts_per_hour = bouts / hours of joint
    observation``, so a pair seen together for long weighs like one seen briefly. An interval until
    contact again runs from the last frame of a bout to the first frame of the next. Pairs that never
    met have no row: a rate over all pairs needs their joint time too.

    Examples
    --------
    >>> frames = np.arange(8)
    >>> rows = {"population": np.repeat(["N", "T"], 8), "track_id": 1, "frame": np.tile(frames, 2)}
    >>> points = schemas.filled(schemas.TrackPoints, rows | {"label": 1, "x_px": 5.0, "y_px": 5.0})
    >>> met = {"population_a": "N", "track_id_a": 1, "population_b": "T", "track_id_b": 1}
    >>> met |= {"bout": [1, 2], "start_frame": [1, 6], "end_frame": [2, 6]}
    >>> met |= {"n_contact_frames": [2, 1], "recontact_frames": [None, 4], "recontact_min": None}
    >>> bouts = schemas.filled(schemas.Bouts, met)
    >>> Encounters()(bouts=bouts, track_points=points)["encounters"]["contact_share"].tolist()
    [0.375]
    """

    version: ClassVar[int] = 2

    def run(self, bouts: TableOf[schemas.Bouts], track_points: TableOf[schemas.TrackPoints]) -> Met:
        """Sum the bouts of one field.

        Raises
        ------
        InputError
            If tables of several fields are given.
        """
        fov_of(bouts, track_points)
        if not len(bouts):
            return {"encounters": schemas.empty(schemas.Encounters)}
        pairs = bouts.sort_values([*PAIR, "bout"]).groupby(
            ["fov", *PAIR], as_index=False, sort=False
        )
        table = pairs.agg(
            first_contact_frame=("start_frame", "first"),
            first_contact_censored=("censored_start", "first"),
            last_contact_frame=("end_frame", "last"),
            n_bouts=("bout", "size"),
            contact_frames=("n_contact_frames", "sum"),
            mean_recontact_frames=("recontact_frames", "mean"),
            mean_recontact_min=("recontact_min", "mean"),
        )
        clock, joint = Clock(track_points), Joint(track_points, table[PAIR])
        rows = np.arange(len(table))
        joint_min = joint.minutes(clock, rows, joint.first, joint.last + 1)
        table = table.assign(
            first_contact_min=clock(table["first_contact_frame"].to_numpy()),
            contact_min=pairs["duration_min"].sum(min_count=1)["duration_min"],
            joint_frames=joint.frames,
            joint_min=joint_min,
            contact_share=divide(table["contact_frames"], joint.frames),
            bouts_per_hour=divide(table["n_bouts"], joint_min / 60),
        )
        return {"encounters": schemas.conform(schemas.Encounters, table)}


class Dwelt(TypedDict):
    """Curves of each condition over all its bouts, and of each field apart."""

    dwell: TableOf[schemas.Dwell]


class DwellSurvival(Algorithm):
    """How long contacts last: Kaplan-Meier curves of bouts, per pair of populations.

    Notes
    -----
    A bout whose end was not seen is censored. One whose *start* was not seen has an unknown age:
    delayed entry would need that age, and to count it from where it was first seen as if it were
    new gives too many long ones, since long bouts are more often under way when a film begins. By
    default such bouts are left out and counted (`n_left_out`): those that begin in view are a fair
    sample of all, if the film is stationary. Bouts that `Bouts.min_frames` left out are no part of
    the curve: it is then of bouts of at least that length.

    The limits (Greenwood, log-log) take bouts as independent, which those of one well are not: they
    are too narrow for a comparison of conditions. Look at how the curves of the fields spread.
    Times are minutes, or frames where no bout of the group has a duration; where some have, the others
    are left out and counted. By lifelines.

    Examples
    --------
    >>> met = {"fov": "A1", "population_a": "N", "population_b": "T", "track_id_a": [1, 2, 3]}
    >>> met |= {"duration_min": [2.0, 4.0, 6.0], "n_frames": [1, 2, 3]}
    >>> bouts = schemas.filled(schemas.Bouts, met)
    >>> dwell = DwellSurvival()(bouts=bouts, fields=pd.DataFrame({"fov": ["A1"]}))["dwell"]
    >>> dwell["survival"].round(3).tolist()
    [1.0, 0.667, 0.333, 0.0]
    """

    version = 2

    unseen_start: Literal["leave_out", "count_as_new"] = Field(
        default="leave_out", description="what becomes of bouts whose start was not seen"
    )
    confidence: float = Field(default=0.95, gt=0, lt=1, description="level of the limits")

    def run(self, bouts: TableOf[schemas.Bouts], fields: TableOf[schemas.Fields]) -> Dwelt:
        """Curves of the bouts of all fields, by the sample sheet's `condition` where it has one."""
        table = bouts.assign(fov=bouts["fov"].astype(str))
        groups = [("fov", table["fov"])]
        if "condition" in fields:
            condition = design(fields).set_index("fov")["condition"]
            groups.insert(0, ("condition", table["fov"].map(condition)))
        curves = [
            self._curve(rows).assign(
                level=level, group=str(name), population_a=str(a), population_b=str(b)
            )
            for level, by in groups
            for (name, a, b), rows in table.groupby([by, "population_a", "population_b"])
        ]
        if not curves:
            return {"dwell": schemas.empty(schemas.Dwell)}
        return {"dwell": schemas.conform(schemas.Dwell, pd.concat(curves, ignore_index=True))}

    def _curve(self, bouts: pd.DataFrame) -> pd.DataFrame:
        """The curve of one group of bouts, from time 0 on."""
        from lifelines import KaplanMeierFitter

        timed = any_known(bouts["duration_min"])
        kept = bouts[bouts["duration_min"].notna()] if timed else bouts
        if self.unseen_start == "leave_out":
            kept = kept[~kept["censored_start"].to_numpy(bool)]
        counts: dict[str, Any] = {"n_bouts": len(kept), "n_left_out": len(bouts) - len(kept)}
        if not len(kept):
            none = {"time": [0.0], "n_at_risk": 0, "n_ended": 0, "n_censored": 0, "survival": 1.0}
            table = pd.DataFrame(none).assign(survival_low=np.nan, survival_high=np.nan)
        else:
            fit = KaplanMeierFitter(alpha=1 - self.confidence)
            duration = kept["duration_min" if timed else "n_frames"].to_numpy(float)
            fit.fit(duration, ~kept["censored_end"].to_numpy(bool))
            events, limits = fit.event_table, fit.confidence_interval_
            table = pd.DataFrame(
                {
                    "time": events.index.to_numpy(float),
                    "n_at_risk": events["at_risk"].to_numpy(),
                    "n_ended": events["observed"].to_numpy(),
                    "n_censored": events["censored"].to_numpy(),
                    "survival": fit.survival_function_.iloc[:, 0].to_numpy(),
                    "survival_low": limits.iloc[:, 0].to_numpy(),
                    "survival_high": limits.iloc[:, 1].to_numpy(),
                }
            )
        time = table.pop("time")
        return table.assign(
            time_min=time if timed else np.nan, time_frames=np.nan if timed else time, **counts
        )
