"""A film larger than any memory opens by a few of its frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from cyto_kedro.datasets.ome_zarr import ZarrFrames
from cyto_kedro.viewing.films import open_field
from cyto_kedro.viewing.layers import layers_of
from cyto_kedro.viewing.window import open_window
from tiny_project import Project

FRAMES, SIDE = 4000, 2048
CHANNELS = ("TCell", "CancerCell", "Dead")
STORED = (0, 1000, 1999, 3000, FRAMES - 1)  # frames with pixels; the rest is fill value


@pytest.fixture
def ingested(tmp_path: Path) -> Project:
    """One field, 100 GB by its header; of it few frames are stored, others are black."""
    group = zarr.open_group(tmp_path / "raw" / "A1.zarr", mode="w", zarr_format=2)
    shape = (FRAMES, len(CHANNELS), SIDE, SIDE)
    array: Any = group.create_array(
        "0", shape=shape, chunks=(1, 1, SIDE, SIDE), dtype=np.uint16, fill_value=0
    )
    bright = np.random.default_rng(0).integers(1, 4000, (SIDE, SIDE)).astype(np.uint16)
    for t in STORED:
        array[t] = np.broadcast_to(bright, shape[1:])
    axes = [{"name": "t", "type": "time", "unit": "second"}, {"name": "c", "type": "channel"}]
    axes += [{"name": each, "type": "space", "unit": "micrometer"} for each in "yx"]
    scale = {"type": "scale", "scale": [60.0, 1.0, 0.65, 0.65]}
    told = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}
    group.attrs.update({"multiscales": [told]})
    assert np.prod(shape) * 2 > 100e9
    sheet = "fov,condition,replicate\nA1,treated,1\n"
    (tmp_path / "raw" / "sample_sheet.csv").write_text(sheet, encoding="utf-8")
    project = Project.make(tmp_path / "project", tmp_path / "raw", block_length=100)
    project.assay(raw={"pattern": "{fov}.zarr"})
    project.run("ingestion", nodes=["plan_assay"])
    return project


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The frames that were read of the file, a number each time."""
    read: list[int] = []
    original = ZarrFrames.read

    def told(self: ZarrFrames, start: int, stop: int) -> np.ndarray:
        read.extend(range(start, stop))
        return original(self, start, stop)

    monkeypatch.setattr(ZarrFrames, "read", told)
    return read


@pytest.mark.slow
def test_a_film_of_100_gb_opens_by_a_few_frames(ingested: Project, readings: list[int]) -> None:
    layers = layers_of(open_field(ingested.catalog, "A1"))
    films = [layer for layer in layers if layer.name in CHANNELS]
    assert [layer.data.shape for layer in films] == [(FRAMES, SIDE, SIDE)] * len(CHANNELS)
    assert readings == [0, 1999, FRAMES - 1] * len(CHANNELS)  # from which contrast is taken
    for layer in films:
        black, full = layer.options["contrast_limits"]
        assert 0 <= black < full
        readings.clear()
        assert np.asarray(layer.data[1000]).max() == 3999
        assert readings == [1000]


@pytest.mark.slow
@pytest.mark.companion("napari")
def test_a_viewer_shows_it_and_holds_what_it_shows(
    ingested: Project,
    viewer: Any,
    readings: list[int],
    record_property: Callable[[str, float], None],
) -> None:
    """Opened and leafed through: one reading a channel and frame, memory of a few frames."""
    import psutil

    memory = psutil.Process().memory_info
    before, start = memory().rss, time.perf_counter()
    open_window(ingested.catalog, "A1", viewer=viewer)
    record_property("seconds until it is open", time.perf_counter() - start)
    looked_at = (1000, 3000, FRAMES - 1, 2000)  # the last is black
    readings.clear()
    start = time.perf_counter()
    for t in looked_at:
        viewer.dims.set_current_step(0, t)
        for each in CHANNELS:
            shown = viewer.layers[each].get_value((t, SIDE // 3, SIDE // 2), world=False)
            assert (shown > 0) == (t in STORED)
    record_property("seconds a frame", (time.perf_counter() - start) / len(looked_at))
    assert sorted(readings) == sorted(looked_at * len(CHANNELS))
    grown_mb = (memory().rss - before) / 1e6
    record_property("MB more than the empty viewer", grown_mb)
    assert grown_mb < 1000
