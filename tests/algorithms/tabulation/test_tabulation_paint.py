"""Values painted on masks and on discs."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from skimage.measure import regionprops_table
from skimage.util import map_array

from cyto_kedro.algorithms.tabulation.paint import PaintColumn
from cyto_kedro.errors import ConfigError, InputError


@pytest.fixture
def film() -> tuple[np.ndarray, pd.DataFrame]:
    """Three frames of masks (the second empty), numbered from frame 5, and a value each."""
    rng = np.random.default_rng(0)
    label = np.zeros((3, 40, 50), np.uint32)
    rows = []
    for frame in (0, 2):
        for number in range(1, 9):
            y, x = rng.integers(0, 36), rng.integers(0, 46)
            label[frame, y : y + 4, x : x + 4] = number * 3
        for number in np.unique(label[frame])[1:]:
            rows.append({"frame": frame + 5, "label": number, "value": rng.normal()})
    return label, pd.DataFrame(rows).assign(fov="f1", population="T")


@pytest.mark.parametrize("lazy", [False, True])
def test_each_mask_has_its_value(film: tuple[np.ndarray, pd.DataFrame], lazy: bool) -> None:
    label, table = film
    data = {
        "label": da.from_array(label, chunks=(1, 40, 50)) if lazy else label,
        "cells": table.sample(frac=1, random_state=0),
        "frame_start": 5,
    }
    image = PaintColumn(column="value")(data)["image"]
    assert image.dtype == np.float32 and np.isnan(image[label == 0]).all()
    assert np.isnan(image[1]).all()
    for frame in (0, 2):
        rows = table[table["frame"] == frame + 5]
        want = map_array(
            label[frame].astype(int), rows["label"].to_numpy(), rows["value"].to_numpy()
        )
        np.testing.assert_allclose(
            image[frame][label[frame] > 0], want[label[frame] > 0], rtol=1e-6
        )
        back = regionprops_table(
            label[frame].astype(int), image[frame], properties=("label", "mean_intensity")
        )
        np.testing.assert_allclose(back["mean_intensity"], rows["value"], rtol=1e-5)


def test_masks_without_a_row_stay_empty_and_rows_without_a_mask_are_refused(
    film: tuple[np.ndarray, pd.DataFrame],
) -> None:
    label, table = film
    paint = PaintColumn(column="value")
    fewer = table[table["label"] > 3]
    image = paint({"label": label, "cells": fewer, "frame_start": 5})["image"]
    assert np.isnan(image[label == 3]).all()
    other = table.assign(label=table["label"] + 100)
    with pytest.raises(InputError, match="has a row and no mask"):
        paint({"label": label, "cells": other, "frame_start": 5})
    with pytest.raises(InputError, match="label 3 has several rows"):
        twice = pd.concat([table, table])
        paint({"label": label, "cells": twice, "frame_start": 5})
    with pytest.raises(ConfigError, match="unknown column 'valu'"):
        PaintColumn(column="valu")({"label": label, "cells": table, "frame_start": 5})
    nothing = paint({"label": label, "cells": table[:0]})["image"]
    assert nothing.shape == label.shape and np.isnan(nothing).all()
