"""At a prompt partitions show what they hold, and are read as one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro.errors import InputError
from tiny_project import BLOCKS, N_FRAMES, Project, whole_table


def test_tables_show_themselves_and_are_read_whole_or_in_part(finished: Project) -> None:
    catalog = finished.catalog
    cells = catalog.load("cells")
    expected = whole_table(catalog, "cells")
    shown = repr(cells)
    assert f"8 partitions fov/population/block, {len(expected)} rows" in shown
    assert "population: CancerCell, TCell" in shown and "area_px" in shown
    key = ["fov", "population", "frame", "label"]
    found = cells.to_pandas().sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)
    one = cells.to_pandas(fov="control_1", population="TCell")
    both = expected["fov"].eq("control_1") & expected["population"].eq("TCell")
    assert len(one) == both.sum() > 0
    lazy = cells.to_dask()
    assert lazy.npartitions == 8
    assert lazy["area_px"].sum().compute() == pytest.approx(expected["area_px"].sum())
    assert dict(cells)  # still the mapping that nodes get


def test_blocks_of_another_length_are_not_counted_twice(project: Project) -> None:
    catalog = project.catalog
    n_rows = len(whole_table(catalog, "cells"))
    source = catalog.get("cells")
    source.save({"control_1/TCell/t0000-0008": source.load_one("control_1/TCell/t0000-0006")})
    assert len(catalog.load("cells").to_pandas()) == n_rows


def test_pixels_open_unread_as_films(finished: Project) -> None:
    catalog = finished.catalog
    for name, channel in (("labels", "population"), ("raw_images", "channel")):
        parts = catalog.load(name)
        assert "(T, Y, X)" in repr(parts)
        film = parts.to_dask(fov="treated_1", **{channel: "TCell"})
        assert film.shape == (N_FRAMES, 96, 96) and film.numblocks[0] == N_FRAMES
        whole = np.concatenate([parts[f"treated_1/TCell/{each}"]() for each in BLOCKS])
        np.testing.assert_array_equal(film.compute(), whole)
    films = catalog.load("measurement_images").to_dask(fov="treated_1")
    assert set(films) == {"treated_1/TCell", "treated_1/CancerCell", "treated_1/Dead"}


def test_what_is_not_there_is_named(finished: Project) -> None:
    cells = finished.catalog.load("cells")
    with pytest.raises(InputError, match=r"population 'Tcell'.*TCell"):
        cells.to_pandas(population="Tcell")
    with pytest.raises(InputError, match="key 'well'"):
        cells.to_pandas(well="A1")
    with pytest.raises(InputError, match="films"):
        finished.catalog.load("labels").to_pandas()
    with pytest.raises(InputError, match="neither tables nor films"):
        finished.catalog.load("contact_graphs").to_dask()
