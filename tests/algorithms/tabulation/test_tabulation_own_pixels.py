"""Own pixels against SciPy's convex hull, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from cyto_kedro.algorithms.tabulation.own_pixels import own_light
from cyto_kedro.algorithms.tabulation.touches import Touches


@pytest.mark.parametrize("margin", [0.7, 2.0, 3.3])
@pytest.mark.parametrize("seed", range(6))
def test_own_pixels_lie_outside_of_the_other_hull(seed: int, margin: float) -> None:
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:60, :60]
    one, other = np.zeros((2, 60, 60), np.uint32)
    for label in (1, 2, 3):
        for frame, reach in ((one, rng.uniform(1, 8)), (other, rng.uniform(3, 12))):
            y, x = rng.uniform(10, 50, 2)
            frame[np.hypot(yy - y, (xx - x) * rng.uniform(0.6, 1.6)) < reach] = label
    if seed % 2:
        other[one > 0] = 0
    labels = [[each for each in np.unique(frame) if each] for frame in (one, other)]
    pair = np.array([(a, b) for a in labels[0] for b in labels[1]])
    image = rng.normal(0, 1, one.shape)
    which = {"a": np.zeros(len(pair), int), "b": np.ones(len(pair), int)}
    found = own_light(
        [one, other],
        {"D": image},
        which | {"label_a": pair[:, 0], "label_b": pair[:, 1]},
        margin,
    )
    for row, (a, b) in enumerate(pair):
        for side, mine, its in (("a", one == a, other == b), ("b", other == b, one == a)):
            y, x = np.nonzero(its)
            edges = [(y + dy, x + dx) for dy, dx in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))]
            hull = ConvexHull(np.concatenate([np.column_stack(each) for each in edges]))
            place = np.argwhere(mine)
            far = (place @ hull.equations[:, :2].T + hull.equations[:, 2]).max(axis=1)
            own = place[far > margin + 1e-9]
            assert found[f"own_px_{side}"][row] == len(own)
            light = found[f"D_own_{side}"][row]
            if len(own):
                assert light == pytest.approx(np.quantile(image[tuple(own.T)], 0.25))
            else:
                assert np.isnan(light)


def test_pairs_of_one_population_have_none_and_films_without_marker_no_columns() -> None:
    label = {"T": np.array([[[1, 1, 2, 2, 0, 0]]]), "N": np.array([[[0, 0, 0, 0, 3, 3]]])}
    image = {"PI": np.arange(6.0).reshape(1, 1, 6)}
    touches = Touches(max_distance_px=0, halo_px=0.5)
    made = touches(label=label, image=image, markers={"death": "PI"})["touches"]
    rows = made.set_index(["label_a", "label_b"])
    assert rows.loc[(1, 2), ["own_px_a", "PI_own_b"]].isna().all()
    assert rows.loc[(2, 3), ["own_px_a", "PI_own_a"]].tolist() == [1, 2]  # 3 is half a pixel away
    assert rows.loc[(2, 3), ["own_px_b", "PI_own_b"]].tolist() == [1, 5]
    assert not [name for name in touches(label=label)["touches"] if "_own_" in name]
    none = {name: 0 * stack for name, stack in label.items()}
    empty = touches(label=none, image=image, markers={"death": "PI"})["touches"]
    assert empty.dtypes.to_dict() == made.dtypes.to_dict()
