"""Chunks that were lost or cut short in copying: found before a pixel is analysed, with each codec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from zarr import codecs

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.film_warnings import quality_warnings
from cyto_kedro.algorithms.tabulation.quality import frame_quality
from cyto_kedro.datasets.raw import RawChannel, open_raw, scan
from cyto_kedro.errors import InputError

FILM = np.random.default_rng(0).integers(1, 4000, (6, 2, 40, 48)).astype(np.uint16)
CODECS: dict[str, dict[str, Any]] = {
    "v2 plain": {"zarr_format": 2, "compressors": None},
    "v2 blosc": {"zarr_format": 2, "compressors": numcodecs.Blosc()},
    "v2 zlib": {"zarr_format": 2, "compressors": numcodecs.Zlib()},
    "v2 zstd": {"zarr_format": 2, "compressors": numcodecs.Zstd()},
    "v2 lz4": {"zarr_format": 2, "compressors": numcodecs.LZ4()},
    "v3 plain": {"zarr_format": 3, "compressors": None},
    "v3 blosc": {"zarr_format": 3, "compressors": codecs.BloscCodec()},
    "v3 gzip": {"zarr_format": 3, "compressors": codecs.GzipCodec()},
    "v3 zstd": {"zarr_format": 3},
    "v3 shards": {"zarr_format": 3, "shards": (2, 1, 40, 48)},
}


def write(folder: Path, film: np.ndarray = FILM, **how: Any) -> Path:
    zarr_format = how.pop("zarr_format")
    group = zarr.open_group(folder / "f1.zarr", mode="w", zarr_format=zarr_format)
    array = group.create_array(
        "0", shape=film.shape, chunks=(1, 1, 40, 24), dtype=film.dtype, fill_value=0, **how
    )
    array[:] = film
    axes = [{"name": "t", "type": "time", "unit": "second"}, {"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space", "unit": "micrometer"} for a in "yx"]
    scale = {"type": "scale", "scale": [60.0, 1.0, 0.65, 0.65]}
    multiscales = [
        {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}
    ]
    group.attrs.update({"multiscales": multiscales})
    return folder / "f1.zarr" / "0"


def chunks(array: Path) -> list[Path]:
    found = [each for each in array.rglob("*") if each.is_file() and each.name[0].isdigit()]
    return sorted(found)


def read(folder: Path) -> list[RawChannel]:
    return scan(str(folder), "{fov}.zarr", ["A", "B"])


@pytest.mark.parametrize("how", CODECS.values(), ids=CODECS)
def test_a_whole_film_is_read_without_a_word(tmp_path: Path, how: dict[str, Any]) -> None:
    write(tmp_path, **how)
    found = read(tmp_path)
    assert all("chunk" not in remark for raw in found for remark in raw.remarks)
    np.testing.assert_array_equal(open_raw(found[1]).compute(), FILM[:, 1])


@pytest.mark.parametrize("how", CODECS.values(), ids=CODECS)
def test_lost_chunks_are_told_of(tmp_path: Path, how: dict[str, Any]) -> None:
    files = chunks(write(tmp_path, **how))
    lost = files[len(files) // 2 :]
    for each in lost:
        each.unlink()
    (remark,) = (each for each in read(tmp_path)[0].remarks if "chunk" in each)
    assert f"{len(lost)} of {len(files)} chunks are not stored" in remark
    assert "first in frame " in remark and "copy it again" in remark
    for each in files[: len(files) // 2]:
        each.unlink()
    with pytest.raises(InputError, match="not one of its"):
        read(tmp_path)


def test_a_black_part_that_the_writer_left_out_is_told_of_too(tmp_path: Path) -> None:
    film = FILM.copy()
    film[3:, 1] = 0
    write(tmp_path, film, **CODECS["v3 zstd"])
    (remark,) = (each for each in read(tmp_path)[0].remarks if "chunk" in each)
    assert (
        "6 of 24 chunks are not stored, first in frame 3" in remark
        and "frames have none" not in remark
    )


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("how", CODECS.values(), ids=CODECS)
def test_a_chunk_cut_short_is_refused_by_name(
    tmp_path: Path, how: dict[str, Any], share: float
) -> None:
    files = chunks(write(tmp_path, **how))
    content = files[5 % len(files)].read_bytes()
    files[5 % len(files)].write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"f1\.zarr.*(cut short|cannot be decoded)"):
        for raw in read(tmp_path):
            open_raw(raw).compute()


def test_a_film_of_a_billion_frames(tmp_path: Path) -> None:
    array = write(tmp_path, **CODECS["v2 plain"])
    text = (array / ".zarray").read_text()
    (array / ".zarray").write_text(text.replace("6,", "1000000000,", 1))
    with pytest.raises(InputError, match="announces 2000000000 planes, more than a film has"):
        read(tmp_path)


CHECKED: dict[str, dict[str, Any]] = {
    "v3 crc32c": {"zarr_format": 3, "compressors": codecs.Crc32cCodec()},
    "v3 zstd with checksum": {"zarr_format": 3, "compressors": codecs.ZstdCodec(checksum=True)},
    "v3 gzip": CODECS["v3 gzip"],
    "v2 zlib": CODECS["v2 zlib"],
}


@pytest.mark.parametrize("how", CHECKED.values(), ids=CHECKED)
def test_a_flipped_bit_is_found_where_the_codec_has_a_checksum(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    array, rng = write(tmp_path, **how), np.random.default_rng(2)
    for path in rng.choice(np.array(chunks(array)), 6, replace=False):
        whole = path.read_bytes()
        content = bytearray(whole)
        content[rng.integers(12, len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(content))
        with pytest.raises(InputError, match=r"f1\.zarr, frame \d.*cannot be decoded"):
            for raw in read(tmp_path):
                for frame in range(len(FILM)):
                    np.asarray(open_raw(raw)[frame])
        path.write_bytes(whole)


def test_a_chunk_of_garbage_is_told_of_by_its_light_where_no_checksum_finds_it(
    tmp_path: Path,
) -> None:
    """Blosc and plain chunks have no checksum: pixels of a quarter of a frame drawn at random."""
    film = np.random.default_rng(3).poisson(300, FILM.shape).astype(np.uint16)
    array = write(tmp_path, film, **CODECS["v3 plain"])
    path = chunks(array)[4]
    path.write_bytes(np.random.default_rng(4).bytes(path.stat().st_size))
    fov, said = ("f1", [])
    for raw in read(tmp_path):
        quality = frame_quality(np.asarray(open_raw(raw)))
        quality = quality.assign(fov=fov, channel=raw.channel)
        fields = schemas.filled(schemas.Fields, {"fov": [fov], "n_frames": len(film)})
        frames = {"fov": fov, "frame": range(len(film)), "time_s": 60.0, "excluded": False}
        data = {
            "fields": fields,
            "frames": schemas.filled(schemas.Frames, frames),
            "quality": quality,
        }
        said.append(quality_warnings(data)["what"].str.contains("from its neighbours").any())
    assert sorted(said) == [False, True]
