"""What the generators of `parameters.md` and `tables.md` share: prose and Markdown tables."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence


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
