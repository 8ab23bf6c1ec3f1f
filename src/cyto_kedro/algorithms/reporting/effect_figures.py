"""Figure of effects: every comparison of conditions with its 95 % interval, by replicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.reporting.findings import number, plain
from cyto_kedro.algorithms.reporting.plots import in_words, short
from cyto_kedro.core.style import FAINT, INK, PALETTE, figure, say, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 30  # rows that can be read on a screen
LOOK = {"primary": (PALETTE[0], "D"), "exploratory": (FAINT, "o"), "control": ("#B9BFC4", "s")}


def effect_rows(comparisons: pd.DataFrame, summaries: pd.DataFrame) -> pd.DataFrame:
    """Comparisons that have an effect size, the primary outcome first, then those with controls last.

    `comparisons`, `summaries`: `schemas.Comparisons`, and the `schemas.ReplicateSummaries` that
    they rest on. Returns `outcome`, `name` (measure, population, pair), `effect`, `low`, `high`
    (Hedges' g), `text` (difference in its unit, n as cells and replicates, corrected p).
    """
    rows = comparisons[comparisons["effect_size"].notna()].copy()
    if "outcome" not in rows:
        rows["outcome"] = "exploratory"
    cells = summaries.groupby(["measure", "population", "condition"])["n_cells"].sum()
    rank = rows["outcome"].map({name: i for i, name in enumerate(LOOK)})
    rows = rows.assign(rank=rank).sort_values("rank", kind="stable")
    made = []
    for row in rows.to_dict("records"):
        measure, population = str(row["measure"]), str(row["population"])
        cells_of = [
            number(cells.get((measure, population, row[side]), np.nan))
            for side in ("condition", "reference")
        ]
        unit = f" {row['unit']}" if row["unit"] else ""
        text = f"{number(row['difference'])}{unit} ({number(row['low'])} to {number(row['high'])})"
        text += f"; n = {' and '.join(cells_of)} cells of {row['n_condition']} and "
        text += f"{row['n_reference']} replicates; p {number(row['p_holm'])}"
        name = f"{plain(measure)}, {short(population, 20)}: "
        name += f"{short(str(row['condition']), 22)} vs {short(str(row['reference']), 22)}"
        effect = {
            "effect": row["effect_size"],
            "low": row["effect_low"],
            "high": row["effect_high"],
        }
        made.append({"outcome": row["outcome"], "name": name, **effect, "text": text})
    columns = ["outcome", "name", "effect", "low", "high", "text"]
    return pd.DataFrame(made, columns=columns)


def draw_effects(rows: pd.DataFrame) -> Figure:
    """Effects as points with intervals on one axis, a row each (`effect_rows`), at most `MOST`."""
    if rows.empty:
        why = "No effect has an interval: each condition needs two replicates at least."
        return in_words("Effects of the conditions", why)
    shown = rows.head(MOST)
    names = [str(name) for name in shown["name"]]
    with styled():
        fig = figure(12.0, 1.3 + 0.34 * len(shown))
        ax = fig.add_subplot()
        ax.axvline(0, color=INK, lw=0.9, zorder=0)
        for at, row in enumerate(shown.to_dict("records")):
            hue, marker = LOOK[row["outcome"]]
            limits = [value for value in (row["low"], row["high"]) if np.isfinite(value)]
            if len(limits) == 2:
                ax.plot(limits, [at, at], color=hue, lw=2.4 if row["outcome"] == "primary" else 1.4)
            said = say(f"{row['name']}: {row['text']}")
            ax.plot(row["effect"], at, marker, color=hue, ms=6, gid=said)
        # what lies far out, by tiny spread between few replicates, must not press the others together
        reach = shown[["effect", "low", "high"]].abs().to_numpy(float)
        far = np.nanquantile(np.nanmax(reach, axis=1), 0.75) if len(shown) else 1.0
        far = float(max(1.2 * far, 1.3 * shown["effect"].abs().max(), 1.0))
        ax.set(xlim=(-far, far), ylim=(len(shown) - 0.4, -0.6))
        for at, row in enumerate(shown.to_dict("records")):  # an interval that goes on outside
            for limit, edge, arrow in ((-row["low"], -far, "<"), (row["high"], far, ">")):
                if limit > far:
                    ax.plot(edge, at, arrow, color=LOOK[row["outcome"]][0], ms=7, clip_on=False)
        ax.set_yticks(range(len(names)), names, fontsize=9)
        ax.set_xlabel(
            "effect: difference over its standard deviation between replicates (Hedges' g)"
        )
        for label, outcome in zip(ax.get_yticklabels(), shown["outcome"], strict=True):
            label.set_fontweight("bold" if outcome == "primary" else "normal")
        look: Any = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": 8.5}
        for at, text in enumerate(shown["text"]):
            ax.text(1.01, at, text, **look)
        ax.tick_params(axis="y", length=0)
    return fig
