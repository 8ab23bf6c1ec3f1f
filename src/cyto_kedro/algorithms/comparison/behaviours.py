"""Kinds of behaviour: windows of tracks put into classes that the data suggest, over the whole assay."""

from __future__ import annotations

import logging
from typing import Any, Literal, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.comparison.replicates import GROUP, spread_of, summary_row, uneven
from cyto_kedro.core.groups import any_known, of_design
from cyto_kedro.core.keys import divide
from cyto_kedro.errors import ConfigError, lacking, unknown
from cyto_kedro.schemas import TableOf

log = logging.getLogger(__name__)

TRACK = ["fov", "population", "track_id"]
#: measures of `schemas.TrackWindows` by the name they are asked for; calibrated or not
MEASURES: dict[str, tuple[str, ...]] = {
    "speed": ("speed_um_per_min", "speed_px_per_frame"),
    "reach": ("reach_um", "reach_px"),
    **{name: (name,) for name in ("straightness", "persistence", "speed_variation")},
    **{name: (name,) for name in ("area_variation", "elongation")},
    **{name: (name,) for name in ("contact_own", "contact_other")},
    **{f"distance_{s}": (f"distance_{s}_um", f"distance_{s}_px") for s in ("own", "other")},
    **{name: (name,) for name in ("towards_own", "towards_other")},
}
AMONG = ("contact_other", "distance_other", "towards_other")
LOGARITHMIC = ("speed", "reach", "distance_own", "distance_other", "area_variation", "elongation")
FIT_ON = 20_000  # windows that classes are learnt from, spread evenly over all
PER_CLASS = 20  # windows for each class tried, at least
SHARE = 0.9  # of the variance, in the principal components that are put into classes
FARTHEST = 4.0  # standard deviations that a measure counts
ROUND = 0.01  # added to variances: no class is narrower than a tenth of a standard deviation


class Classed(TypedDict):
    """Classes of windows, what they are like, and their shares by replicate."""

    behaviours: TableOf[schemas.Behaviours]
    behaviour_profiles: TableOf[schemas.BehaviourProfiles]
    replicate_summaries: TableOf[schemas.ReplicateSummaries]


class Behaviours(Algorithm):
    """Classes of what cells do in a window, found without thresholds, population by population.

    Notes
    -----
    Each measure (lengths, speed and shape as logarithms) is put in robust standard deviations from
    the median of the assay, at most 4, a missing one at the median; one that is known in less than half
    of the windows, or the same in all, is left out. It is weighted by its **steadiness**: its
    correlation between a window and the track's next one. What is chance has none.
    Principal components that hold nine tenths of the variance are put into classes by a mixture of
    Gaussians, whose number has the least BIC. Windows of one track are alike, so they count as n / (1 +
    (m - 1) r) independent ones, with m windows a track and r their mean steadiness (Kish's design
    effect); else the BIC finds twice as many classes as there are kinds.

    **Class 1 is the slowest**, by the median speed of its windows, and so on. Nothing hangs on the
    order of rows or fields. Tracks without a window, and windows without a speed, have no class; how
    many such tracks there are stands in `behaviour_profiles`, and in the log. `replicate_summaries` has
    the share of a track's windows in each class, averaged over the tracks of a replicate.

    `x` and `y` are the first two principal components, or UMAP of all (McInnes et al. 2018), for the eye
    alone: classes are not made of them.

    Examples
    --------
    >>> rows = {"track_id": range(1, 81), "window": 1, "persistence": 0.0, "reach_px": 1.0}
    >>> speed = [0.5 + i / 400 for i in range(40)] + [5 + i / 40 for i in range(40)]
    >>> windows = schemas.filled(schemas.TrackWindows, rows | {"speed_px_per_frame": speed})
    >>> windows = windows.assign(fov="A1", population="TCell")
    >>> design = pd.DataFrame({"fov": ["A1"], "condition": "c", "replicate": "r", "cluster": "r"})
    >>> frames = pd.DataFrame({"fov": "A1", "frame": [0, 1], "time_s": [0.0, 60.0]})
    >>> made = Behaviours()(track_windows=windows, design=design, frames=frames)
    >>> made["behaviours"].groupby("behaviour").size().tolist()
    [40, 40]
    """

    measures: tuple[str, ...] = Field(
        default=("speed", "reach", "straightness", "persistence", "speed_variation", *AMONG),
        min_length=1,
        description="what classes are made of: columns of track_windows without their unit",
    )
    classes: int | None = Field(
        default=None, ge=1, le=20, description="how many; null: chosen from the data"
    )
    max_classes: int = Field(default=8, ge=1, le=20, description="tried, where it is chosen")
    embedding: Literal["pca", "umap"] = Field(
        default="pca", description="of the figure; umap needs the extra umap"
    )
    seed: int = Field(default=0, ge=0, description="of the mixture's starts and of UMAP")

    def run(
        self,
        track_windows: TableOf[schemas.TrackWindows],
        design: pd.DataFrame,
        frames: TableOf[schemas.Frames],
    ) -> Classed:
        """Put all windows of the assay into classes; `design` is `core.groups.design`'s.

        Raises
        ------
        ConfigError
            If a measure is unknown.
        MissingExtraError
            If UMAP is asked for and not installed.
        """
        for name in self.measures:
            if name not in MEASURES:
                raise ConfigError(f"comparison.behaviours: {unknown('measure', name, MEASURES)}")
        table = track_windows.sort_values([*TRACK, "window"], ignore_index=True)
        table = table.assign(x=np.nan, y=np.nan, behaviour=pd.array([pd.NA] * len(table), "Int64"))
        table["probability"] = np.nan
        profiles = []
        for population, rows in table.groupby("population", sort=True):
            speed = rows[_column(rows, "speed")]
            mine = rows[(rows["window"] > 0) & speed.notna()]
            tracks = len(rows[TRACK].drop_duplicates())
            without = tracks - len(mine[TRACK].drop_duplicates())
            if without:
                log.info(
                    "%s: %d of %d tracks are too short for a window (contacts.windows), seen in too few "
                    "of its frames, or dead: they have no behaviour",
                    *(population, without, tracks),
                )
            if not len(mine):
                continue
            found, profile = self._classify(mine)
            table.loc[mine.index, found.columns] = found
            profiles.append(profile.assign(population=population, n_without=without))
        behaviours = schemas.conform(
            schemas.Behaviours, table[[*schemas.dtypes(schemas.Behaviours)]]
        )
        profile = pd.concat(profiles) if profiles else schemas.empty(schemas.BehaviourProfiles)
        return {
            "behaviours": behaviours,
            "behaviour_profiles": schemas.conform(schemas.BehaviourProfiles, profile),
            "replicate_summaries": shares(behaviours, design, uneven(frames, design)),
        }

    def _classify(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Place, class and probability of the windows of one population, and the classes' profiles."""
        columns = {name: _column(rows, name) for name in self.measures}
        values = rows[[*columns.values()]].set_axis([*columns], axis=1).astype(float)
        standard = _standardised(values)
        if standard.empty:  # all alike
            standard = pd.DataFrame({self.measures[0]: 0.0}, index=rows.index)
        steady = _steadiness(rows, standard.to_numpy())
        weighted = standard.to_numpy() * steady
        places = _components(weighted)
        alike = float(divide(steady @ weighted.var(axis=0), weighted.var(axis=0).sum()))
        a_track = len(rows) / len(rows[TRACK].drop_duplicates())
        chance = self._mixture(places, 1 / (1 + (a_track - 1) * np.nan_to_num(alike)))
        behaviour = chance.argmax(axis=1)
        # numbered by speed
        speed = rows[_column(rows, "speed")].groupby(behaviour).median()
        rank = speed.sort_values(kind="stable").index.to_numpy()
        number = np.argsort(rank, kind="stable")  # of the classes that any window is in
        behaviour = number[np.searchsorted(np.sort(rank), behaviour)] + 1
        xy = self._embedded(places)
        found = pd.DataFrame({"x": xy[:, 0], "y": xy[:, 1]}, index=rows.index)
        found["behaviour"] = pd.array(behaviour, "Int64")
        found["probability"] = chance.max(axis=1)
        long = standard.assign(behaviour=behaviour).melt("behaviour", var_name="measure")
        long["raw"] = values[[*standard]].melt()["value"]
        profile = long.groupby(["behaviour", "measure"], sort=False, as_index=False).agg(
            median=("raw", "median"), standardised=("value", "mean"), n_windows=("value", "size")
        )
        profile["measure"] = profile["measure"].map(columns)
        tracks = rows[TRACK].assign(behaviour=behaviour).drop_duplicates()
        profile["n_tracks"] = profile["behaviour"].map(tracks.groupby("behaviour").size())
        profile = profile.sort_values("behaviour", kind="stable")
        return found, profile

    def _mixture(self, places: np.ndarray, independent: float) -> np.ndarray:
        """(n, k) probability of each class; `independent`: share of the windows that count."""
        from sklearn.mixture import GaussianMixture

        every = -(-len(places) // FIT_ON)
        learnt = places[::every]
        distinct = len(np.unique(learnt, axis=0))
        room = distinct if self.classes else min(distinct, len(learnt) // PER_CLASS)
        most = min(self.classes or self.max_classes, room)
        if most <= 1:
            return np.ones((len(places), 1))
        best: tuple[float, Any] | None = None
        for k in [most] if self.classes else range(1, most + 1):
            mixture = GaussianMixture(k, reg_covar=ROUND, n_init=3, random_state=self.seed)
            mixture.fit(learnt)
            # the BIC is -2 log likelihood + free parameters times log n
            likely = 2 * float(mixture.score(learnt)) * len(learnt)
            free = (float(mixture.bic(learnt)) + likely) / np.log(len(learnt))
            cost = free * np.log(len(learnt) * independent) - likely * independent
            if best is None or cost < best[0]:
                best = cost, mixture
        assert best is not None
        return np.asarray(best[1].predict_proba(places))

    def _embedded(self, places: np.ndarray) -> np.ndarray:
        """(n, 2) places in the plane."""
        if self.embedding == "umap" and len(places) > 3:
            try:
                from umap import UMAP
            except ImportError as error:
                raise lacking("comparison.behaviours: embedding umap", "umap", error) from error
            n_near = min(15, len(places) - 1)
            return np.asarray(
                UMAP(n_neighbors=n_near, random_state=self.seed, n_jobs=1).fit_transform(places)
            )
        return np.pad(places, ((0, 0), (0, max(0, 2 - places.shape[1]))))[:, :2]


def _column(rows: pd.DataFrame, name: str) -> str:
    """The column of a measure: the calibrated one where any field has it."""
    return next((each for each in MEASURES[name] if any_known(rows[each])), MEASURES[name][-1])


def _standardised(values: pd.DataFrame) -> pd.DataFrame:
    """In robust standard deviations from the median; measures that tell nothing are left out."""
    found = {}
    for name, column in values.items():
        x = column.to_numpy(float)
        if np.isnan(x).mean() > 0.5:
            continue
        if name in LOGARITHMIC:
            middle = float(np.nanmedian(x)) or float(np.nanmean(x)) or 1.0
            x = np.log(x + 0.01 * middle)
        low, middle, high = np.nanpercentile(x, [25, 50, 75])
        scale = (high - low) / 1.349
        if scale <= 1e-9:  # most windows have one value: a share that is nearly always 0
            scale = float(np.nanstd(x))
        if scale > 1e-9:
            found[name] = np.clip(np.nan_to_num((x - middle) / scale), -FARTHEST, FARTHEST)
    return pd.DataFrame(found, index=values.index)


def _steadiness(rows: pd.DataFrame, standard: np.ndarray) -> np.ndarray:
    """(m,) correlation of each measure between a window and the track's next that shares no step.

    1 for all where fewer than ten tracks have two.
    """
    code = rows.groupby(TRACK, sort=False).ngroup().to_numpy()
    span = int(rows["end_frame"].max()) + 1
    start, end = (code * span + rows[name].to_numpy() for name in ("start_frame", "end_frame"))
    after = np.searchsorted(start, end)
    here = np.flatnonzero(after < len(code))
    here = here[(code[after[here]] == code[here]) & (after[here] > here)]
    if len(np.unique(code[here])) < 10:
        return np.ones(standard.shape[1])
    one, other = standard[here], standard[after[here]]
    first, then = np.concatenate([one, other]), np.concatenate([other, one])
    first, then = first - first.mean(axis=0), then - then.mean(axis=0)
    steady = divide((first * then).sum(axis=0), (first**2).sum(axis=0))
    return np.clip(np.nan_to_num(steady), 0.05, 1.0)


def _components(values: np.ndarray) -> np.ndarray:
    """(n, d) principal components that hold `SHARE` of the variance; signs by the largest loading."""
    _, size, axes = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    held = np.cumsum(size**2) / max(float(np.sum(size**2)), 1e-300)
    d = min(int(np.searchsorted(held, SHARE)) + 1, len(size))
    top = axes[:d]
    signs = np.sign(top[np.arange(d), np.abs(top).argmax(axis=1)])
    return (values - values.mean(axis=0)) @ (top * signs[:, None]).T


def shares(
    behaviours: TableOf[schemas.Behaviours], design: pd.DataFrame, span: str = ""
) -> TableOf[schemas.ReplicateSummaries]:
    """Share of each class by replicate: the mean over tracks of the share of a track's windows."""
    known = behaviours.dropna(subset="behaviour")
    rows = []
    for _, mine in known.groupby("population", sort=False):
        parts = mine.groupby([*TRACK, "behaviour"]).size().unstack("behaviour", fill_value=0)  # noqa: PD010
        parts = parts.div(parts.sum(axis=1), axis=0).reset_index()
        parts = of_design(parts, design)
        for each in sorted(mine["behaviour"].unique()):
            for group, one in parts.groupby(GROUP, sort=False):
                found = spread_of(one[each])
                shown = f"mean of tracks, share of a track's windows{span}"
                row = summary_row(group, one, f"behaviour_{each}", "", shown)
                rows.append({**row, **found, "value": found["mean"]})
    if not rows:
        return schemas.empty(schemas.ReplicateSummaries)
    table = pd.DataFrame(rows)
    return schemas.conform(
        schemas.ReplicateSummaries, table[[*schemas.dtypes(schemas.ReplicateSummaries)]]
    )
