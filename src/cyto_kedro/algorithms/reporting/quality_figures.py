"""Figure of the films' quality: mean intensity, focus and saturation of the raw images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from cyto_kedro.algorithms.reporting.plots import Drawing, Drawn, Sheet, in_words, short, wrap
from cyto_kedro.core.groups import condition_order, with_condition
from cyto_kedro.core.style import PALETTE, colours, figure, say, strokes, styled
from cyto_kedro.core.units import three_digits
from cyto_kedro.schemas import Quality, TableOf, or_empty

if TYPE_CHECKING:
    from matplotlib.figure import Figure


MOST_NAMED = 24  # lines of the legend


class QualityFigures(Drawing):
    """Quality of the films, frame by frame.

    Examples
    --------
    >>> from cyto_kedro.schemas import filled
    >>> quality = {"fov": "A1", "channel": "TCell", "frame": range(3), "mean": [9.0, 8, 7]}
    >>> drawn = QualityFigures(dpi=50)(quality=filled(Quality, quality))
    >>> drawn["figures"]["quality"].title
    'Quality of the films'
    """

    def run(self, quality: TableOf[Quality] | None = None, sample_sheet: Sheet = None) -> Drawn:
        """Draw ``quality``."""
        quality = or_empty(quality, Quality)
        return self.finished({"quality": draw_quality(quality, sample_sheet)}, {"quality": quality})


def draw_quality(quality: pd.DataFrame, sheet: Sheet = None) -> Figure:
    """Mean intensity, focus and saturation of each channel, frame by frame, a line per field.

    Few fields have a colour each, of more those of one condition are alike.
    """
    channels = list(pd.unique(quality["channel"]))
    measures = {
        "mean": "mean intensity",
        "focus": "focus (a.u.)",
        "saturated_fraction": "saturated pixels (%)",
    }
    if not channels:
        return in_words("Quality of the films", "No raw image was measured.")
    with styled():
        fig = figure(8.4, 1.0 + 1.7 * max(len(channels), 1))
        grid = fig.subplots(len(channels), len(measures), squeeze=False, sharex=True)
        fovs = sorted(quality["fov"].unique())
        groups, many = dict(zip(fovs, fovs, strict=True)), len(fovs) > len(PALETTE)
        if many:
            known = with_condition(pd.DataFrame({"fov": fovs}), sheet)
            groups = dict(zip(known["fov"], known["condition"], strict=True))
        names = condition_order(sheet if many else None, pd.Series(list(groups.values())))
        hues, lines = colours(names), strokes(names) if many else dict.fromkeys(names, "solid")
        single = len(quality["frame"].unique()) == 1
        for row, channel in zip(grid, channels, strict=True):
            mine = quality[quality["channel"] == channel].sort_values("frame")
            for ax, (column, title) in zip(row, measures.items(), strict=True):
                factor = 100 if column == "saturated_fraction" else 1
                for fov, one in mine.groupby("fov"):
                    look: dict[str, Any] = {"marker": "o", "ms": 4} if single else {"lw": 1.1}
                    values = one[column] * factor
                    group = groups[str(fov)]
                    low, high = map(three_digits, (values.min(), values.max()))
                    said = f"{fov}: {low} to {high}"
                    look |= {"color": hues[group], "ls": lines[group], "gid": say(said)}
                    ax.plot(one["frame"], values, clip_on=False, **look)
                ax.set_ylim(bottom=0)
                if ax in grid[0]:
                    ax.set_title(title)
                if ax in grid[-1]:
                    ax.set_xlabel("frame")
            row[0].set_ylabel(wrap(channel), fontweight="bold")
        for name in names[:MOST_NAMED]:
            grid[0][0].plot([], [], color=hues[name], ls=lines[name], label=short(name, 24))
        handles = grid[0][0].get_legend_handles_labels()
        fig.legend(*handles, loc="outside lower left", ncols=3, handlelength=3.2)
    return fig
