"""Lengths and times in two units: what is said, what counts, what is refused."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from pydantic import ValidationError

from cyto_kedro.algorithms.base import Algorithm, construct
from cyto_kedro.core.units import (
    Area,
    Duration,
    Length,
    Lengths,
    PositiveLength,
    quantity_of,
    spelled,
)
from cyto_kedro.errors import ConfigError


class Nothing(TypedDict):
    value: float


class Reach(Algorithm):
    reach: PositiveLength = Length(um=6.0, px=9.0)
    gap: Duration | None = Duration(min=4.0, frames=2)
    least: Area | None = None
    name: str = "a"

    def run(self, pixel_size_um: float | None = None) -> Nothing:
        return {"value": self.reach.in_px("reach", pixel_size_um)}


def test_a_length_counts_in_um_where_the_film_is_calibrated_and_in_px_elsewhere() -> None:
    assert Length(um=6, px=9).in_px("reach", 0.5) == 12
    assert Length(um=6, px=9).in_px("reach", None) == 9
    assert Length(px=9).in_px("reach", 0.5) == 9
    assert Area(um2=6).in_px("least", 0.5) == 24
    assert Lengths(um=(1, 2)).in_px("radii", 0.5) == (2, 4)


def test_micrometres_without_a_pixel_size_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"reach_um=6.0 needs the pixel size.*use reach_px"):
        Length(um=6).in_px("reach", None)


def test_a_duration_follows_the_frame_interval() -> None:
    assert Duration(min=4, frames=9).timed("gap", False) == (9.0, False)
    assert Duration(frames=3).timed("gap", True) == (3.0, False)
    assert Duration(min=4, frames=9).timed("gap", True) == (4.0, True)
    with pytest.raises(ConfigError, match=r"gap_min=4.0 needs frame times"):
        Duration(min=4).timed("gap", False)


@pytest.mark.parametrize(
    ("given", "reach", "gap"),
    [
        ({}, Length(um=6, px=9), Duration(min=4, frames=2)),
        ({"reach_px": 5, "gap_frames": 3}, Length(px=5), Duration(frames=3)),
        ({"reach_um": 5, "reach_px": 7}, Length(um=5, px=7), Duration(min=4, frames=2)),
        ({"reach": {"um": 2}, "gap_min": None}, Length(um=2), None),
        ({"gap_min": None, "gap_frames": 1}, Length(um=6, px=9), Duration(frames=1)),
    ],
)
def test_what_is_said_replaces_the_default_whole(given: Any, reach: Any, gap: Any) -> None:
    made = construct(Reach, given)
    assert (made.reach, made.gap) == (reach, gap)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reach_um": 0}, "greater than 0"),
        ({"reach_um": -1}, "greater than or equal to 0"),
        ({"reach_um": float("nan")}, "finite"),
        ({"reach_mm": 1}, "Did you mean 'reach_um'"),
        ({"reach_um": 1, "reach": {"px": 2}}, "give one"),
        ({"reach_um": None}, "reach"),
    ],
)
def test_what_cannot_be_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        construct(Reach, given)


def test_a_quantity_needs_a_value() -> None:
    with pytest.raises(ValidationError, match="um and px"):
        Length()


def test_parameters_are_spelled_in_each_of_their_units() -> None:
    names = [written for written, _, _ in spelled(Reach)]
    assert names == [
        "reach_um",
        "reach_px",
        "gap_min",
        "gap_frames",
        "least_um2",
        "least_px",
        "name",
    ]
    assert quantity_of(str | None) is None


def test_the_value_reaches_run() -> None:
    assert Reach(reach_um=3)(pixel_size_um=0.5)["value"] == 6
