"""Micro-Manager's stacks, written here byte by byte as its file format says."""

from __future__ import annotations

import json
import logging
import struct

import numpy as np
import pytest

from cyto_kedro.datasets.raw import open_raw, scan
from cyto_kedro.errors import InputError

RNG = np.random.default_rng(0)
FILM = RNG.integers(0, 4000, (3, 2, 16, 20)).astype(np.uint16)  # T, C, Y, X


def ome_xml(positions: int, frames: int = 3) -> bytes:
    image = (
        '<Image ID="Image:{p}" Name="Pos{p}"><Pixels ID="Pixels:{p}" DimensionOrder="XYCZT" SizeX="20" '
        'SizeY="16" SizeC="2" SizeZ="1" SizeT="{t}" Type="uint16" PhysicalSizeX="0.{s}" '
        'PhysicalSizeY="0.{s}" TimeIncrement="60" TimeIncrementUnit="s"><Channel ID="Channel:{p}:0" '
        'Name="CFSE"/><Channel ID="Channel:{p}:1" Name="PI"/>{data}</Pixels></Image>'
    )
    data = "".join(
        f'<TiffData FirstT="{t}" FirstC="{c}" IFD="{2 * t + c}">'
        '<UUID FileName="a_MMStack_Pos{p}.ome.tif">urn:uuid:1</UUID></TiffData>'
        for t in range(frames)
        for c in range(2)
    )
    images = "".join(
        image.format(p=p, t=frames, s=5 + p, data=data.replace("{p}", str(p)))
        for p in range(positions)
    )
    return f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{images}</OME>'.encode()


def write_stack(path, film=FILM, position=0, positions=1, xml=True, first=0, planned=3, **summary):
    """Header with summary, then for each plane its directory of 13 tags, pixels and the rest."""
    n_t, n_c, height, width = film.shape
    said = {
        "MicroManagerVersion": "2.0.1",
        "Prefix": "a",
        **{"Frames": planned, "Channels": n_c, "Slices": 1, "Positions": positions},
        **{"ChNames": ["CFSE", "PI"], "TimeFirst": False, "SlicesFirst": False, **summary},
    }
    text = json.dumps(said).encode()
    body, index = bytearray(), []
    start = 8 + 32 + len(text)
    start += start % 2
    planes = [(t, c) for t in range(n_t) for c in range(n_c)]
    head = ome_xml(positions, n_t) + b"\0" if xml else b""
    for number, (t, c) in enumerate(planes):
        offset = start + len(body)
        more = head if number == 0 else b""
        n_tags = 13 + bool(more)
        after = offset + 2 + 12 * n_tags + 4
        pixels = film[t, c].astype("<u2").tobytes()
        rest = after + len(pixels)
        about = b'{"ElapsedTime-ms": 0}\0'
        tags = [
            *(
                (256, 4, 1, width),
                (257, 4, 1, height),
                (258, 3, 1, 16),
                (259, 3, 1, 1),
                (262, 3, 1, 1),
            ),
            *([(270, 2, len(more), rest + 16 + len(about))] if more else []),
            *((273, 4, 1, after), (277, 3, 1, 1), (278, 3, 1, height), (279, 4, 1, len(pixels))),
            *(
                (282, 5, 1, rest),
                (283, 5, 1, rest + 8),
                (296, 3, 1, 1),
                (51123, 2, len(about), rest + 16),
            ),
        ]
        assert len(tags) == n_tags
        tail = struct.pack("<IIII", 1, 1, 1, 1) + about + more
        tail += b"\0" * (len(tail) % 2)
        following = rest + len(tail) if number + 1 < len(planes) else 0
        body += struct.pack("<H", n_tags)
        for code, kind, count, value in tags:
            body += struct.pack("<HHI", code, kind, count)
            body += struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value)
        body += struct.pack("<I", following) + pixels + tail
        index.append((c, 0, t + first, position, offset))
    index_at = start + len(body)
    table = struct.pack("<II", 3453623, len(index)) + b"".join(
        struct.pack("<5I", *row) for row in index
    )
    header = struct.pack("<2sHI", b"II", 42, start)
    header += struct.pack("<8I", 54773648, index_at, 483765892, 0, 99384722, 0, 2355492, len(text))
    padding = b"\0" * (start - len(header) - len(text))
    path.write_bytes(header + text + padding + bytes(body) + table)


def test_a_file_per_position(tmp_path):
    """OME-XML of both positions in each file: each is its own image, with its own scale."""
    for p in range(2):
        write_stack(tmp_path / f"a_MMStack_Pos{p}.ome.tif", FILM + p, p, positions=2)
    found = scan(str(tmp_path), "*_MMStack_{fov}.ome.tif", ["PI", "CFSE"])
    assert [(r.fov, r.channel, r.n_frames) for r in found] == [
        ("Pos0", "PI", 3),
        ("Pos0", "CFSE", 3),
        ("Pos1", "PI", 3),
        ("Pos1", "CFSE", 3),
    ]
    assert [r.pixel_size_um for r in found] == [0.5, 0.5, 0.6, 0.6]
    assert found[0].time_s == (0, 60, 120)
    for raw in found:
        channel, shift = ["CFSE", "PI"].index(raw.channel), int(raw.fov[-1])
        np.testing.assert_array_equal(open_raw(raw).compute(), FILM[:, channel] + shift)


def test_the_summary_speaks_where_there_is_no_ome_xml(tmp_path):
    path = tmp_path / "a_MMStack.ome.tif"
    write_stack(path, xml=False, PixelSize_um=0.325, Interval_ms=30_000)
    found = scan(str(tmp_path), "*_MMStack.ome.tif", {"Dead": "PI"})
    assert (found[0].pixel_size_um, found[0].time_s) == (0.325, (0, 30, 60))
    np.testing.assert_array_equal(open_raw(found[0]).compute(), FILM[:, 1])


def test_an_acquisition_that_was_stopped(tmp_path, caplog):
    write_stack(tmp_path / "a_MMStack.ome.tif", xml=False, planned=50)
    with caplog.at_level(logging.WARNING):
        found = scan(str(tmp_path), "*_MMStack.ome.tif", ["PI"])
    assert found[0].n_frames == 3 and "holds 3 frames, but 50 were planned" in caplog.text


def test_what_goes_on_in_another_file_is_refused(tmp_path):
    write_stack(tmp_path / "a_MMStack_1.ome.tif", xml=False, first=7)
    with pytest.raises(InputError, match="begins at frame 7: it goes on from the file before"):
        scan(str(tmp_path), "*_MMStack_{fov}.ome.tif", ["PI"])


def test_a_stack_cut_short(tmp_path):
    path = tmp_path / "a_MMStack.ome.tif"
    write_stack(path)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(
        InputError, match=r"a_MMStack\.ome\.tif (is cut short|is not a readable TIFF)"
    ):
        scan(str(tmp_path), "*_MMStack.ome.tif", ["PI", "CFSE"])
