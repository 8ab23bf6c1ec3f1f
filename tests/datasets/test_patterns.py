"""What paths say: plates, wells, times, stepped numbers, endings."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest
import tifffile

from cyto_kedro.datasets.name_parts import TIME, WELL, seconds, well_name
from cyto_kedro.datasets.patterns import Pattern
from cyto_kedro.datasets.raw import open_raw, scan
from cyto_kedro.errors import InputError

RNG = np.random.default_rng(0)
FILM = RNG.integers(0, 4000, (6, 20, 24)).astype(np.uint16)


def frames(folder, names, film=FILM):
    for name, frame in zip(names, film, strict=False):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, frame, photometric="minisblack")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00d00h10m", 600),
        ("01d02h03m04s", 93_784),
        ("1h30m", 5400),
        ("90min", 5400),
        ("2.5h", 9000),
        ("250ms", 0.25),
        ("45s", 45),
        ("1970y01m02d_01h00m", 90_000),
        ("19700102T010005", 90_005),
        ("1970-01-02_01-00", 90_000),
    ],
)
def test_times_in_names(text, expected):
    assert re.fullmatch(TIME, text)
    assert seconds(text) == expected
    found = Pattern("{plate}_{well}_{fov}_{time}.tif").match(f"VID1_A1_2_{text}.tif")
    assert (found.fov, found.time_s, found.plate, found.well) == (
        "VID1_A1_2",
        expected,
        "VID1",
        "A1",
    )


@pytest.mark.parametrize("text", ["10", "10x", "1h30", "A1", "10minutes"])
def test_what_is_no_time(text):
    assert Pattern("{fov}_{time}.tif").match(f"a_{text}.tif") is None


def test_a_time_that_cannot_be():
    with pytest.raises(InputError, match="is no time"):
        Pattern("{fov}_{time}.tif").match("a_20261939T100000.tif")


@pytest.mark.parametrize(
    ("text", "name"),
    [("A01", "A1"), ("p24", "P24"), ("r02c07", "B7"), ("H12", "H12"), ("Q1", None), ("A0", None)],
)
def test_wells(text, name):
    assert bool(re.fullmatch(WELL, text)) == (name is not None)
    assert name is None or well_name(text) == name


def test_times_in_names_are_times(tmp_path, caplog):
    minutes = (0, 10, 20, 30, 90, 100)
    frames(tmp_path, [f"VID1_A1_1_00d{m // 60:02}h{m % 60:02}m.tif" for m in minutes])
    (found,) = scan(str(tmp_path), "{plate}_{well}_{fov}_{time}.tif", ["x"])
    assert (found.fov, found.plate, found.well) == ("VID1_A1_1", "VID1", "A1")
    assert found.time_s == tuple(60.0 * m for m in minutes)  # an hour without frames stays one
    np.testing.assert_array_equal(open_raw(found).compute(), FILM)
    frames(tmp_path, ["VID1_A1_1_0d0h10m.tif"])
    with pytest.raises(InputError, match="two files, "):
        scan(str(tmp_path), "{plate}_{well}_{fov}_{time}.tif", ["x"])


def test_dates_in_names_count_from_the_first_frame(tmp_path):
    frames(
        tmp_path, [f"a_2026y02m28d_23h{m}m.tif" for m in (50, 55)] + ["a_2026y03m01d_00h00m.tif"]
    )
    (found,) = scan(str(tmp_path), "{fov}_{time}.tif", ["x"])
    assert (found.fov, found.time_s) == ("a", (0.0, 300.0, 600.0))


def test_stepped_numbers(tmp_path, caplog):
    for fov in ("a", "b"):
        frames(tmp_path, [f"{fov}/t{n:03}.TIF" for n in range(0, 60, 10)])
    with caplog.at_level(logging.WARNING):
        found = scan(str(tmp_path), "{fov}/t{frame}.tif", ["x"])
    assert [raw.n_frames for raw in found] == [6, 6]
    assert "go up by 10" in caplog.text
    np.testing.assert_array_equal(open_raw(found[0]).compute(), FILM)
    (tmp_path / "b" / "t020.TIF").unlink()
    with pytest.raises(InputError, match=r"fov b: frame 20 is missing between b/t010\.TIF"):
        scan(str(tmp_path), "{fov}/t{frame}.tif", ["x"])


def test_two_frames_show_no_step(tmp_path):
    frames(tmp_path, ["t1.tif", "t3.tif"])
    with pytest.raises(InputError, match="frame 2 is missing"):
        scan(str(tmp_path), "t{frame}.tif", ["x"])


def test_channels_one_frame_apart_are_refused(tmp_path):
    """Of equal length, but the first frame of one is missing and the last of the other."""
    frames(tmp_path, [f"T_{n}.tif" for n in range(5)])
    frames(tmp_path, [f"D_{n}.tif" for n in range(1, 6)])
    with pytest.raises(
        InputError, match=r"fov fov1: .*_\d\.tif of channel \w and .* would be one frame"
    ):
        scan(str(tmp_path), "{channel}_{frame}.tif", ["T", "D"])
    frames(tmp_path / "times", [f"T_{n}min.tif" for n in (0, 10, 20)])
    frames(tmp_path / "times", [f"D_{n}min.tif" for n in (1, 11, 21)])
    assert len(scan(str(tmp_path / "times"), "{channel}_{time}.tif", ["T", "D"])) == 2
    frames(tmp_path / "late", [f"T_{n}min.tif" for n in (0, 10, 20)])
    frames(tmp_path / "late", [f"D_{n}min.tif" for n in (10, 20, 30)])
    with pytest.raises(InputError, match="would be one frame"):
        scan(str(tmp_path / "late"), "{channel}_{time}.tif", ["T", "D"])


def test_a_field_numbered_from_later_on_is_said(tmp_path, caplog):
    frames(
        tmp_path,
        [f"a/{n}.tif" for n in range(5)] + [f"b/{n}.tif" for n in range(2, 6)],
        [FILM[0]] * 9,
    )
    with caplog.at_level(logging.WARNING):
        scan(str(tmp_path), "{fov}/{frame}.tif", ["x"])
    assert "numbered from 2, those of field a from 0" in caplog.text


def test_names_of_microscopes_in_patterns(tmp_path):
    """A GUID after the channel, which may begin with a digit; upper-case endings."""
    guid = "0F2C-11AB"
    for well in ("A01", "B12"):
        for c in "12":
            frames(tmp_path, [f"TimePoint_{t + 1}/exp_{well}_s1_w{c}{guid}.TIF" for t in range(6)])
    pattern = "TimePoint_{frame}/exp_{well}_s{fov}_w{channel}*.tif"
    found = scan(str(tmp_path), pattern, {"T": "1", "D": "2"})
    assert [(raw.fov, raw.channel, raw.well) for raw in found] == [
        ("A01_1", "T", "A01"),
        ("A01_1", "D", "A01"),
        ("B12_1", "T", "B12"),
        ("B12_1", "D", "B12"),
    ]


def test_two_wells_whose_fields_would_be_called_alike(tmp_path):
    frames(tmp_path, ["p_A1/A2/x.tif", "p/A1_A2/x.tif"])
    with pytest.raises(InputError, match="would be called"):
        scan(str(tmp_path), "{plate}/{fov}/x.tif", ["c"])


def test_everything_wrong_in_a_folder_is_told_at_once(tmp_path):
    for fov in ("a", "b", "c", "d"):
        frames(
            tmp_path, [f"{fov}/{c}_{t}.tif" for c in ("T", "D") for t in range(3)], [FILM[0]] * 6
        )
    (tmp_path / "a" / "T_1.tif").unlink()
    for path in (tmp_path / "b").glob("D_*.tif"):
        path.unlink()
    (tmp_path / "c" / "D_2.tif").write_bytes((tmp_path / "c" / "T_2.tif").read_bytes()[:300])
    with pytest.raises(InputError) as caught:
        scan(str(tmp_path), "{fov}/{channel}_{frame}.tif", ["T", "D"])
    text = str(caught.value)
    assert text.startswith("3 things are wrong with the films in")
    assert "fov a, channel T: frame 1 is missing" in text
    assert "fov b: channel D is missing" in text
    assert "c/D_2.tif is" in text and "fov d" not in text
