"""Raw films: patterns, formats, calibration, and every way in which input is bad."""

from __future__ import annotations

import json
import logging
import pickle

import numpy as np
import pytest
import tifffile
import zarr

from cyto_kedro.datasets.raw import RawChannel, RawFolderDataset, open_raw, scan
from cyto_kedro.errors import ConfigError, InputError

RNG = np.random.default_rng(0)
FILM = RNG.integers(0, 4000, (6, 2, 24, 30)).astype(np.uint16)


def write(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="minisblack", **options)


def ome(path, pixels=FILM, names=("TCell", "Dead"), **metadata):
    axes = "TCYX" if pixels.ndim == 4 else "TYX"
    channel = {"Channel": {"Name": list(names)}} if names else {}
    write(path, pixels, ome=True, metadata={"axes": axes, **channel, **metadata})


def by_key(found):
    return {(raw.fov, raw.channel): raw for raw in found}


def test_ome_tiff_with_channels_inside(tmp_path):
    plane = {"DeltaT": [5, 6, 65, 66, 125, 126, 185, 186, 245, 246, 305, 306]}
    for fov in ("B2", "A1"):
        ome(
            tmp_path / f"{fov}.ome.tif",
            PhysicalSizeX=0.5,
            PhysicalSizeY=0.5,
            Plane=plane,
        )
    found = scan(str(tmp_path), "{fov}.ome.tif", ["Dead", "TCell"])
    assert [(r.fov, r.channel, r.index) for r in found] == [
        ("A1", "Dead", 1),
        ("A1", "TCell", 0),
        ("B2", "Dead", 1),
        ("B2", "TCell", 0),
    ]
    first = found[0]
    assert (first.n_frames, first.height, first.width, first.dtype) == (6, 24, 30, "uint16")
    assert first.pixel_size_um == 0.5
    assert first.time_s == (0, 60, 120, 180, 240, 300)
    for raw in found:
        again = RawChannel.model_validate_json(raw.model_dump_json())
        assert again == raw
        opened = open_raw(again)
        assert opened.chunks[0] == (1,) * 6
        np.testing.assert_array_equal(opened[2:4].compute(), FILM[2:4, raw.index])
        np.testing.assert_array_equal(
            pickle.loads(pickle.dumps(opened)).compute(), FILM[:, raw.index]
        )


@pytest.mark.parametrize("pattern", ["{fov}/{channel}/{frame}.tif", "{fov}_{channel}_t{frame}.tif"])
def test_folders_of_frames(tmp_path, pattern):
    for c, channel in enumerate(("TCell", "Dead")):
        for t in range(6):
            name = pattern.format(fov="a", channel=channel, frame=f"{t + 8:03d}")
            write(tmp_path / name, FILM[t, c])
    found = by_key(scan(str(tmp_path), pattern, ["TCell", "Dead"]))
    assert set(found) == {("a", "TCell"), ("a", "Dead")}
    assert len(found["a", "Dead"].files) == 6 and found["a", "Dead"].time_s is None
    np.testing.assert_array_equal(open_raw(found["a", "Dead"]).compute(), FILM[:, 1])
    next(tmp_path.rglob("*011.tif")).unlink()
    with pytest.raises(InputError, match=r"fov a, channel TCell|Dead: frame 11 is missing between"):
        scan(str(tmp_path), pattern, ["TCell", "Dead"])


def test_one_file_per_channel_and_the_only_field(tmp_path):
    for c, channel in enumerate(("TCell", "Dead")):
        write(tmp_path / f"{channel}.tif", FILM[:, c])
    found = scan(str(tmp_path), "{channel}.tif", {"Effector": "TCell"})
    assert [(r.fov, r.channel) for r in found] == [("fov1", "Effector")]
    np.testing.assert_array_equal(open_raw(found[0]).compute(), FILM[:, 0])
    assert [r.channel for r in scan(str(tmp_path), "{channel}.tif")] == ["Dead", "TCell"]


@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib"}, {"imagej": True}, {"truncate": True}]
)
def test_plain_channel_stacks_by_order(tmp_path, options):
    """(C, Y, X) without names: the names are given in file order."""
    still = RNG.integers(0, 99, (5, 24, 30)).astype(np.uint16)
    axes = {"metadata": {"axes": "CYX"}} if "imagej" in options else {}
    write(tmp_path / "a.tif", still, **options, **axes)
    found = scan(str(tmp_path), "{fov}.tif", list("abcde"))
    for raw in found:
        np.testing.assert_array_equal(open_raw(raw).compute(), still[raw.index][None])
    if "imagej" not in options:
        film = scan(str(tmp_path), "{fov}.tif", ["a"])  # one channel: the axis is time
        np.testing.assert_array_equal(open_raw(film[0]).compute(), still)


def test_unnamed_time_and_channel(tmp_path):
    write(tmp_path / "a.tif", FILM)
    found = scan(str(tmp_path), "{fov}.tif", ["T", "D"])
    np.testing.assert_array_equal(open_raw(found[1]).compute(), FILM[:, 1])
    with pytest.raises(InputError, match="do not say what is time"):
        scan(str(tmp_path), "{fov}.tif", ["T", "D", "E"])


@pytest.mark.parametrize("where", ["local", "memory"])
@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr(tmp_path, where, version):
    root = str(tmp_path) if where == "local" else f"memory://{tmp_path.name}"
    group = zarr.open_group(f"{root}/p1/a/x.ome.zarr", mode="w", zarr_format=version)
    array = group.create_array("0", shape=(6, 2, 1, 24, 30), chunks=(1, 1, 1, 24, 30), dtype="u2")
    array[:] = FILM[:, :, None]
    kinds = {"t": "minute", "c": None, "z": "micrometer", "y": "nanometer", "x": "nanometer"}
    axes = [{"name": n, **({"unit": unit} if unit else {})} for n, unit in kinds.items()]
    scale = {"type": "scale", "scale": [2, 1, 1, 325, 325]}
    multi = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}]
    omero = {"channels": [{"label": "TCell"}, {"label": "Dead"}]}
    described = {"multiscales": multi, "omero": omero}
    group.attrs.update(described if version == 2 else {"ome": {"version": "0.5", **described}})
    found = scan(root, "p1/{fov}/x.ome.zarr", ["Dead"])
    assert [(r.fov, r.index, r.pixel_size_um) for r in found] == [("a", 1, 0.325)]
    assert found[0].time_s == (0, 120, 240, 360, 480, 600)
    np.testing.assert_array_equal(open_raw(found[0]).compute(), FILM[:, 1])


def test_not_an_ome_zarr(tmp_path):
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w").create_array("0", shape=(2, 2), dtype="u1")
    with pytest.raises(InputError, match=r"fov a: .*a\.zarr is not an OME-Zarr image"):
        scan(str(tmp_path), "{fov}.zarr", ["x"])


@pytest.mark.parametrize("kind", ["ome", "imagej", "shaped", "pages", "bare"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.95, 0.999])
def test_a_truncated_tiff_is_found_without_reading_pixels(tmp_path, kind, share):
    path = tmp_path / "a.tif"
    if kind == "ome":
        ome(path)
    elif kind == "imagej":
        write(path, FILM, imagej=True, metadata={"axes": "TCYX"})
    elif kind == "pages":
        with tifffile.TiffWriter(path) as tif:
            for plane in FILM.reshape(-1, 24, 30):
                tif.write(plane, metadata=None, compression="zlib")
    else:
        write(path, FILM, truncate=kind == "bare")
    names = {"pages": ["a"], "ome": ["TCell", "Dead"]}.get(kind, ["a", "b"])
    assert scan(str(tmp_path), "{fov}.tif", names)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"fov a: .*a\.tif (is cut short|is not a readable TIFF)"):
        scan(str(tmp_path), "{fov}.tif", names)


def test_the_frame_that_is_cut_is_named(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for plane in FILM[:, 0]:
            tif.write(plane, metadata=None, compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        end = tif.pages[3].dataoffsets[0] + 10
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:end])
    with pytest.raises(InputError, match=r"fov a: .*a\.tif is cut short: plane 3 \(frame 3\)"):
        scan(str(tmp_path), "{fov}.tif", ["x"])


def test_damaged_pixels_name_the_frame(tmp_path):
    write(tmp_path / "a.tif", FILM[:, 0], compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        start = tif.pages[3].dataoffsets[0]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[start : start + 200] = b"\xff" * 200
    (tmp_path / "a.tif").write_bytes(content)
    opened = open_raw(scan(str(tmp_path), "{fov}.tif", ["x"])[0])
    assert opened[2].compute().any()
    with pytest.raises(InputError, match=r"a\.tif, frame 3: the pixels cannot be decoded"):
        opened.compute()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_names_fov_channel_file_and_frame(tmp_path, value):
    bad = FILM.astype(np.float32)
    bad[4, 1, 3, 3] = value
    ome(tmp_path / "a.tif", bad)
    found = by_key(scan(str(tmp_path), "{fov}.tif", ["TCell", "Dead"]))
    np.testing.assert_array_equal(open_raw(found["a", "TCell"]).compute(), bad[:, 0])
    with pytest.raises(InputError, match=r"fov a, channel Dead, frame 4: NaN .*a\.tif"):
        open_raw(found["a", "Dead"])[3:].compute()


def test_a_missing_channel_names_the_field(tmp_path):
    for name in ("a_TCell", "a_Dead", "b_TCell"):
        write(tmp_path / f"{name}.tif", FILM[:, 0])
    for channels in (["TCell", "Dead"], None):
        with pytest.raises(InputError, match=r"fov b: channel Dead is missing \(found: TCell\)"):
            scan(str(tmp_path), "{fov}_{channel}.tif", channels)
    ome(tmp_path / "in" / "c.tif")
    with pytest.raises(InputError, match=r"fov c: channel PI is not in c\.tif, .*\(TCell, Dead\)"):
        scan(str(tmp_path / "in"), "{fov}.tif", ["TCell", "PI"])


def test_channels_that_the_file_names_are_never_guessed(tmp_path):
    ome(tmp_path / "a.tif", names=("FITC", "PI"))
    with pytest.raises(InputError, match=r"not guessed[\s\S]*names: {TCell: FITC, Dead: PI}"):
        scan(str(tmp_path), "{fov}.tif", ["TCell", "Dead"])
    ome(tmp_path / "b.tif", names=("PI", "FITC"))
    found = by_key(scan(str(tmp_path), "{fov}.tif", {"TCell": "FITC", "Dead": "PI"}))
    assert (found["a", "TCell"].index, found["b", "TCell"].index) == (0, 1)


@pytest.mark.parametrize("names", [None, ("Channel 0", "Channel 1"), ("C:0", "C:1"), ("#1", "#2")])
def test_channels_without_names_are_taken_in_order_and_that_is_said(tmp_path, caplog, names):
    ome(tmp_path / "a.tif", names=names)
    with caplog.at_level(logging.WARNING):
        found = scan(str(tmp_path), "{fov}.tif", ["TCell", "Dead"])
    assert [(r.channel, r.index) for r in found] == [("TCell", 0), ("Dead", 1)]
    assert all("taken in order: 1 TCell, 2 Dead" in r.remarks[0] for r in found)
    assert "field a: the files do not name their channels" in caplog.text


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("pixel_size", "pixel_size_um"),
        ("frame_interval", "frame_interval_s"),
        ("Channels", "channels"),
        ("spatial_calibrations", "spatial_calibration"),
    ],
)
def test_a_key_of_a_side_file_that_is_nearly_ours_is_refused(tmp_path, key, meant):
    write(tmp_path / "a.tif", FILM[0])
    side = {"channels": ["TCell", "Dead"], key: 0.5}
    if meant == "channels":
        side.pop("channels")
    (tmp_path / "a.json").write_text(json.dumps(side))
    with pytest.raises(InputError, match=rf"a\.json.*{key}.*Did you mean '{meant}'"):
        scan(str(tmp_path), "{fov}.tif", ["Dead"], "{stem}.json")
    # what the camera's program writes besides is its own matter
    side = {"channels": ["TCell", "Dead"], "objective": "20x", "frames": 3}
    (tmp_path / "a.json").write_text(json.dumps(side))
    assert len(scan(str(tmp_path), "{fov}.tif", ["Dead"], "{stem}.json")) == 1


def test_a_path_and_a_file_that_name_different_channels(tmp_path):
    for path, name in (("TCell", "Dead"), ("Dead", "Dead")):
        ome(tmp_path / f"{path}.tif", FILM[:, 0], names=(name,))
    first, second = scan(str(tmp_path), "{channel}.tif", ["TCell", "Dead"])
    assert "by its path, but calls it 'Dead'" in first.remarks[0] and not second.remarks


def test_side_files(tmp_path):
    write(tmp_path / "a.tif", FILM[0])
    side = {"channels": ["TCell", "Dead"], "spatial_calibration": 0.3112}
    with pytest.raises(InputError, match=r"fov a: the side file .*a\.json of a\.tif is missing"):
        scan(str(tmp_path), "{fov}.tif", ["Dead"], "{stem}.json")
    (tmp_path / "a.json").write_text(json.dumps(side))
    (found,) = scan(str(tmp_path), "{fov}.tif", ["Dead"], "{stem}.json")
    assert (found.index, found.n_frames, found.pixel_size_um) == (1, 1, 0.3112)
    with pytest.raises(InputError, match="channel X is not in"):
        scan(str(tmp_path), "{fov}.tif", ["X", "Y"], "{stem}.json")  # never renamed by order
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        scan(str(tmp_path), "{fov}.tif", ["Dead"], "{stem}.json")


def test_patterns(tmp_path, caplog):
    with pytest.raises(InputError, match=r"no file in .* fits the pattern .*it is empty"):
        scan(str(tmp_path), "{fov}.tif")
    with pytest.raises(InputError, match="does not exist"):
        scan(str(tmp_path / "nowhere"), "{fov}.tif")
    for name in ("x_1_TCell.tif", "x+1_TCell.tif", ".hidden_TCell.tif", "x_1_Tcell.tif"):
        write(tmp_path / name, FILM[:, 0])
    with pytest.raises(ConfigError, match="unknown placeholder 'field'"):
        scan(str(tmp_path), "{field}_{channel}.tif")
    with pytest.raises(ConfigError, match="may appear once"):
        scan(str(tmp_path), "{fov}/{fov}.tif")
    with pytest.raises(InputError, match="in two ways"):
        scan(str(tmp_path), "{fov}_{channel}.tif")
    with caplog.at_level(logging.WARNING):
        found = scan(str(tmp_path), "{fov}_{channel}.tif", ["TCell"])
    assert [r.fov for r in found] == ["x+1", "x_1"]
    assert "1 images" in caplog.text and "x_1_Tcell.tif" in caplog.text
    assert len(scan(str(tmp_path), "x+{fov}_{channel}.tif", ["TCell"])) == 1  # "+" is literal
    assert len(scan(str(tmp_path), "{fov}_{channel}.tif", ["TCell"], exclude=["x_*"])) == 1


def test_depth_colour_and_odd_frames_are_refused(tmp_path):
    ome(tmp_path / "1" / "a.tif", FILM, names=None)
    write(tmp_path / "2" / "a.ome.tif", FILM, metadata={"axes": "TZYX"})
    with pytest.raises(InputError, match=r"fov a: .* has 2 z planes"):
        scan(str(tmp_path / "2"), "{fov}.ome.tif", ["x"])
    with pytest.raises(InputError, match="two files, "):
        write(tmp_path / "3" / "t1.tif", FILM[0, 0])
        write(tmp_path / "3" / "t01.tif", FILM[0, 0])
        scan(str(tmp_path / "3"), "t{frame}.tif", ["x"])
    (tmp_path / "3" / "t01.tif").unlink()
    write(tmp_path / "3" / "t2.tif", FILM[0, 0, :5])
    with pytest.raises(InputError, match=r"frame 2: t2\.tif is \(5, 30\) uint16, but t1\.tif"):
        scan(str(tmp_path / "3"), "t{frame}.tif", ["x"])
    write(tmp_path / "3" / "t2.tif", FILM[:, 0])
    with pytest.raises(InputError, match=r"t2\.tif holds 6 frames, but the pattern"):
        scan(str(tmp_path / "3"), "t{frame}.tif", ["x"])


def test_times_that_do_not_increase_are_not_used(tmp_path, caplog):
    ome(tmp_path / "a.tif", FILM[:, 0], names=["x"], Plane={"DeltaT": [0, 1, 2, 2, 3, 4]})
    with caplog.at_level(logging.WARNING):
        (found,) = scan(str(tmp_path), "{fov}.tif", ["x"])
    assert found.time_s is None and "frame 3 is not later" in caplog.text


def test_a_film_changed_since_ingestion(tmp_path):
    write(tmp_path / "a.tif", FILM[:, 0])
    (found,) = scan(str(tmp_path), "{fov}.tif", ["x"])
    write(tmp_path / "a.tif", FILM[:5, 0])
    with pytest.raises(InputError, match=r"fov a, channel x: .* run ingestion again"):
        open_raw(found)


def test_the_catalog_entry(tmp_path):
    write(tmp_path / "a.tif", FILM[:, 0])
    folder = RawFolderDataset(path=str(tmp_path)).load()
    (found,) = folder.scan("{fov}.tif", channels=["x"])
    np.testing.assert_array_equal(folder.open(found).compute(), FILM[:, 0])
    with pytest.raises(Exception, match="read only"):
        RawFolderDataset(path=str(tmp_path)).save(0)
    with pytest.raises(Exception, match="does not exist"):
        RawFolderDataset(path=str(tmp_path / "no")).load()


@pytest.mark.shared
def test_real_still_fields(shared_data):
    folder = shared_data / "celldetective_adcc_dev"
    names = {"PI": "dead_nuclei_channel", "NK": "effector_fluo_channel"}
    found = scan(str(folder), "{fov}.tif", names, "{stem}.json", ["*_labelled.tif"])
    assert len({raw.fov for raw in found}) == 8 and len(found) == 16
    for raw in found:
        assert raw.pixel_size_um == 0.3112 and raw.n_frames == 1 and raw.n_channels == 4
    pixels = tifffile.imread(folder / f"{found[0].fov}.tif")
    np.testing.assert_array_equal(open_raw(found[0])[0].compute(), pixels[1])


@pytest.mark.shared
def test_real_folder_of_frames(shared_data):
    folder = shared_data / "ctc_Fluo-N2DH-GOWT1_seq01_f40"
    (found,) = scan(str(folder), "{fov}/t{frame}.tif", ["GFP"])
    assert (found.fov, found.n_frames, found.height) == ("01", 40, 1024)
    np.testing.assert_array_equal(
        open_raw(found)[7].compute(), tifffile.imread(folder / "01/t007.tif")
    )
