"""Microscopes' own files: CZI written by Zeiss' library, a LIF by its layout, ND2 by a double."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from cyto_kedro.datasets.raw import open_raw, scan
from cyto_kedro.errors import InputError
from cyto_kedro.new_assay.looking import look

# scene, T, C, Z, Y, X
PIXELS = np.random.default_rng(1).integers(0, 60_000, (2, 3, 2, 2, 10, 20)).astype(np.uint16)
STAMPS = [5.0, 65.0, 128.0]


def write_czi(path, pixels=PIXELS[:, :, :, :1], stamps=None):
    from pylibCZIrw import czi

    with czi.create_czi(str(path)) as film:
        for s, t, c, z in np.ndindex(pixels.shape[:4]):
            plane = {"T": t, "C": c, "Z": z}
            film.write(pixels[s, t, c, z, ..., None], (s * 100, 0), plane, scene=s)
        film.write_metadata(channel_names={0: "GFP", 1: "PI"}, scale_x=5e-7, scale_y=5e-7)
    if stamps is not None:
        add_stamps(path, stamps)
    return path


def add_stamps(path, stamps):
    """The attachment that ZEN writes and Zeiss' library cannot."""
    whole = bytearray(Path(path).read_bytes())
    data = struct.pack(f"<ii{len(stamps)}d", 8 + 8 * len(stamps), len(stamps), *stamps)
    at = len(whole)
    entry = struct.pack("<2s10sqi16s8s80s", b"A1", b"", at, 0, b"", b"CZTIMS", b"TimeStamps")
    body = struct.pack("<i12x", len(data)) + entry + bytes(112) + data
    whole += segment(b"ZISRAWATTACH", body)
    struct.pack_into("<q", whole, 32 + 72, len(whole))
    whole += segment(b"ZISRAWATTDIR", struct.pack("<i252x", 1) + entry)
    Path(path).write_bytes(whole)


def segment(name, body):
    return struct.pack("<16sqq", name, len(body), len(body)) + body


def lif(path, pixels, names=("Pos1", "Pos2"), interval_s=30.0):
    """Leica's file: XML, then one block of pixels per image (T, C, Z, Y, X)."""
    elements, blocks = [], b""
    for i, name in enumerate(names):
        n_t, n_c, n_z, height, width = pixels[i].shape
        plane = 2 * height * width
        axes = [
            (1, width, (width - 1) * 5e-7, 2),
            (2, height, (height - 1) * 5e-7, 2 * width),
            (3, n_z, 1e-6, plane),
            (4, n_t, (n_t - 1) * interval_s, plane * n_z * n_c),
        ]
        dimensions = "".join(
            f'<DimensionDescription DimID="{a}" NumberOfElements="{n}" Origin="0" Length="{length}" '
            f'Unit="m" BitInc="0" BytesInc="{step}"/>'
            for a, n, length, step in axes
            if n > 1
        )
        channels = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity=""'
            f' Min="0" Max="1" Unit="" LUTName="{lut}" IsLUTInverted="0" BytesInc="{plane * n_z * c}"'
            ' BitInc="0"/>'
            for c, lut in enumerate(("Green", "Red")[:n_c])
        )
        elements.append(
            f'<Element Name="{name}"><Data><Image><ImageDescription><Channels>{channels}</Channels>'
            f"<Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{pixels[i].nbytes}" MemoryBlockID="MemBlock_{i}"/></Element>'
        )
        called = f"MemBlock_{i}"
        head = b"\x2a" + struct.pack("<q", pixels[i].nbytes)
        head += b"\x2a" + struct.pack("<i", len(called)) + called.encode("utf-16-le")
        blocks += struct.pack("<ii", 0x70, len(head)) + head + pixels[i].tobytes()
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="film"><Children>'
        f"{''.join(elements)}</Children></Element></LMSDataContainerHeader>"
    )
    text = b"\x2a" + struct.pack("<i", len(xml)) + xml.encode("utf-16-le")
    path.write_bytes(struct.pack("<ii", 0x70, len(text)) + text + blocks)


class ND2Double:
    """What nd2's ND2File says of a film of two positions, as its documentation shows it."""

    is_rgb, dtype = False, PIXELS.dtype
    sizes: ClassVar = {"T": 3, "P": 2, "Z": 2, "C": 2, "Y": 10, "X": 20}
    loop_indices = tuple({"T": t, "P": p, "Z": z} for t, p, z in np.ndindex(3, 2, 2))
    experiment = (
        SimpleNamespace(type="TimeLoop"),
        SimpleNamespace(
            type="XYPosLoop",
            parameters=SimpleNamespace(points=[SimpleNamespace(name=n) for n in ("A1", "B 2")]),
        ),
    )
    metadata = SimpleNamespace(
        channels=[
            SimpleNamespace(
                channel=SimpleNamespace(name=name),
                volume=SimpleNamespace(
                    axesCalibrated=(True, True, True), axesCalibration=(0.65, 0.65, 1.0)
                ),
            )
            for name in ("FITC", "Cy5")
        ]
    )

    def __init__(self, path):
        assert Path(path).exists()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def frame_metadata(self, frame):
        time = SimpleNamespace(relativeTimeMs=1000 * STAMPS[self.loop_indices[frame]["T"]])
        return SimpleNamespace(channels=[SimpleNamespace(time=time)])

    def read_frame(self, frame):
        at = self.loop_indices[frame]
        return PIXELS[at["P"], at["T"], :, at["Z"]]


@pytest.fixture
def nd2(monkeypatch, tmp_path):
    double = ModuleType("nd2")
    double.ND2File = ND2Double
    monkeypatch.setitem(sys.modules, "nd2", double)
    (tmp_path / "film.nd2").write_bytes(b"\xda\xce\xbe\x0a")
    return tmp_path


def same(found, scene, channel, expected):
    (raw,) = [each for each in found if (each.fov, each.channel) == (scene, channel)]
    np.testing.assert_array_equal(open_raw(raw).compute(), expected)
    np.testing.assert_array_equal(open_raw(raw)[1].compute(), expected[1])
    return raw


def two_scenes(found, prefix, times):
    """Both scenes and both channels of `PIXELS`, first z plane, with scale and times."""
    for s, c in np.ndindex(2, 2):
        raw = same(found, f"{prefix}{s + 1}", ("green", "dead")[c], PIXELS[s, :, c, 0])
        assert raw.pixel_size_um == pytest.approx(0.5)
        assert raw.time_s == times


@pytest.mark.companion("pylibCZIrw.czi")
class TestCzi:
    def test_scenes_are_fields(self, tmp_path):
        write_czi(tmp_path / "film.czi", stamps=STAMPS)
        found = scan(str(tmp_path), "*.czi", {"green": "GFP", "dead": "PI"})
        two_scenes(found, "scene", (0.0, 60.0, 123.0))

    def test_one_scene_is_named_by_its_file(self, tmp_path):
        write_czi(tmp_path / "A1.czi", PIXELS[:1, :, :, :1])
        found = scan(str(tmp_path), "{fov}.czi")
        raw = same(found, "A1", "PI", PIXELS[0, :, 1, 0])
        assert raw.time_s is None

    def test_depth_is_flattened_as_asked(self, tmp_path):
        write_czi(tmp_path / "A1.czi", PIXELS[:1])
        with pytest.raises(InputError, match=r"2 z planes.*project_z"):
            scan(str(tmp_path), "{fov}.czi")
        found = scan(str(tmp_path), "{fov}.czi", project_z="max")
        same(found, "A1", "GFP", PIXELS[0, :, 0].max(axis=1))
        found = scan(str(tmp_path), "{fov}.czi", project_z="mean")
        same(found, "A1", "GFP", PIXELS[0, :, 0].mean(axis=1).astype(np.float32))

    def test_a_folder_is_recognised(self, tmp_path):
        for name in ("A1", "A2"):
            write_czi(tmp_path / f"{name}.czi")
        found = look(str(tmp_path))
        assert found.pattern == "{fov}.czi" and not found.problems
        assert list(found.fields) == ["A1_scene1", "A1_scene2", "A2_scene1", "A2_scene2"]
        assert list(found.channels) == ["GFP", "PI"]

    def test_a_file_cut_short_is_named_and_others_go_on(self, tmp_path):
        whole = write_czi(tmp_path / "A1.czi").read_bytes()
        (tmp_path / "A2.czi").write_bytes(whole[:300])
        found = look(str(tmp_path))
        assert len(found.fields) == 2
        assert "A2.czi cannot be read" in str(found.problems[0])


@pytest.mark.companion("liffile")
class TestLif:
    def test_series_are_fields(self, tmp_path):
        lif(tmp_path / "film.lif", PIXELS[:, :, :, :1])
        found = scan(str(tmp_path), "*.lif", {"green": "Green", "dead": "Red"})
        two_scenes(found, "Pos", (0.0, 30.0, 60.0))

    def test_depth(self, tmp_path):
        lif(tmp_path / "film.lif", PIXELS)
        found = scan(str(tmp_path), "{fov}.lif", project_z="max")
        same(found, "film_Pos2", "Red", PIXELS[1, :, 1].max(axis=1))


class TestNd2:
    def test_positions_are_fields(self, nd2):
        found = scan(str(nd2), "*.nd2", project_z="max")
        for p, fov in enumerate(("A1", "B_2")):
            for c, channel in enumerate(("FITC", "Cy5")):
                raw = same(found, fov, channel, PIXELS[p, :, c].max(axis=1))
                assert raw.pixel_size_um == 0.65 and raw.time_s == (0.0, 60.0, 123.0)

    def test_a_film_that_lost_a_position_is_told(self, nd2, monkeypatch):
        found = scan(str(nd2), "*.nd2", project_z="max")
        monkeypatch.setattr(ND2Double, "sizes", {**ND2Double.sizes, "P": 1})
        with pytest.raises(InputError, match=r"1 scenes now.*run ingestion again"):
            open_raw(found[-1])


@pytest.mark.parametrize(
    "library, ending", [("pylibCZIrw.czi", "czi"), ("nd2", "nd2"), ("liffile", "lif")]
)
def test_without_the_extra_it_is_named(tmp_path, monkeypatch, library, ending):
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / f"A1.{ending}").write_bytes(b"x")
    with pytest.raises(InputError, match=r'A1.*pip install "cyto_kedro\[microscopes\]"'):
        scan(str(tmp_path), f"{{fov}}.{ending}")
