"""What several sources say of one fact: believed within bounds, compared, and which of them holds.

What the user states in the assay's parameters holds, then the side file, then the image. A value
that no microscope has is refused as a source. Wherever two differ, both are named.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cyto_kedro.errors import InputError

FactName = Literal["pixel size", "frame interval"]


@dataclass(frozen=True)
class Fact:
    """A number that a film has one of: its unit, what it can be, and the user's key for it."""

    name: FactName
    unit: str
    low: float
    high: float
    key: str


PIXEL_SIZE = Fact("pixel size", "µm", 0.01, 50.0, "assay.pixel_size_um")
FRAME_INTERVAL = Fact("frame interval", "s", 0.01, 86_400.0, "assay.frame_interval_s")
FACTS: dict[str, Fact] = {fact.name: fact for fact in (PIXEL_SIZE, FRAME_INTERVAL)}

# who is heard first; the interval that was asked for comes after the time stamps of what was done
ASSAY, SIDE_FILE, IMAGE, NOMINAL = 0, 1, 2, 3
JITTER = 0.05  # of real time stamps about the interval that was asked for


@dataclass(frozen=True)
class Statement:
    """One source's word on a fact."""

    #: which fact
    fact: FactName
    #: in the fact's unit
    value: float
    #: file and key, as the user would look it up
    source: str
    #: `ASSAY`, `SIDE_FILE`, `IMAGE` or `NOMINAL`
    rank: int = IMAGE
    #: relative difference that is none: of rounding, or, of real time stamps, their jitter
    tolerance: float = 1e-3

    @property
    def doubt(self) -> str | None:
        """Why the value cannot be believed; None where it can."""
        fact = FACTS[self.fact]
        if math.isfinite(self.value) and fact.low <= self.value <= fact.high:
            return None
        return (
            f"{self.source} says a {fact.name} of {self.value:g} {fact.unit}, which cannot be (it is "
            f"{fact.low:g} to {fact.high:g} {fact.unit}): not used"
        )

    def differs(self, other: Statement) -> bool:
        """Whether two statements cannot both be true."""
        allowed = max(self.tolerance, other.tolerance)
        return abs(self.value - other.value) > allowed * max(abs(self.value), abs(other.value))

    def __str__(self) -> str:
        return f"{self.source} says {self.value:g} {FACTS[self.fact].unit}"


def believed(said: Iterable[Statement]) -> tuple[list[Statement], list[str]]:
    """The statements that can be true, one of those that agree; and why the others cannot."""
    kept: list[Statement] = []
    doubts: list[str] = []
    for each in said:
        if (doubt := each.doubt) is not None:
            doubts.append(doubt)
        elif not any(
            each.fact == other.fact and each.rank == other.rank and not each.differs(other)
            for other in kept
        ):
            kept.append(each)
    return kept, list(dict.fromkeys(doubts))


def settle(
    place: str, fact: Fact, said: Sequence[Statement], stated: float | None = None
) -> tuple[Statement | None, list[str]]:
    """Which statement on `fact` holds, and what is to be said of the others.

    `place`: of what it is a fact, for messages. `said`: what files say; those on other facts are
    left out. `stated`: what the user states under `fact.key`; it holds whatever files say. Raises
    InputError if two sources of equal rank differ and nobody with a say over them decides.
    """
    heard, remarks = believed(each for each in said if each.fact == fact.name)
    if stated is not None:
        own = Statement(fact.name, stated, fact.key, ASSAY)
        if own.doubt is not None:
            remarks.append(f"{own} a pixel or frame, which no microscope has: used as you state it")
        heard.append(own)
    heard.sort(key=lambda each: each.rank)
    if not heard:
        return None, remarks
    first = heard[0]
    for other in heard[1:]:
        if not first.differs(other):
            continue
        if other.rank == first.rank:
            raise InputError(
                f"{place}: two statements of its {fact.name}: {first}, {other}. State the right "
                f"one as {fact.key}, or correct the files"
            )
        remarks.append(f"two statements of its {fact.name}: {first}, {other}; the first is used")
    return first, remarks


def compare(place: str, fact: Fact, ours: float | None, theirs: Statement | None) -> str | None:
    """A sentence where a source from elsewhere differs from the field, or cannot be believed."""
    if theirs is None:
        return None
    if theirs.doubt is not None:
        return f"{place}: {theirs.doubt}"
    if ours is None or not theirs.differs(replace(theirs, value=ours)):
        return None
    return (
        f"{place}: two statements of its {fact.name}: the field has {ours:g} {fact.unit}, {theirs}; "
        "the field's is used"
    )


def times_of(
    n_frames: int,
    holds: Statement | None,
    stamps: tuple[float, ...] | None,
    said: Iterable[Statement],
) -> tuple[float, ...] | None:
    """Seconds of each frame: time stamps where they agree with what `holds`, else its multiples.

    Real stamps jitter about the interval that a user states, and say more than it does.
    """
    if holds is None:
        return stamps
    agree = any(
        each.fact == holds.fact and each.rank == IMAGE and not each.differs(holds) for each in said
    )
    if stamps is not None and agree:
        return stamps
    return tuple(t * holds.value for t in range(n_frames))
