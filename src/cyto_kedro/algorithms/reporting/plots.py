"""What the figures of all topics share: a figure of words, short names, pictures, time axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import fill
from typing import TYPE_CHECKING, ClassVar, Literal, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.reporting.captions import FIGURES as WORDS
from cyto_kedro.core.groups import any_known
from cyto_kedro.core.style import figure, pdf, png, styled, svg
from cyto_kedro.images import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW = 4  # conditions that have room for numbers in a panel
Sheet = pd.DataFrame | None
Roles = Mapping[str, str]


class Drawn(TypedDict):
    """Finished pictures by name."""

    figures: Mapping[str, Picture]


def in_words(title: str, why: str) -> Figure:
    """A figure without axes that says why there is nothing to draw."""
    with styled():
        fig = figure(7.2, 1.5)
        fig.set_label(why)
        ax = fig.add_subplot()
        ax.set(title=title, xlim=(0, 1), ylim=(0, 1))
        ax.axis("off")
        ax.text(0, 0.5, fill(why, 84), va="center", fontsize=11)
    return fig


class Drawing(Algorithm):
    """What every class of figures can be told."""

    version: ClassVar[int] = 2  # whole lines in a PDF of a stated width

    dpi: int = Field(default=144, ge=20, description="resolution of the pictures")
    formats: tuple[Literal["svg", "pdf"], ...] = Field(
        default=("svg",), description="vector files beside each picture"
    )
    width_mm: float | None = Field(
        default=180.0, gt=0, description="width of vector files, text in proportion; null: as drawn"
    )

    def finished(
        self, figures: Mapping[str, Figure], numbers: Mapping[str, pd.DataFrame] | None = None
    ) -> Drawn:
        """Each figure as a picture, with the words of `captions` and the table that it shows.

        A figure of words (`in_words`) has these as its caption, and no text for who cannot see it.
        """
        made = {}
        for name, fig in figures.items():
            title, caption, alt = WORDS[name]
            bitmap = png(fig, self.dpi)
            if why := str(fig.get_label()):
                made[name] = Picture(bitmap, title, why, "")
                continue
            fig.set_layout_engine("none")  # it is laid out once, for all formats
            made[name] = Picture(
                *(bitmap, title, caption, alt),
                svg=svg(fig, name, self.width_mm) if "svg" in self.formats else "",
                numbers=csv((numbers or {}).get(name)),
                pdf=pdf(fig, title, self.width_mm) if "pdf" in self.formats else b"",
            )
        return {"figures": made}


def csv(table: pd.DataFrame | None) -> str:
    """The numbers behind a figure, as text; blank without any."""
    return "" if table is None or table.empty else table.to_csv(index=False)


def film_time(frames: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """fov, frame, time of every frame, and the unit: ``min``, or ``frames`` where none is known.

    Fields without times are left out where others have them, as in all numbers of the report.
    """
    unit = "min" if any_known(frames["time_s"]) else "frames"
    if unit == "min":
        frames = frames[frames["time_s"].notna()]
    time = frames["time_s"] / 60 if unit == "min" else frames["frame"]
    table = frames[["fov", "frame"]].assign(time=time.astype(float))
    return table.sort_values(["fov", "frame"], ignore_index=True), unit


def at_frame(table: pd.DataFrame, frame: str, time: pd.DataFrame) -> np.ndarray:
    """The time of the frame in column `frame` of each row; NaN where that is null."""
    place = pd.MultiIndex.from_arrays([table["fov"], table[frame].astype(float)])
    known_at = time.assign(frame=time["frame"].astype(float)).set_index(["fov", "frame"])["time"]
    return known_at.reindex(place).to_numpy(float)


def by_parts(given: pd.DataFrame | Iterable[pd.DataFrame] | None) -> Iterable[pd.DataFrame]:
    """A table, or its parts one by one, as parts; a long table need not be held at once."""
    if given is None:
        return ()
    return (given,) if isinstance(given, pd.DataFrame) else given


def short(name: str, width: int = 16) -> str:
    """`name` in at most `width` characters, its middle left out: names often differ at the end.

    A space is put before a first "_", since matplotlib leaves such names out of legends.
    """
    name = f" {name}" if name.startswith("_") else name
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"


def wrap(name: str) -> str:
    """`name` in lines of 14 characters."""
    return fill(name, 14)


def count(n: int, noun: str) -> str:
    """``1 field``, ``2 fields``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
