"""What the generators of `parameters.md` and `tables.md` share: units and Markdown tables."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence

# the last words of a name, longest first -> unit
_UNITS = {
    "_um2_per_min2": "µm²/min²",
    "_px2_per_frame2": "px²/frame²",
    "_um2_per_min": "µm²/min",
    "_px2_per_frame": "px²/frame",
    "_rad_per_frame": "rad/frame",
    "_rad_per_min": "rad/min",
    "_um_per_min": "µm/min",
    "_px_per_frame": "px/frame",
    "_per_px2": "1/px²",
    "_per_mm2": "1/mm²",
    "_per_min": "1/min",
    "_per_h": "1/h",
    "_um2": "µm²",
    "_px2": "px²",
    "_um": "µm",
    "_px": "px",
    "_min": "min",
    "_s": "s",
    "_rad": "rad",
    "_frames": "frames",
    "_frame": "frame",
}
# pixels counted, not measured along a line
_AREAS = ("area_px", "overlap_px", "min_visible_px", "min_size_px")
# names whose last word is not a unit, or that have a unit without saying so
_OTHERS = {
    "frame": "frame",
    "t": "frame",
    "x": "px",
    "y": "px",
    "velocity_x": "px/frame",
    "velocity_y": "px/frame",
    "block_length": "frames",
    "memory": "frames",
    "tiles.overlap_px": "px",
    "dt_frames_from_previous": "frames",
}


def unit(name: str) -> str:
    """The unit that the last word of `name` says, or an empty text."""
    if name in _OTHERS:
        return _OTHERS[name]
    if name.endswith(_AREAS):
        return "px²"
    return next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(each) for each in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def summary(doc: str | None) -> str:
    """The first paragraph of a docstring, as one line of Markdown."""
    return " ".join(_markdown((doc or "").strip().split("\n\n")[0]).split())


def prose(doc: str | None) -> list[str]:
    """What a class's docstring says to its users: its first paragraphs and its notes.

    What it reads, returns and raises is for programmers and left out.
    """
    head, *rest = re.split(r"\n+(\w[\w ]*)\n-{3,}\n", inspect.cleandoc(doc or ""))
    notes = [text for name, text in zip(rest[::2], rest[1::2], strict=True) if name == "Notes"]
    first, *others = "\n\n".join([head, *notes]).strip().split("\n\n")
    skipped = ("Reads ", "Returns ", "Data, ", "State", '``"')
    return [_wrapped(each) for each in (first, *(o for o in others if not o.startswith(skipped)))]


def _wrapped(paragraph: str) -> str:
    items = re.split(r"\n(?=- )", paragraph)
    ends = {"width": 105, "break_long_words": False, "break_on_hyphens": False}
    return "\n".join(
        textwrap.fill(
            " ".join(_markdown(item).split()),
            subsequent_indent="  " * item.startswith("- "),
            **ends,
        )
        for item in items
    )


def _markdown(text: str) -> str:
    """Docstring markup as Markdown; a name in single backquotes is code there too."""
    return text.replace("``", "`")
