"""Micro-Manager's NDTiff, written here byte by byte as its format says, and by its own library."""

from __future__ import annotations

import json
import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cyto_kedro.datasets import ndtiff
from cyto_kedro.datasets.raw import open_raw, scan
from cyto_kedro.errors import InputError
from cyto_kedro.new_assay.looking import look

NAMES = ("CFSE", "PI")
FILM = (
    np.random.default_rng(3).integers(0, 4000, (2, 3, 2, 16, 20)).astype(np.uint16)
)  # P, T, C, Y, X
SUMMARY = {"PixelSize_um": 0.65, "Interval_ms": 60_000, "ChNames": list(NAMES)}


def axes_of(p: int, t: int, c: int) -> dict[str, Any]:
    """As Micro-Manager's own windows number them: an axis at 0 is left out."""
    axes = {"position": p, "time": t, "channel": c}
    return {axis: value for axis, value in axes.items() if value}


def named(p: int, t: int, c: int) -> dict[str, Any]:
    """As Pycro-Manager names them."""
    return {"position": f"Pos{p}", "time": t, "channel": NAMES[c]}


def told(p: int, t: int, c: int) -> dict[str, Any]:
    return {"ElapsedTime-ms": 61_000.0 * t + 150 * c, "PositionName": f"B{p + 2}-Site_0"}


def write(
    folder: Path, axes: Any = axes_of, per_stack: int = 5, summary: Any = SUMMARY, **how: Any
) -> Path:
    """All images of `FILM` but those in `how["but"]`, `per_stack` of them in a file.

    `kind`: of the pixels. `more`: further axes.
    """
    folder.mkdir(parents=True)
    index, body, name = b"", b"", ""
    places = [(p, t, c) for t in range(3) for p in range(2) for c in range(2)]
    places = [place for place in places if place not in how.get("but", ())]
    for i, (p, t, c) in enumerate(places):
        if i % per_stack == 0:
            number = f"_{i // per_stack}" if i else ""
            name = f"a_NDTiffStack{number}.tif"
            text = json.dumps(summary).encode()
            first = 28 + len(text) + len(text) % 2
            head = struct.pack("<2sHI5I", b"II", 42, first, 483729, 3, 3, 2355492, len(text))
            body = head + text + bytes(len(text) % 2)
        pixels, said = FILM[p, t, c].tobytes(), json.dumps(told(p, t, c)).encode()
        start = len(body) + 2 + 13 * 12 + 4 + 16  # after a directory of 13 tags
        tags = [(256, 4, 20), (257, 4, 16), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, start)]
        tags += [(277, 3, 1), (278, 3, 16), (279, 4, len(pixels)), (282, 5, start - 16)]
        tags += [(283, 5, start - 8), (296, 3, 3), (51123, 2, start + len(pixels))]
        body += struct.pack("<H", 13)
        for code, kind, value in tags:
            body += struct.pack("<HHII", code, kind, len(said) if code == 51123 else 1, value)
        last = i + 1 == len(places) or (i + 1) % per_stack == 0
        end = start + len(pixels) + len(said)
        body += struct.pack("<5I", 0 if last else end + end % 2, 1, 1, 1, 1) + pixels + said
        body += bytes(end % 2)
        (folder / name).write_bytes(body)
        where = json.dumps(axes(p, t, c) | how.get("more", {}).get((p, t, c), {})).encode()
        index += struct.pack("<I", len(where)) + where
        index += struct.pack("<I", len(name)) + name.encode()
        place = start, 20, 16, how.get("kind", 1), 0, start + len(pixels), len(said), 0
        index += struct.pack("<8I", *place)
    (folder / "NDTiff.index").write_bytes(index)
    return folder / "NDTiff.index"


def same(found: list[Any], fovs: tuple[str, str]) -> None:
    assert [(raw.fov, raw.channel, raw.n_frames) for raw in found] == [
        (fov, channel, 3) for fov in fovs for channel in NAMES
    ]
    for raw in found:
        p, c = fovs.index(raw.fov), NAMES.index(raw.channel)
        np.testing.assert_array_equal(open_raw(raw).compute(), FILM[p, :, c])


@pytest.mark.parametrize("axes", [axes_of, named])
def test_positions_are_fields(tmp_path: Path, axes: Any) -> None:
    write(tmp_path / "a_1", axes)
    assert len(list(tmp_path.glob("a_1/*.tif"))) == 3
    found = scan(str(tmp_path), "{fov}/NDTiff.index")
    names = ("B2-Site_0", "B3-Site_0") if axes is axes_of else ("Pos0", "Pos1")
    same(found, (f"a_1_{names[0]}", f"a_1_{names[1]}"))
    assert {raw.pixel_size_um for raw in found} == {0.65}
    assert {raw.time_s for raw in found} == {(0.0, 61.0, 122.0)}
    same(scan(str(tmp_path / "a_1"), "NDTiff.index", list(NAMES)), names)


def test_a_new_assay_recognises_it(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / f"night_{number}")
        (tmp_path / f"night_{number}" / "display_settings.txt").write_text("{}")
    found = look(str(tmp_path))
    assert (found.layout, found.pattern) == ("Micro-Manager NDTiff", "{fov}/NDTiff.index")
    assert list(found.channels) == list(NAMES) and not found.problems and not found.left_out
    assert [raw.well for raw in found.raw[::2]] == ["B2", "B3"] * 2
    assert list(found.fields) == [f"night_{n}_B{p}-Site_0" for n in (1, 2) for p in (2, 3)]
    assert (found.pixel_size_um, found.frame_interval_s) == (0.65, 61.0)


def test_a_frame_is_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a_1")
    film = open_raw(scan(str(tmp_path), "{fov}/NDTiff.index")[1])
    read: list[tuple[str, int]] = []
    original = ndtiff._part

    def part(file: Path, start: int, n_bytes: int) -> bytes:
        read.append((file.name, n_bytes))
        return original(file, start, n_bytes)

    monkeypatch.setattr(ndtiff, "_part", part)
    np.testing.assert_array_equal(film[2].compute(), FILM[0, 2, 1])
    assert read == [("a_NDTiffStack_1.tif", 16 * 20 * 2)]


def test_without_names_scale_and_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interval that was asked for, where no time stands; names are asked for."""
    monkeypatch.setitem(globals(), "told", lambda p, t, c: {})
    write(tmp_path / "a_1", summary={"Interval_ms": 30_000, "StagePositions": [{"Label": "A1"}]})
    with pytest.raises(InputError, match="2 channels without names"):
        scan(str(tmp_path), "{fov}/NDTiff.index")
    found = scan(str(tmp_path), "{fov}/NDTiff.index", list(NAMES))
    assert {raw.fov for raw in found} == {"a_1_A1", "a_1_Pos1"}
    assert {(raw.pixel_size_um, raw.time_s) for raw in found} == {(None, (0.0, 30.0, 60.0))}


def test_an_acquisition_that_was_stopped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "a_1", but={(0, 2, 1), (1, 2, 0), (1, 2, 1)})
    with caplog.at_level(logging.WARNING):
        found = scan(str(tmp_path), "{fov}/NDTiff.index")
    assert [raw.n_frames for raw in found] == [2, 2, 2, 2]
    assert "stopped within frame 2, which is left out" in caplog.text


@pytest.mark.parametrize(
    "how, message",
    [
        ({"but": {(1, 1, 1)}}, r"position 1: frame 1 of channel 1 is not there"),
        ({"but": {(0, 1, 0), (0, 1, 1)}}, r"position 0: frame 1 of channel 0 is not there"),
        ({"kind": 2}, "holds colour pictures"),
        ({"more": {(0, 0, 0): {"row": 4}}}, r"a further axis \(row, of 2"),
    ],
)
def test_what_is_no_film_is_refused(tmp_path: Path, how: Any, message: str) -> None:
    write(tmp_path / "a_1", **how)
    with pytest.raises(InputError, match=message):
        scan(str(tmp_path), "{fov}/NDTiff.index")


def test_stacks_that_are_lost_or_cut_short(tmp_path: Path) -> None:
    write(tmp_path / "a_1")
    last = tmp_path / "a_1" / "a_NDTiffStack_2.tif"
    whole = last.read_bytes()
    last.write_bytes(whole[:900])
    with pytest.raises(InputError, match=r"a_NDTiffStack_2.tif is cut short: .* but there are 900"):
        scan(str(tmp_path), "{fov}/NDTiff.index")
    last.unlink()
    with pytest.raises(InputError, match=r"names a_NDTiffStack_2.tif, which is not beside it"):
        scan(str(tmp_path), "{fov}/NDTiff.index")
    with pytest.raises(
        InputError, match=r"part of an NDTiff .* pattern, such as \{fov\}/NDTiff.index"
    ):
        scan(str(tmp_path), "{fov}/a_NDTiffStack.tif")
    last.write_bytes(whole)
    (tmp_path / "a_1" / "NDTiff.index").write_bytes(b"")
    with pytest.raises(InputError, match="lists no image"):
        scan(str(tmp_path), "{fov}/NDTiff.index")


def test_depth(tmp_path: Path) -> None:
    """Channels taken for depth: flattened as asked."""
    write(tmp_path / "a_1", lambda p, t, c: {"position": p, "time": t, "z": c})
    with pytest.raises(InputError, match="2 z planes"):
        scan(str(tmp_path), "{fov}/NDTiff.index", ["GFP"])
    found = scan(str(tmp_path), "{fov}/NDTiff.index", {"GFP": "CFSE"}, project_z="max")
    np.testing.assert_array_equal(open_raw(found[1]).compute(), FILM[1].max(axis=1))


@pytest.mark.companion("ndstorage")
@pytest.mark.parametrize("axes", [axes_of, named])
def test_its_own_library_writes_the_same(tmp_path: Path, axes: Any) -> None:
    from ndstorage import NDTiffDataset

    dataset = NDTiffDataset(str(tmp_path / "raw"), name="a", writable=True)
    dataset.initialize(SUMMARY)
    for p, t, c in np.ndindex(FILM.shape[:3]):
        dataset.put_image(axes(p, t, c) or {"time": 0}, FILM[p, t, c], told(p, t, c))
    dataset.finish()
    found = scan(str(tmp_path / "raw"), "{fov}/NDTiff.index")
    names = ("B2-Site_0", "B3-Site_0") if axes is axes_of else ("Pos0", "Pos1")
    same(found, (f"a_1_{names[0]}", f"a_1_{names[1]}"))
    assert {(raw.pixel_size_um, raw.time_s) for raw in found} == {(0.65, (0.0, 61.0, 122.0))}


@pytest.mark.companion("ndstorage")
def test_its_own_library_reads_what_these_tests_write(tmp_path: Path) -> None:
    from ndstorage import Dataset

    write(tmp_path / "a_1", named)
    dataset = Dataset(str(tmp_path / "a_1"))
    for p, t, c in np.ndindex(FILM.shape[:3]):
        np.testing.assert_array_equal(dataset.read_image(**named(p, t, c)), FILM[p, t, c])
        assert dataset.read_metadata(**named(p, t, c)) == told(p, t, c)
    assert dataset.summary_metadata == SUMMARY
    dataset.close()
