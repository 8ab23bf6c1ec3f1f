"""Two statements of one fact: who holds, what is said, what is refused."""

from __future__ import annotations

import math

import pytest

from cyto_kedro.errors import InputError
from cyto_kedro.statements import (
    FRAME_INTERVAL,
    IMAGE,
    PIXEL_SIZE,
    SIDE_FILE,
    Statement,
    compare,
    settle,
    times_of,
)


def size(value: float, source: str = "a.tif, PhysicalSizeX", rank: int = IMAGE) -> Statement:
    return Statement("pixel size", value, source, rank)


@pytest.mark.parametrize("value", [264.58, 6.5e-5, 0.0, -1.0, math.nan, math.inf, 50.1, 0.0099])
def test_what_cannot_be_is_refused_by_file_and_key(value: float) -> None:
    found, remarks = settle("field 'f'", PIXEL_SIZE, [size(value), size(0.65, "b.tif, X")])
    assert found is not None and found.source == "b.tif, X"
    (remark,) = remarks
    assert remark.startswith("a.tif, PhysicalSizeX says") and "cannot be" in remark
    assert settle("f", PIXEL_SIZE, [size(value)])[0] is None


@pytest.mark.parametrize("value", [0.01, 0.0645, 50.0])
def test_what_can_be_is_believed(value: float) -> None:
    assert settle("f", PIXEL_SIZE, [size(value)]) == (size(value), [])


def test_what_the_user_states_holds_and_is_said() -> None:
    found, remarks = settle("f", PIXEL_SIZE, [size(0.325)], 0.65)
    assert found is not None and found.value == 0.65
    (remark,) = remarks
    for said in (
        "assay.pixel_size_um says 0.65 µm",
        "PhysicalSizeX says 0.325 µm",
        "first is used",
    ):
        assert said in remark
    assert settle("f", PIXEL_SIZE, [size(0.6501)], 0.65)[1] == []
    found, remarks = settle("f", PIXEL_SIZE, [], 650.0)
    assert found is not None and found.value == 650.0 and "as you state it" in remarks[0]


def test_the_side_file_comes_before_the_image() -> None:
    found, remarks = settle("f", PIXEL_SIZE, [size(0.3), size(0.5, "side", SIDE_FILE)])
    assert found is not None and found.value == 0.5 and "0.3" in remarks[0]


def test_equals_that_differ_are_an_error_unless_somebody_decides() -> None:
    said = [size(0.3), size(0.5, "b.tif, X")]
    with pytest.raises(InputError, match=r"a\.tif, .*0\.3.*b\.tif, .*0\.5.*assay\.pixel_size_um"):
        settle("field 'f'", PIXEL_SIZE, said)
    found, remarks = settle("f", PIXEL_SIZE, said, 0.3)
    assert found is not None and found.value == 0.3 and len(remarks) == 1


def test_time_stamps_that_agree_say_more_than_the_interval() -> None:
    stamps = (0.0, 118.0, 241.0, 359.0)
    real = Statement("frame interval", 118.0, "a, DeltaT", tolerance=0.05)
    held, _ = settle("f", FRAME_INTERVAL, [real], 120.0)
    assert times_of(4, held, stamps, [real]) == stamps
    held, remarks = settle("f", FRAME_INTERVAL, [real], 60.0)
    assert times_of(4, held, stamps, [real]) == (0.0, 60.0, 120.0, 180.0) and remarks
    regular = Statement("frame interval", 118.0, "a, finterval")
    held, remarks = settle("f", FRAME_INTERVAL, [regular], 120.0)
    assert times_of(3, held, stamps, [regular]) == (0.0, 120.0, 240.0) and remarks


def test_sources_from_elsewhere_are_compared() -> None:
    theirs = size(0.1, "s.xml, pixelwidth")
    said = compare("f", PIXEL_SIZE, 0.65, theirs)
    assert said is not None and "0.65" in said and "s.xml, pixelwidth says 0.1" in said
    assert compare("f", PIXEL_SIZE, 0.1, theirs) is None
    assert compare("f", PIXEL_SIZE, 0.65, None) is None
    assert "cannot be" in str(compare("f", PIXEL_SIZE, None, size(math.nan)))
