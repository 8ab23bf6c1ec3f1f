"""The film as it comes in is never silently wrong: each doubt stands in the log and in the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile

from cyto_kedro.datasets.raw import RawFolder, open_raw
from cyto_kedro.errors import InputError
from cyto_kedro.parameters import Assay
from cyto_kedro.pipelines.ingestion.nodes import plan_assay

FILM = np.stack([np.full((32, 40), i + 1, np.uint16) for i in range(4)])


def assay(pattern: str = "{fov}.tif", channels: tuple[str, ...] = ("A",), **more: Any) -> Assay:
    raw = {"pattern": pattern, **more.pop("raw", {})}
    populations = {"P": {"role": "target", "channels": [channels[0]]}}
    return Assay.model_validate(
        {"raw": raw, "channels": list(channels), "populations": populations, **more}
    )


def plan(folder: Path, of: Assay, *fovs: str, **columns: Any) -> tuple[Any, pd.DataFrame, Any]:
    sheet = pd.DataFrame({"fov": fovs or ("f1",), **columns})
    return plan_assay(RawFolder(str(folder)), sheet, of)


def imagej(path: Path, film: np.ndarray = FILM, size: float = 0.65, **metadata: Any) -> None:
    options = {"axes": "TYX", "unit": "um", "finterval": 120.0, **metadata}
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, film, imagej=True, resolution=(1 / size, 1 / size), metadata=options)


def test_the_interval_that_the_assay_states_holds(tmp_path: Path, caplog: Any) -> None:
    imagej(tmp_path / "f1.tif", finterval=1.0)
    _, fields, frames = plan(tmp_path, assay(frame_interval_s=120.0))
    assert frames["time_s"].tolist() == [0, 120, 240, 360]
    for text in (caplog.text, fields["remarks"][0]):
        assert "assay.frame_interval_s says 120 s" in text and "finterval says 1 s" in text


@pytest.mark.parametrize(
    ("unit", "dots", "more"),
    [
        ("um", 1e4 / 0.65, {"resolutionunit": "CENTIMETER"}),
        ("inch", 96, {}),
        ("inch", 72, {}),
        ("nm", 0.5, {}),
    ],
)
def test_an_impossible_size_is_no_source(
    tmp_path: Path, unit: str, dots: float, more: dict[str, str]
) -> None:
    metadata = {"axes": "TYX", "unit": unit, "finterval": 60.0}
    tifffile.imwrite(
        tmp_path / "f1.tif", FILM, imagej=True, resolution=(dots, dots), metadata=metadata, **more
    )
    _, fields, _ = plan(tmp_path, assay())
    unbelieved = dots == 0.5  # 2 nm: 0.002 um
    assert fields["pixel_size_um"].isna().all() and "XResolution" in fields["remarks"][0]
    assert "cannot be" in fields["remarks"][0] or not unbelieved
    _, fields, _ = plan(tmp_path, assay(pixel_size_um=0.65))
    assert fields["pixel_size_um"].tolist() == [0.65]


@pytest.mark.parametrize("interval", [1e-3, 100_000.0])
def test_an_impossible_interval_is_no_source(tmp_path: Path, interval: float) -> None:
    imagej(tmp_path / "f1.tif", finterval=interval)
    _, fields, frames = plan(tmp_path, assay())
    assert frames["time_s"].isna().all() and "finterval says" in fields["remarks"][0]


def test_channels_that_say_different_intervals(tmp_path: Path) -> None:
    imagej(tmp_path / "f1_A.tif", finterval=60.0)
    imagej(tmp_path / "f1_B.tif", finterval=120.0)
    of = ("{fov}_{channel}.tif", ("A", "B"))
    with pytest.raises(InputError, match=r"f1_A\.tif, finterval.*f1_B\.tif, finterval"):
        plan(tmp_path, assay(*of))
    _, fields, frames = plan(tmp_path, assay(*of, frame_interval_s=60.0))
    assert frames["time_s"].tolist() == [0, 60, 120, 180]
    assert "f1_B.tif, finterval says 120" in fields["remarks"][0]


def test_time_stamps_and_the_interval_that_was_asked_for(tmp_path: Path) -> None:
    """What was done holds over what was asked for; both are named where they differ."""
    for increment, told in ((60.0, False), (30.0, True)):
        plane = {"DeltaT": [0, 61, 122, 183]}
        options = {"axes": "TYX", "TimeIncrement": increment, "Plane": plane}
        tifffile.imwrite(tmp_path / "f1.tif", FILM, ome=True, metadata=options)
        _, fields, frames = plan(tmp_path, assay())
        assert frames["time_s"].tolist() == [0, 61, 122, 183]
        assert ("TimeIncrement says 30 s" in fields["remarks"][0]) == told


@pytest.mark.parametrize("odd", [{"size": 0.325}, {"finterval": 60.0}])
def test_frames_of_a_folder_that_disagree(tmp_path: Path, odd: dict[str, float]) -> None:
    for t in range(3):
        imagej(tmp_path / "f1" / f"{t}.tif", FILM[t], axes="YX", **(odd if t == 2 else {}))
    with pytest.raises(InputError, match=r"f1/0\.tif, .*f1/2\.tif, "):
        plan(tmp_path, assay("{fov}/{frame}.tif"))
    for path in (tmp_path / "f1").glob("2.tif"):
        imagej(path, FILM[2], axes="YX")
    _, fields, frames = plan(tmp_path, assay("{fov}/{frame}.tif"))
    assert fields["pixel_size_um"].tolist() == [pytest.approx(0.65)]
    assert frames["time_s"].tolist() == [0, 120, 240]


OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    '<Image ID="Image:0"><Pixels ID="Pixels:0" Type="uint16" SizeX="40" SizeY="32" '
    'DimensionOrder="XYCZT" SizeC="1" SizeZ="1" SizeT="{n}">'
    '<Channel ID="Channel:0" SamplesPerPixel="1"/><TiffData/></Pixels></Image></OME>'
)
IMAGEJ = "ImageJ=1.53t\nimages={n}\nframes={n}\nhyperstack=true\nfinterval=60.0\n"


@pytest.mark.parametrize("text", [IMAGEJ, OME], ids=["ImageJ", "OME"])
def test_completeness_both_ways(tmp_path: Path, text: str) -> None:
    for announced in (5, 10, 11):
        with tifffile.TiffWriter(tmp_path / "f1.tif") as tif:
            for t in range(10):
                said = text.format(n=announced) if t == 0 else None
                tif.write(FILM[t % 4], contiguous=False, metadata=None, description=said)
        if announced > 10:
            with pytest.raises(InputError, match="cut short"):
                plan(tmp_path, assay(frame_interval_s=60.0))
            continue
        _, fields, _ = plan(tmp_path, assay(frame_interval_s=60.0))
        assert fields["n_frames"].tolist() == [announced]
        found = "holds 10 planes" in fields["remarks"][0] and "announces 5" in fields["remarks"][0]
        assert found == (announced == 5)


def test_frames_saved_as_depth(tmp_path: Path) -> None:
    for channels, shape, axes in (
        (("A",), (6, 32, 40), "ZYX"),
        (("A", "B"), (6, 2, 32, 40), "ZCYX"),
    ):
        film = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
        imagej(tmp_path / "f1.tif", film, axes=axes)
        with pytest.raises(InputError, match=r"z_is_time: true\. If they are depth"):
            plan(tmp_path, assay(channels=channels))
        manifest, _, frames = plan(tmp_path, assay(channels=channels, raw={"z_is_time": True}))
        assert frames["time_s"].tolist() == [120.0 * t for t in range(6)]
        for raw in manifest.raw:
            right = film if film.ndim == 3 else film[:, raw.index]
            np.testing.assert_array_equal(open_raw(raw).compute(), right)
    with pytest.raises(ValueError, match="z_is_time"):
        assay(raw={"z_is_time": True, "project_z": "max"})


def test_films_of_different_length_are_told_of(tmp_path: Path) -> None:
    for fov, n in (("f1", 4), ("f2", 2)):
        imagej(tmp_path / f"{fov}.tif", FILM[:n])
    _, fields, _ = plan(tmp_path, assay(), "f1", "f2")
    assert (
        fields["remarks"][0] == ""
        and "ends at 2 min, that of field f1 at 6" in fields["remarks"][1]
    )


def test_nothing_left_of_a_film(tmp_path: Path) -> None:
    imagej(tmp_path / "f1.tif")
    with pytest.raises(InputError, match="leaves nothing of its 4 frames"):
        plan(tmp_path, assay(), exclude_frames="0-3", exclude_reason="dark")


def test_plate_and_well_of_the_path_go_into_the_fields(tmp_path: Path, caplog: Any) -> None:
    for well in ("A01", "B12"):
        for minutes in (0, 10, 20, 30):
            name = f"VID1_{well}_1_00d00h{minutes:02}m.TIF"
            tifffile.imwrite(tmp_path / name, FILM[0])
    of, fovs = assay("{plate}_{well}_{fov}_{time}.tif"), ("VID1_A01_1", "VID1_B12_1")
    manifest, fields, frames = plan(tmp_path, of, *fovs)
    assert fields["well"].tolist() == ["A1", "B12"] and set(fields["plate"]) == {"VID1"}
    assert frames["time_s"].tolist() == [0, 600, 1200, 1800] * 2
    assert manifest.fovs["VID1_A01_1"].frame_interval_s == 600
    _, fields, _ = plan(tmp_path, of, *fovs, well=["A001", "B11"], plate=["day 1", ""])
    assert fields["well"].tolist() == ["A001", "B11"] and fields["plate"].tolist() == [
        "day 1",
        "VID1",
    ]
    remarks = fields["remarks"].tolist()
    assert "sheet says plate 'day 1', the path 'VID1'" in remarks[0] and "well" not in remarks[0]
    assert "sheet says well 'B11', the path 'B12'" in remarks[1]


def test_stepped_numbers_are_said_in_the_report(tmp_path: Path) -> None:
    for number in (0, 10, 20):
        tifffile.imwrite(tmp_path / f"f1_{number}.tif", FILM[0])
    _, fields, frames = plan(tmp_path, assay("{fov}_{frame}.tif"))
    assert len(frames) == 3 and "go up by 10" in fields["remarks"][0]
