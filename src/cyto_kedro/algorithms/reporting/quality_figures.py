"""Figure of the films' quality: mean intensity, focus and saturation of the raw images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.reporting.plots import Drawn, in_words, pictures, short, wrap
from cyto_kedro.core.style import PALETTE, colours, figure, styled
from cyto_kedro.schemas import Quality, TableOf, or_empty

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class QualityFigures(Algorithm):
    """Quality of the films, frame by frame.

    Examples
    --------
    >>> from cyto_kedro.schemas import filled
    >>> quality = {"fov": "A1", "channel": "TCell", "frame": range(3), "mean": [9.0, 8, 7]}
    >>> drawn = QualityFigures(dpi=50)(quality=filled(Quality, quality))
    >>> drawn["figures"]["quality"].title
    'Quality of the films'
    """

    dpi: int = Field(default=144, ge=20, description="resolution of the pictures")

    def run(self, quality: TableOf[Quality] | None = None) -> Drawn:
        """Draw ``quality``."""
        quality = or_empty(quality, Quality)
        return pictures({"quality": draw_quality(quality)}, self.dpi, {"quality": quality})


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
