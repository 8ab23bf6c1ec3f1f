"""The figure of behaviours: windows by class, what a class is like, its share by condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.captions import FIGURES as WORDS
from cyto_kedro.algorithms.reporting.findings import plain
from cyto_kedro.algorithms.reporting.plots import Drawing, Drawn, Sheet, count, in_words, short
from cyto_kedro.core.groups import condition_order
from cyto_kedro.core.style import HUES, colours, figure, say, styled
from cyto_kedro.schemas import TableOf

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 4000  # windows shown of a population


class BehaviourFigures(Drawing):
    """Classes of behaviour, a row of panels for each population.

    Examples
    --------
    >>> rows = {"fov": "A1", "population": "TCell", "track_id": range(1, 5), "window": 1}
    >>> rows = rows | {"x": [0.0, 1, 5, 6], "y": 0.0, "behaviour": [1, 1, 2, 2]}
    >>> profile = {"population": "TCell", "behaviour": [1, 2], "measure": "speed_um_per_min"}
    >>> shares = {"population": "TCell", "measure": ["behaviour_1", "behaviour_2"], "value": 0.5}
    >>> drawn = BehaviourFigures(dpi=50)(
    ...     behaviours=schemas.filled(schemas.Behaviours, rows),
    ...     behaviour_profiles=schemas.filled(
    ...         schemas.BehaviourProfiles, profile | {"standardised": [-1.0, 1.0]}),
    ...     replicate_summaries=schemas.filled(schemas.ReplicateSummaries, shares))["figures"]
    >>> drawn["behaviours"].title
    'Kinds of behaviour'
    """

    def run(
        self,
        behaviours: TableOf[schemas.Behaviours],
        behaviour_profiles: TableOf[schemas.BehaviourProfiles],
        replicate_summaries: TableOf[schemas.ReplicateSummaries],
        sample_sheet: Sheet = None,
    ) -> Drawn:
        """Draw ``behaviours``."""
        fig = draw_behaviours(behaviours, behaviour_profiles, replicate_summaries, sample_sheet)
        return self.finished({"behaviours": fig}, {"behaviours": replicate_summaries})


def draw_behaviours(
    behaviours: TableOf[schemas.Behaviours],
    profiles: TableOf[schemas.BehaviourProfiles],
    shares: TableOf[schemas.ReplicateSummaries],
    sheet: Sheet,
) -> Figure:
    """Three panels for each population: places, profiles, shares."""
    known = behaviours.dropna(subset="behaviour")
    populations = list(known["population"].unique())
    if not populations:
        return in_words(
            WORDS["behaviours"][0],
            "No track was seen for as long as a window (contacts.windows.args.duration_min).",
        )
    conditions = condition_order(sheet, shares["condition"])
    hues = colours(conditions)
    with styled():
        fig = figure(12.6, 3.9 * len(populations) + 0.2 * len(conditions))
        grid = fig.subplots(
            len(populations), 3, squeeze=False, gridspec_kw={"width_ratios": [3, 4, 4]}
        )
        for row, population in zip(grid, populations, strict=True):
            mine, told, share = (
                each[each["population"] == population] for each in (known, profiles, shares)
            )
            _places(row[0], mine, population)
            _profile(row[1], told)
            _shares(row[2], share, conditions, hues)
        for name in conditions:
            n = shares.loc[shares["condition"] == name, "replicate"].nunique()
            label = f"{short(name, 28)}  ({count(n, 'replicate')})"
            grid[0][2].plot([], [], "o", color=hues[name], label=label)
        fig.legend(*grid[0][2].get_legend_handles_labels(), loc="outside lower left")
    return fig


def _places(ax: Axes, mine: pd.DataFrame, population: str) -> None:
    """Windows in the embedding, coloured by class."""
    ax.set(title=f"{short(population, 16)}: windows", xlabel="x", ylabel="y")
    ax.set(xticks=[], yticks=[])
    for each, one in mine.iloc[:: -(-len(mine) // MOST)].groupby("behaviour"):
        number = int(str(each))
        hue = HUES[(number - 1) % len(HUES)]
        ax.scatter(one["x"], one["y"], s=7, color=hue, lw=0, alpha=0.6, gid=say(f"class {number}"))
        words: Any = {"fontweight": "bold", "ha": "center", "va": "center"}
        ax.text(one["x"].median(), one["y"].median(), str(number), **words).set_bbox(
            {"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": hue, "alpha": 0.85}
        )


def _profile(ax: Axes, told: pd.DataFrame) -> None:
    """A grid of the classes' measures."""
    table = told.pivot_table(
        index="behaviour", columns="measure", values="standardised", sort=False
    )
    limit = max(1.0, float(np.abs(table.to_numpy()).max()))
    ax.imshow(table, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    for (i, j), value in np.ndenumerate(table.to_numpy()):
        ink = "white" if abs(value) > 0.6 * limit else "black"
        ax.text(
            j, i, f"{value:.1f}".replace("-", "−"), ha="center", va="center", fontsize=8, color=ink
        )
    names = [plain(_stem(str(name))) for name in table.columns]
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right")
    n = told.drop_duplicates("behaviour").set_index("behaviour")["n_windows"]
    ax.set_yticks(range(len(table)), [f"{each}\n(n = {n[each]})" for each in table.index])
    ax.set(title="What a class is like", ylabel="class")


def _stem(column: str) -> str:
    """The name of a measure without its unit."""
    for ending in ("_um_per_min", "_px_per_frame", "_um", "_px"):
        column = column.removesuffix(ending)
    return column


def _shares(ax: Axes, share: pd.DataFrame, conditions: list[str], hues: dict[str, str]) -> None:
    """Points of replicates and the means of conditions, side by side in each class."""
    measures = sorted(share["measure"].unique(), key=lambda m: int(m.rpartition("_")[2]))
    width = 0.8 / max(len(conditions), 1)
    for i, measure in enumerate(measures):
        for j, name in enumerate(conditions):
            one = share[(share["measure"] == measure) & (share["condition"] == name)]
            at = i + (j - (len(conditions) - 1) / 2) * width
            if not len(one):
                continue
            mean = 100 * one["value"].mean()
            said = say(f"{name}: {mean:.0f} % in class {i + 1}")
            ax.hlines(mean, at - width / 2.5, at + width / 2.5, color=hues[name], gid=said)
            for value, replicate in zip(one["value"], one["replicate"], strict=True):
                said = say(f"{name}, {replicate}: {100 * value:.0f} %")
                ax.plot(at, 100 * value, "o", color=hues[name], ms=4, alpha=0.7, gid=said)
    ax.set_xticks(range(len(measures)), [m.rpartition("_")[2] for m in measures])
    ax.set(title="Share of a cell's time", xlabel="class", ylabel="share (%)", ylim=(-3, 103))
