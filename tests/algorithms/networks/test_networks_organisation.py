"""Entropy of where cells are and of whom they are among: closed forms, and simulated chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.networks.organisation import OrganisationEntropy

SIDE, BOX = 400, 100  # 16 boxes


def cells(x: object, y: object, population: object = "T", frame: object = 0) -> pd.DataFrame:
    rows = {"fov": "A", "x_px": np.asarray(x, float), "y_px": np.asarray(y, float)}
    table = pd.DataFrame(rows).assign(population=population, frame=frame)
    return schemas.filled(schemas.Cells, table.assign(label=np.arange(len(table)) + 1))


def measure(table: pd.DataFrame, box: float = BOX) -> pd.DataFrame:
    made = OrganisationEntropy(box_px=box)(cells=table, shape=(SIDE, SIDE))["organisation"]
    return schemas.check(schemas.Organisation, made).set_index(["population", "frame"])


def grid(each: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """`each` cells in every box."""
    at = np.arange(50, SIDE, BOX)
    x, y = (axis.ravel().repeat(each) for axis in np.meshgrid(at, at))
    return x, y


def test_even_is_one_and_all_in_one_box_is_nought() -> None:
    assert measure(cells(*grid(3)))["spread"].iloc[0] == pytest.approx(1)
    assert measure(cells([10.0] * 9, [10.0] * 9))["spread"].iloc[0] == 0
    assert measure(cells([10.0], [10.0]))[["spread", "spread_by_chance"]].values.tolist() == [
        [0, 0]
    ]
    # two boxes of 16: log 2 / log 16
    assert measure(cells([10.0, 210.0], [10.0, 10.0]))["spread"].iloc[0] == pytest.approx(0.25)


def test_one_box_says_nothing() -> None:
    made = measure(cells(*grid()), box=1000)
    assert made["spread"].isna().all() and made["spread_by_chance"].isna().all()


def test_mixed_apart_and_by_hand() -> None:
    x, y = grid(2)
    mixed = measure(cells(x, y, ["T", "C"] * 16))
    assert mixed["mixing"].to_numpy() == pytest.approx([1, 1])
    apart = measure(cells(x, y, np.where(x < 200, "T", "C")))
    assert apart["mixing"].to_numpy() == pytest.approx([0, 0])
    # a box of (3 T, 1 C), one of (1 T, 3 C): the entropy of a quarter over that of a half
    made = measure(cells([10.0] * 4 + [310.0] * 4, [10.0] * 8, list("TTTCTCCC")))
    quarter = 0.25 * np.log(4) + 0.75 * np.log(4 / 3)
    assert made["mixing"].to_numpy() == pytest.approx([quarter / np.log(2)] * 2)
    assert measure(cells(x, y))["mixing"].isna().all()  # nobody to mix with


def test_chance_is_what_random_fields_have() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.uniform(0, SIDE - 1, (2, 400 * 30))
    made = measure(cells(x, y, (["T"] * 12 + ["C"] * 18) * 400, np.repeat(np.arange(400), 30)))
    for name in ("spread", "mixing"):
        for population, n in (("T", 12), ("C", 18)):
            one = made.loc[population]
            error = one[name].std() / np.sqrt(len(one))
            assert abs(one[name].mean() - one[f"{name}_by_chance"].mean()) < 4 * error
            assert set(one["n_cells"]) == {n}


def test_over_time_two_populations_come_to_mix() -> None:
    rng = np.random.default_rng(5)
    side = np.where(np.arange(200) < 100, 0.0, 200.0)
    parts = []
    for frame, share in enumerate((0.0, 0.5, 1.0)):  # how far each goes to a place of its own
        x = (1 - share) * (side + rng.uniform(0, 199, 200)) + share * rng.uniform(0, 399, 200)
        parts.append(cells(x, rng.uniform(0, 399, 200), ["T"] * 100 + ["C"] * 100, frame))
    made = measure(pd.concat(parts, ignore_index=True)).loc["T"]
    assert made["mixing"].is_monotonic_increasing
    assert made["mixing"].iloc[0] == 0
    assert made["mixing"].iloc[2] == pytest.approx(made["mixing_by_chance"].iloc[2], abs=0.05)


def test_cells_at_the_edge_are_inside_and_no_cells_are_no_rows() -> None:
    edge = cells([-0.5, SIDE - 0.5, SIDE - 0.5], [-0.5, SIDE - 0.5, -0.5])
    assert measure(edge)["n_cells"].tolist() == [3]
    empty = OrganisationEntropy()(cells=edge[:0], shape=(SIDE, SIDE))["organisation"]
    assert empty.empty and list(empty) == list(schemas.empty(schemas.Organisation))
