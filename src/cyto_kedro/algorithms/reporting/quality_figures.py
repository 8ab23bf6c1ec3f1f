"""Figure of the films' quality: mean intensity, focus and saturation of the raw images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.reporting.plots import in_words, pictures, short, wrap
from cyto_kedro.algorithms.reporting.style import PALETTE, colours, figure, styled
from cyto_kedro.algorithms.reporting.summary import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class QualityFigures(Algorithm):
    """Quality of the films, frame by frame.

    Reads ``quality`` (`schemas.Quality`; absent: taken as empty). Returns ``figures``: ``quality``, a
    `Picture`.
    """

    dpi: int = Field(default=144, ge=20, description="resolution of the pictures")

    def __call__(self, data: Data) -> Data:
        return pictures({"quality": draw_quality(table(data, "quality"))}, self.dpi)


def draw_quality(quality: pd.DataFrame) -> Figure:
    """Mean intensity, focus and saturation of each channel, frame by frame, a line per field."""
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
        hues = colours(fovs) if len(fovs) <= len(PALETTE) else dict.fromkeys(fovs, PALETTE[0])
        single = len(quality["frame"].unique()) == 1
        for row, channel in zip(grid, channels, strict=True):
            mine = quality[quality["channel"] == channel].sort_values("frame")
            for ax, (column, title) in zip(row, measures.items(), strict=True):
                factor = 100 if column == "saturated_fraction" else 1
                for fov, one in mine.groupby("fov"):
                    look: dict[str, Any] = {"marker": "o", "ms": 4} if single else {"lw": 1.1}
                    ax.plot(
                        one["frame"],
                        one[column] * factor,
                        color=hues[fov],
                        label=short(fov, 28),
                        clip_on=False,
                        **look,
                    )
                ax.set_ylim(bottom=0)
                if ax in grid[0]:
                    ax.set_title(title)
                if ax in grid[-1]:
                    ax.set_xlabel("frame")
            row[0].set_ylabel(wrap(channel), fontweight="bold")
        if len(fovs) <= len(PALETTE):
            lines, names = grid[0][0].get_legend_handles_labels()
            fig.legend(lines, names, loc="outside lower center", ncols=min(len(fovs), 6))
    return fig
