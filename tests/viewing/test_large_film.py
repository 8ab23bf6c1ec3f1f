"""A film larger than any memory opens by a few of its frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from dask.callbacks import Callback

from cyto_kedro.viewing.films import open_field
from cyto_kedro.viewing.layers import layers_of
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


class Counted(Callback):
    """How many chunks were computed."""

    def __init__(self) -> None:
        self.chunks = 0

    def _pretask(self, key: Any, dsk: Any, state: Any) -> None:
        self.chunks += 1


@pytest.mark.slow
def test_a_film_of_100_gb_opens_by_a_few_frames(ingested: Project) -> None:
    catalog = ingested.catalog
    with Counted() as counted:
        layers = layers_of(open_field(catalog, "A1"))
    films = [layer for layer in layers if layer.name in CHANNELS]
    assert [layer.data.shape for layer in films] == [(FRAMES, SIDE, SIDE)] * len(CHANNELS)
    # three frames a channel, from which contrast is taken: each read, and thinned
    assert 0 < counted.chunks <= 2 * 3 * len(CHANNELS)
    for layer in films:
        black, full = layer.options["contrast_limits"]
        assert 0 <= black < full
        with Counted() as one:
            assert np.asarray(layer.data[1000]).max() == 3999
        assert one.chunks <= 2
