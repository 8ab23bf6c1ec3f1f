"""Folders as microscopes leave them, made here, are recognised and read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from cyto_kedro.datasets.layouts import by_what_varies
from cyto_kedro.datasets.raw import open_raw, scan
from cyto_kedro.errors import InputError
from cyto_kedro.new_assay.looking import look

RNG = np.random.default_rng(0)
N_FRAMES = 4


def fill(folder: Path, name: str, **values: list[str]) -> dict[str, np.ndarray]:
    """A one-frame TIFF for each combination of the values in `name`; path -> pixels."""
    import itertools

    written = {}
    for chosen in itertools.product(*values.values()):
        path = folder / name.format(**dict(zip(values, chosen, strict=True)))
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = RNG.integers(0, 4000, (16, 20)).astype(np.uint16)
        tifffile.imwrite(path, pixels, photometric="minisblack")
        written[path.relative_to(folder).as_posix()] = pixels
    return written


FRAMES = [str(t + 1) for t in range(N_FRAMES)]
PADDED = [f"{t + 1:04}" for t in range(N_FRAMES)]
TIMES = [f"00d{h:02}h{m:02}m" for h, m in ((0, 0), (0, 30), (1, 0), (1, 30))]
# name of the files -> what they vary in; layout, channels, fields
CASES = {
    "exp1_w{c}_s{s}_t{t}.TIF": (
        {"c": ["1TCell", "2FITC-Camera 1"], "s": ["1", "2"], "t": FRAMES},
        ("MetaMorph", ["TCell", "FITC_Camera_1"], ["1", "2"]),
    ),
    "exp1_w{c}_t{t}.TIF": (
        {"c": ["1Cy5", "2PI"], "t": FRAMES},
        ("MetaMorph", ["Cy5", "PI"], ["fov1"]),
    ),
    "Images/{w}f{s}p01-ch{c}sk{t}fk1fl1.tiff": (
        {"w": ["r01c01", "r02c11"], "s": ["01", "02"], "c": ["1", "2"], "t": FRAMES},
        (
            "Operetta / Opera",
            ["channel1", "channel2"],
            ["r01c01_01", "r01c01_02", "r02c11_01", "r02c11_02"],
        ),
    ),
    "VID1_{w}_{s}_{t}.tif": (
        {"w": ["A1", "B12"], "s": ["1", "2"], "t": TIMES},
        ("IncuCyte", ["channel1"], ["VID1_A1_1", "VID1_A1_2", "VID1_B12_1", "VID1_B12_2"]),
    ),
    "{c}/VID1_{w}_{s}_{t}.tif": (
        {"c": ["Green", "Phase"], "w": ["A1"], "s": ["1"], "t": TIMES},
        ("IncuCyte", ["Green", "Phase"], ["VID1_A1_1"]),
    ),
    "VID1_{c}_{w}_{s}_{t}.tif": (
        {"c": ["Green", "Phase"], "w": ["A1"], "s": ["1"], "t": TIMES},
        ("IncuCyte", ["Green", "Phase"], ["VID1_A1_1"]),
    ),
    "{s}_{c}_{t}.tif": (
        {"s": ["xy01", "xy02"], "c": ["c1", "c2"], "t": [f"t{t}" for t in PADDED]},
        ("NIS-Elements", ["channel1", "channel2"], ["01", "02"]),
    ),
    "night{t}{s}{c}.tif": (
        {"t": [f"t{t}" for t in PADDED], "s": ["xy1", "xy2"], "c": ["c1", "c2"]},
        ("NIS-Elements", ["channel1", "channel2"], ["1", "2"]),
    ),
    "TimePoint_{t}/exp_{w}_s{s}_w{c}0A1B-22.tif": (
        {"t": FRAMES, "w": ["A01", "H12"], "s": ["1", "2"], "c": ["1", "2"]},
        ("ImageXpress", ["channel1", "channel2"], ["A01_1", "A01_2", "H12_1", "H12_2"]),
    ),
    "plate_{w}_T{t}F{s}L01A0{c}Z01C0{c}.tif": (
        {"w": ["C03"], "t": PADDED, "s": ["001", "002"], "c": ["1", "2"]},
        ("Yokogawa CV", ["channel01", "channel02"], ["C03_001", "C03_002"]),
    ),
    "{s}/img_channel{c}_position000_time{t}_z000.tif": (
        {"s": ["Pos0", "Pos1"], "c": ["000", "001"], "t": [f"{t:09}" for t in range(N_FRAMES)]},
        ("Micro-Manager", ["channel000", "channel001"], ["Pos0", "Pos1"]),
    ),
    "{s}/{c}_t{t}.tif": (
        {"s": ["A1", "A2"], "c": ["TCell", "PI"], "t": [str(10 * t) for t in range(N_FRAMES)]},
        ("folders and names", ["PI", "TCell"], ["A1", "A2"]),
    ),
    "{s}/{c}/t{t}.tif": (
        {"s": ["A1", "A2"], "c": ["TCell", "PI"], "t": PADDED},
        ("folders and names", ["PI", "TCell"], ["A1", "A2"]),
    ),
    "{s}_{c}_t{t}.tif": (
        {"s": ["A1", "my_A2"], "c": ["TCell", "PI"], "t": PADDED},
        ("folders and names", ["PI", "TCell"], ["A1", "my_A2"]),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layouts_by_name(tmp_path, name):
    values, (layout, channels, fovs) = CASES[name]
    written = fill(tmp_path, name, **values)
    found = look(str(tmp_path))
    assert not found.problems and not found.left_out
    assert (found.layout, list(found.channels), list(found.fields)) == (layout, channels, fovs)
    assert all(raw.n_frames == N_FRAMES for raw in found.raw)
    # what the run will read: every file, in its place
    asked = list(found.channels) if found.by_order else dict(found.channels)
    again = scan(str(tmp_path), found.pattern, asked)
    files = [Path(f).relative_to(tmp_path).as_posix() for raw in again for f in raw.files]
    assert sorted(files) == sorted(written)
    for raw in again:
        expected = [written[Path(f).relative_to(tmp_path).as_posix()] for f in raw.files]
        np.testing.assert_array_equal(open_raw(raw).compute(), expected)
    if "{t}" in name and values["t"] is TIMES:
        assert again[0].time_s == (0, 1800, 3600, 5400)


def test_harmony_names_its_channels_beside(tmp_path):
    values, _ = CASES["Images/{w}f{s}p01-ch{c}sk{t}fk1fl1.tiff"]
    fill(tmp_path, "Images/{w}f{s}p01-ch{c}sk{t}fk1fl1.tiff", **values)
    image = (
        "<Image><ChannelID>{c}</ChannelID><ChannelName>{name}</ChannelName><TimepointID>{t}</TimepointID>"
        '<ImageResolutionX Unit="m">5.98e-07</ImageResolutionX>'
        '<MeasurementTimeOffset Unit="s">{s}</MeasurementTimeOffset></Image>'
    )
    text = "".join(
        image.format(c=c, name=name, t=t, s=180 * t + c)
        for c, name in ((1, "Hoechst 33342"), (2, "PI"))
        for t in range(N_FRAMES)
    )
    xml = f'<EvaluationInputData xmlns="http://www.perkinelmer.com/PEHH/HarmonyV5"><Images>{text}</Images></EvaluationInputData>'
    (tmp_path / "Images" / "Index.idx.xml").write_text(xml)
    found = look(str(tmp_path))
    assert dict(found.channels) == {"Hoechst_33342": "1", "PI": "2"}
    assert found.pixel_size_um == pytest.approx(0.598)
    assert found.frame_interval_s == pytest.approx(180)


def test_yokogawa_measurement_data(tmp_path):
    name = "plate_{w}_T{t}F{s}L01A0{c}Z01C0{c}.tif"
    fill(tmp_path, name, **CASES[name][0])
    space = 'xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0"'
    records = "".join(
        f'<bts:MeasurementRecord bts:Time="2026-05-12T10:0{2 * t}:0{c}.5+09:00" bts:Type="IMG" '
        f'bts:TimePoint="{t + 1}"/>'
        for t in range(N_FRAMES)
        for c in (1, 2)
    )
    (tmp_path / "MeasurementData.mlf").write_text(
        f"<bts:MeasurementData {space}>{records}</bts:MeasurementData>"
    )
    (tmp_path / "MeasurementDetail.mrf").write_text(
        f'<bts:MeasurementDetail {space}><bts:MeasurementChannel bts:Ch="1" '
        'bts:HorizontalPixelDimension="0.65"/></bts:MeasurementDetail>'
    )
    (tmp_path / "a.mes").write_text(
        f'<bts:MeasurementSetting {space}><bts:Channel bts:Ch="1" bts:Fluorophore="CFSE"/>'
        '<bts:Channel bts:Ch="2" bts:Target="PI"/></bts:MeasurementSetting>'
    )
    found = look(str(tmp_path))
    assert dict(found.channels) == {"CFSE": "01", "PI": "02"}
    assert (found.pixel_size_um, found.frame_interval_s) == (0.65, pytest.approx(120))


def test_imagexpress_names_beside_and_thumbnails(tmp_path):
    name = "TimePoint_{t}/exp_{w}_s{s}_w{c}0A1B-22.tif"
    fill(tmp_path, name, **CASES[name][0])
    fill(tmp_path, "TimePoint_{t}/exp_{w}_s{s}_w{c}_thumb0A1B-22.tif", **CASES[name][0])
    (tmp_path / "exp.HTD").write_text('"WaveName1", "DAPI"\n"WaveName2", "Texas Red"\n')
    found = look(str(tmp_path))
    assert dict(found.channels) == {"DAPI": "1", "Texas_Red": "2"}
    assert found.exclude and not found.problems and not found.left_out
    assert all(raw.n_frames == N_FRAMES for raw in found.raw)


def stack(path: Path, names: tuple[str, ...] = (), **options: object) -> np.ndarray:
    film = RNG.integers(0, 4000, (N_FRAMES, 2, 16, 20)).astype(np.uint16)
    metadata = {"axes": "TCYX", **({"Channel": {"Name": list(names)}} if names else {})}
    tifffile.imwrite(path, film, photometric="minisblack", metadata=metadata, **options)
    return film


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_files_with_all_channels(tmp_path, kind):
    ending = ".ome.tif" if kind == "ome" else ".tif"
    for fov in ("A2", "A10"):
        stack(tmp_path / f"{fov}{ending}", ("CFSE", "PI") if kind == "ome" else (), **{kind: True})
    found = look(str(tmp_path))
    assert found.pattern == f"{{fov}}{ending}" and list(found.fields) == ["A2", "A10"]
    assert found.by_order == (kind == "imagej")
    assert list(found.channels) == (["CFSE", "PI"] if kind == "ome" else ["channel1", "channel2"])
    named = look(str(tmp_path), channels=["T", "D"])
    assert list(named.channels) == ["T", "D"] and {raw.channel for raw in named.raw} == {"T", "D"}
    with pytest.raises(InputError, match="3 names of channels are given, but 2 are found"):
        look(str(tmp_path), channels=["T", "D", "E"])


@pytest.mark.parametrize(
    "names", [("field1", "field2", "field3"), ("1", "2", "3"), ("A_1", "A_2", "A_3")]
)
@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_numbered_films_are_fields_and_no_frames(tmp_path, names, kind):
    ending = ".ome.tif" if kind == "ome" else ".tif"
    for name in names:
        stack(tmp_path / f"{name}{ending}", **{kind: True})
    found = look(str(tmp_path))
    assert (found.layout, found.pattern) == ("one file per field", f"{{fov}}{ending}")
    assert tuple(found.fields) == names and not found.problems
    assert all(raw.n_frames == N_FRAMES for raw in found.raw)


@pytest.mark.parametrize("ending", [".czi", ".nd2", ".lif", ".zarr"])
def test_numbered_files_of_formats_that_hold_films_are_fields(ending):
    assert by_what_varies([f"exp{number}{ending}" for number in (1, 2, 3)]) == f"{{fov}}{ending}"


def test_numbered_films_by_channel(tmp_path):
    for fov in ("1", "2", "3"):
        for channel in ("TCell", "PI"):
            film = RNG.integers(0, 4000, (N_FRAMES, 16, 20)).astype(np.uint16)
            path = tmp_path / f"{channel}_{fov}.tif"
            tifffile.imwrite(path, film, photometric="minisblack", metadata={"axes": "TYX"})
    assert "frame" not in look(str(tmp_path)).pattern


def test_what_is_wrong_is_told_at_once(tmp_path):
    name = "exp1_w{c}_s{s}_t{t}.TIF"
    fill(tmp_path, name, **CASES[name][0])
    (tmp_path / "exp1_w1TCell_s1_t2.TIF").unlink()
    (tmp_path / "exp1_w2FITC-Camera 1_s2_t3.TIF").write_bytes(b"ZISRAWFILE" + bytes(200))
    text = " ".join(map(str, look(str(tmp_path)).problems))
    assert (
        "fov 1, channel 1TCell: frame 2 is missing" in text and "t3.TIF is a Zeiss CZI file" in text
    )


def test_further_planes_are_a_problem(tmp_path):
    name = "{w}f01p0{z}-ch1sk{t}fk1fl1.tiff"
    fill(tmp_path, name, w=["r01c01"], z=["1", "2"], t=FRAMES)
    (problem,) = look(str(tmp_path)).problems
    assert "4 images are further z planes" in str(problem)


def test_nothing_to_read(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        look(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="it is empty"):
        look(str(tmp_path))
    (tmp_path / "night.oir").write_bytes(b"OLYMPUSRAWFORMAT" + bytes(200))
    with pytest.raises(InputError, match=r"night\.oir is an Olympus OIR file: save it as OME-TIFF"):
        look(str(tmp_path))
