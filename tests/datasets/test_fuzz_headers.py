"""Damaged headers: 500 mutations of each kind end in a sentence (`CytoError`) or a right result.

Seeds are the numbers 0 to 499, so that what is found is found again.
"""

from __future__ import annotations

import logging
import random
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from cyto_kedro import schemas
from cyto_kedro.datasets.raw import open_raw, scan
from cyto_kedro.datasets.trackmate import read_trackmate
from cyto_kedro.errors import CytoError
from cyto_kedro.pipelines.tracking.trackmate import masks, track_points

N_SEEDS = 500
FILM = np.random.default_rng(0).integers(1, 4000, (3, 2, 12, 10)).astype(np.uint16)
PIXELS = FILM.reshape(-1, 12, 10)
WORDS = (
    *("0", "-1", "1", "3", "7", "1000000000", "9223372036854775808", "nan", "inf", "-inf", "1e400"),
    *(
        "",
        "x",
        "one",
        "µ",
        "null",
        "true",
        "[]",
        "{}",
        "1.5",
        "0.65",
        '"',
        "<",
        ">",
        "\n",
        "=",
        ",",
    ),
)


def mutated(text: str, seed: int) -> str:
    """`text` with one to three faults: a number changed, a slice lost, doubled, moved or overwritten."""
    chance = random.Random(seed)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        numbers = [i for i, char in enumerate(text) if char.isdigit()]
        kind = chance.choice(
            ("number", "number", "number", "lose", "double", "move", "word", "name")
        )
        at = chance.choice(numbers) if kind == "number" and numbers else chance.randrange(len(text))
        end = at + 1
        if kind == "number":
            while at > 0 and (text[at - 1].isdigit() or text[at - 1] in ".-e"):
                at -= 1
            while end < len(text) and (text[end].isdigit() or text[end] in ".e"):
                end += 1
        elif kind in ("lose", "double", "move"):
            end = min(len(text), at + chance.randrange(1, 40))
        elif kind == "name":
            while end < len(text) and text[end].isalpha():
                end += 1
        part = text[at:end]
        put = {"lose": "", "double": part * 2, "move": ""}.get(kind, chance.choice(WORDS))
        text = text[:at] + put + text[end:]
        if kind == "move":
            at = chance.randrange(len(text) + 1)
            text = text[:at] + part + text[at:]
    return text


OME = (
    '<?xml version="1.0" encoding="UTF-8"?><OME '
    'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels '
    'ID="Pixels:0" Type="uint16" SizeX="10" SizeY="12" DimensionOrder="XYCZT" SizeC="2" SizeZ="1" '
    'SizeT="3" PhysicalSizeX="0.65" PhysicalSizeXUnit="um" PhysicalSizeY="0.65" '
    'PhysicalSizeYUnit="um" TimeIncrement="60" TimeIncrementUnit="s">'
    '<Channel ID="Channel:0:0" Name="A" SamplesPerPixel="1"/>'
    '<Channel ID="Channel:0:1" Name="B" SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="6"/>'
    '<Plane TheC="0" TheZ="0" TheT="0" DeltaT="0.5"/><Plane TheC="0" TheZ="0" TheT="1" DeltaT="61"/>'
    '<Plane TheC="0" TheZ="0" TheT="2" DeltaT="122"/></Pixels></Image></OME>'
)
IMAGEJ = (
    "ImageJ=1.53t\nimages=6\nchannels=2\nframes=3\nhyperstack=true\nmode=composite\nunit=um\n"
    "finterval=60.0\nloop=false\nmin=0.0\nmax=4000.0\n"
)
SHAPED = '{"shape": [3, 2, 12, 10], "axes": "TCYX", "channels": ["A", "B"]}'


def tiff(text: str, folder: Path, contiguous: bool = False) -> None:
    options = {"photometric": "minisblack", "metadata": None}
    size = {"resolution": (1 / 0.65, 1 / 0.65), "resolutionunit": "NONE"}
    with tifffile.TiffWriter(folder / "f1.tif", byteorder=">" if contiguous else "<") as tif:
        said = text.encode("utf-8", "replace")
        if contiguous:
            tif.write(PIXELS, contiguous=True, description=said, **options, **size)
            return
        for i, page in enumerate(PIXELS):
            described = said if i == 0 else None
            tif.write(page, contiguous=False, description=described, **options, **size)


ZARR: dict[int, tuple[str, str]] = {2: ("f1.zarr/0/.zarray", "f1.zarr/.zattrs"), 3: ("", "")}
ZARR[3] = ("f1.zarr/0/zarr.json", "f1.zarr/zarr.json")


def zarr_image(folder: Path, version: int) -> None:
    group = zarr.open_group(folder / "f1.zarr", mode="w", zarr_format=version)  # type: ignore[arg-type]
    array = group.create_array("0", shape=FILM.shape, chunks=(1, 1, 12, 10), dtype=FILM.dtype)
    array[:] = FILM
    axes = [{"name": "t", "type": "time", "unit": "second"}, {"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space", "unit": "micrometer"} for a in "yx"]
    scale = {"type": "scale", "scale": [60.0, 1.0, 0.65, 0.65]}
    described = {
        "multiscales": [
            {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}
        ],
        "omero": {"channels": [{"label": "A"}, {"label": "B"}]},
    }
    group.attrs.update(described if version == 2 else {"ome": {"version": "0.5", **described}})


def right_or_refused(folder: Path, pattern: str) -> str:
    """Read the film: 'refused' in a sentence, or 'read' as something that can be true."""
    try:
        found = scan(str(folder), pattern, ["A", "B"])
        stacks = [open_raw(raw)[:4].compute(scheduler="synchronous") for raw in found]
    except CytoError as error:
        assert str(error)
        return "refused"
    for raw, stack in zip(found, stacks, strict=True):
        assert stack.shape == (min(raw.n_frames, 4), raw.height, raw.width) and stack.size
        assert raw.pixel_size_um is None or 0.01 <= raw.pixel_size_um <= 50
        if raw.time_s is not None:
            assert len(raw.time_s) == raw.n_frames and np.isfinite(raw.time_s).all()
            assert raw.time_s[0] == 0 and (np.diff(raw.time_s) > 0).all()
        type(raw).model_validate_json(raw.model_dump_json())
        lost = any("left out" in each or "not stored" in each for each in raw.remarks)
        if stack.shape[1:] == FILM.shape[2:] and not lost:
            assert all((frame == PIXELS).all((1, 2)).any() for frame in stack)
    return "read"


@pytest.fixture(autouse=True)
def _silent() -> None:
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def most_ways(outcomes: list[str]) -> None:
    """The mutations do reach both ends."""
    assert (
        len(outcomes) == N_SEEDS and outcomes.count("refused") > 20 and outcomes.count("read") > 20
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("contiguous", [False, True])
@pytest.mark.parametrize("text", [OME, IMAGEJ, SHAPED], ids=["ome", "imagej", "shaped"])
def test_tiff_descriptions(tmp_path: Path, text: str, contiguous: bool) -> None:
    outcomes = []
    for seed in range(N_SEEDS):
        tiff(mutated(text, seed), tmp_path, contiguous)
        outcomes.append(right_or_refused(tmp_path, "{fov}.tif"))
    most_ways(outcomes)


@pytest.mark.filterwarnings("ignore")
def test_bytes_of_a_tiff(tmp_path: Path) -> None:
    """Offsets, counts and tags of the directories, not only their texts."""
    tiff(OME, tmp_path)
    whole = (tmp_path / "f1.tif").read_bytes()
    for seed in range(N_SEEDS):
        chance, content = random.Random(seed), bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 8))):
            content[chance.randrange(len(content))] = chance.choice(
                (0, 1, 255, chance.randrange(256))
            )
        (tmp_path / "f1.tif").write_bytes(content)
        try:
            for raw in scan(str(tmp_path), "{fov}.tif", ["A", "B"]):
                open_raw(raw)[:4].compute(scheduler="synchronous")
        except CytoError as error:
            assert str(error)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", [2, 3])
def test_zarr_metadata(tmp_path: Path, version: int) -> None:
    zarr_image(tmp_path, version)
    files = [tmp_path / name for name in ZARR[version]]
    whole = [file.read_text(encoding="utf-8") for file in files]
    outcomes = []
    for seed in range(N_SEEDS):
        for i, (file, text) in enumerate(zip(files, whole, strict=True)):
            changed = mutated(text, seed) if i == seed % 2 else text
            file.write_text(changed, encoding="utf-8")
        outcomes.append(right_or_refused(tmp_path, "{fov}.zarr"))
    most_ways(outcomes)


SESSION = (
    '<TrackMate version="7.11.1"><Model spatialunits="micron" timeunits="min"><AllSpots>'
    '<SpotsInFrame frame="0"><Spot ID="1" name="a" FRAME="0" POSITION_X="2.0" POSITION_Y="3.0" '
    'RADIUS="0.8" VISIBILITY="1" ROI_N_POINTS="3">-0.5 -0.5 0.5 -0.5 0.5 0.5</Spot></SpotsInFrame>'
    '<SpotsInFrame frame="1"><Spot ID="2" name="b" FRAME="1" POSITION_X="2.5" POSITION_Y="3.0" '
    'RADIUS="0.8" VISIBILITY="1"/></SpotsInFrame><SpotsInFrame frame="2"><Spot ID="3" name="c" '
    'FRAME="2" POSITION_X="3.0" POSITION_Y="3.0" RADIUS="0.8"/></SpotsInFrame></AllSpots><AllTracks>'
    '<Track TRACK_ID="0"><Edge SPOT_SOURCE_ID="1" SPOT_TARGET_ID="2"/><Edge SPOT_SOURCE_ID="2" '
    'SPOT_TARGET_ID="3"/></Track></AllTracks><FilteredTracks><TrackID TRACK_ID="0"/></FilteredTracks>'
    '</Model><Settings><ImageData width="16" height="14" nslices="1" nframes="3" pixelwidth="0.5" '
    'pixelheight="0.5" timeinterval="2.0"/></Settings></TrackMate>'
)


def session_read(text: str) -> str:
    try:
        film = read_trackmate(BytesIO(text.encode("utf-8", "replace")), "s.xml")
        if film.n_frames * film.shape[0] * film.shape[1] > 1_000_000:
            return "refused"  # by its field, whose size it has not
        label = masks(film)
        points = track_points(film, "f", "P", film.pixel_size_um, None)
    except CytoError as error:
        assert "s.xml" in str(error)
        return "refused"
    schemas.check(schemas.TrackPoints, points)
    assert len(np.unique(label)) - 1 <= len(film.spots)
    return "read"


@pytest.mark.filterwarnings("ignore")
def test_trackmate_sessions() -> None:
    most_ways([session_read(mutated(SESSION, seed)) for seed in range(N_SEEDS)])
