"""Steps on the table of cells, against NumPy, scikit-learn, brute force and each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import construct
from cyto_kedro.algorithms.tabulation.columns import Compute, FilterCells, NormaliseColumns
from cyto_kedro.algorithms.tabulation.cross import CrossTable
from cyto_kedro.errors import ConfigError, InputError


def cells(n: int = 60, n_frames: int = 3, population: str = "T", seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = np.sort(rng.integers(0, n_frames, n))
    label = pd.Series(frame).groupby(frame).cumcount().to_numpy() + 1
    return pd.DataFrame(
        {
            "fov": "A",
            "population": population,
            "frame": frame,
            "label": label,
            "x_px": rng.uniform(0, 100, n),
            "y_px": rng.uniform(0, 100, n),
            "area_px": rng.integers(5, 200, n).astype(float),
            "area_um2": np.nan,
            "on_border": rng.random(n) < 0.2,
            "Dead_mean": rng.lognormal(3, 1, n),
            "T_mean": rng.lognormal(4, 1, n),
        }
    )


def take(step: Any, table: pd.DataFrame, **data: Any) -> pd.DataFrame:
    before = table.copy()
    found = step({"dataframe": table, **data})["dataframe"]
    pd.testing.assert_frame_equal(table, before)  # an algorithm changes nothing it is given
    return found


def blocks(table: pd.DataFrame, length: int) -> list[pd.DataFrame]:
    number = table["frame"] // length
    return [part.reset_index(drop=True) for _, part in table.groupby(number)]


# --- filters -----------------------------------------------------------------------------------


def test_a_filter_keeps_what_meets_all_conditions() -> None:
    table = cells()
    step = FilterCells(
        keep={"area_px": (20, 150), "on_border": (None, 0)}, where="Dead_mean / T_mean < 1"
    )
    want = table.query("20 <= area_px <= 150 and not on_border and Dead_mean / T_mean < 1")
    pd.testing.assert_frame_equal(take(step, table), want.reset_index(drop=True))
    assert 0 < len(want) < len(table) and step.reach == "frame"


@pytest.mark.parametrize("over", ["frame", "film"])
def test_quantiles_are_numpys_over_a_frame_or_the_film(over: str) -> None:
    table = cells(200)
    step = FilterCells(quantiles={"Dead_mean": (0.1, 0.9)}, over=over)
    parts = [table] if over == "film" else [part for _, part in table.groupby("frame")]
    kept = [
        part[part["Dead_mean"].between(*np.quantile(part["Dead_mean"], [0.1, 0.9]))]
        for part in parts
    ]
    pd.testing.assert_frame_equal(take(step, table), pd.concat(kept, ignore_index=True))
    assert step.reach == over


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_steps_that_reach_a_frame_do_not_depend_on_blocks(length: int) -> None:
    table = cells(150, 7)
    for step in (
        FilterCells(quantiles={"Dead_mean": (0.2, 1.0)}, keep={"area_px": (10, None)}),
        NormaliseColumns(columns=("*_mean",), over="frame"),
        Compute(columns={"ratio": "Dead_mean / T_mean"}),
    ):
        assert step.reach == "frame"
        parts = [take(step, part) for part in blocks(table, length)]
        pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), take(step, table))


def test_cells_without_a_value_are_dropped_or_kept_as_asked() -> None:
    table = cells(10)
    table.loc[[0, 4], "Dead_mean"] = np.nan
    for args in ({"keep": {"Dead_mean": (0, None)}}, {"where": "Dead_mean > 0"}):
        assert len(take(FilterCells(**args), table)) == 8
    assert len(take(FilterCells(where="Dead_mean"), table)) == 8
    for args in ({"keep": {"Dead_mean": (0, None)}}, {"where": "Dead_mean > 0"}):
        assert len(take(FilterCells(**args, keep_unknown=True), table)) == 10
    quantiles = FilterCells(quantiles={"Dead_mean": (0, 1)})
    assert len(take(quantiles, table)) == 8
    with pytest.raises(InputError, match="'area_um2' has no value for any cell of field 'A', T"):
        take(FilterCells(keep={"area_um2": (1, None)}), table)
    assert len(take(FilterCells(keep={"area_um2": (1, None)}), table[:0])) == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "at least one of keep"),
        ({"keep": {"a": (3, 1)}}, "keeps nothing"),
        ({"quantiles": {"a": (5, 95)}}, "within 0 to 1"),
        ({"where": "a.b"}, "cannot stand"),
    ],
)
def test_filters_that_cannot_be(args: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        construct(FilterCells, args)


# --- normalisation -----------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["frame", "film"])
def test_normalised_columns_are_numpys_percentiles(over: str) -> None:
    table = cells(300)
    found = take(NormaliseColumns(columns=("*_mean",), low=5, high=90, over=over), table)
    assert list(found.columns) == [*table.columns, "Dead_mean_norm", "T_mean_norm"]
    key = table["frame"] if over == "frame" else pd.Series(0, index=table.index)
    for _, rows in table.groupby(key):
        low, high = np.percentile(rows["Dead_mean"], [5, 90])
        want = np.clip((rows["Dead_mean"] - low) / (high - low), 0, 1)
        np.testing.assert_allclose(found.loc[rows.index, "Dead_mean_norm"], want, atol=1e-12)


def test_between_least_and_largest_it_is_scikit_learns_min_max_scaler() -> None:
    from sklearn.preprocessing import MinMaxScaler

    table = cells(100)
    step = NormaliseColumns(columns=("Dead_mean",), low=0, high=100, suffix="unit")
    want = MinMaxScaler().fit_transform(table[["Dead_mean"]])[:, 0]
    np.testing.assert_allclose(take(step, table)["Dead_mean_unit"], want, atol=1e-12)


def test_over_a_plate_all_fields_have_one_scale() -> None:
    one, other = cells(80), cells(50, seed=1).assign(fov="B")
    step = NormaliseColumns(columns=("Dead_mean",), over="plate", clip=False)
    pooled = pd.concat([one, other])
    state = step.estimate(pooled)
    low, high = np.percentile(pooled["Dead_mean"], [1, 99])
    for table in (one, other):
        want = (table["Dead_mean"] - low) / (high - low)
        np.testing.assert_allclose(take(step, table, state=state)["Dead_mean_norm"], want)
    with pytest.raises(ConfigError, match="not estimated"):
        take(step, one)
    assert np.isnan(step.estimate(one[:0])["Dead_mean"]).all()


@settings(max_examples=25, deadline=None)
@given(gain=st.floats(0.01, 100), offset=st.floats(-1000, 1000), seed=st.integers(0, 50))
def test_gain_and_offset_of_a_camera_drop_out(gain: float, offset: float, seed: int) -> None:
    table = cells(40, seed=seed)
    other = table.assign(Dead_mean=gain * table["Dead_mean"] + offset)
    step = NormaliseColumns(columns=("Dead_mean",))
    one, two = (take(step, each)["Dead_mean_norm"] for each in (table, other))
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_a_constant_column_and_a_lone_cell_have_no_scale() -> None:
    table = cells(5, 1).assign(Dead_mean=3.0)
    found = take(NormaliseColumns(columns=("Dead_mean",)), table)
    assert found["Dead_mean_norm"].isna().all()
    assert take(NormaliseColumns(columns=("T_mean",)), table[:1])["T_mean_norm"].isna().all()
    none = take(NormaliseColumns(columns=("T_mean",), over="frame"), table[:0])
    assert len(none) == 0 and none["T_mean_norm"].dtype == float
    with pytest.raises(ConfigError, match=r"unknown column 'Ded_\*'"):
        take(NormaliseColumns(columns=("Ded_*",)), table)
    with pytest.raises(ConfigError, match="holds no numbers"):
        take(NormaliseColumns(columns=("fov",)), table)


# --- arithmetic --------------------------------------------------------------------------------


def test_computed_columns_and_no_writing_over() -> None:
    table = cells()
    step = Compute(columns={"ratio": "Dead_mean / T_mean", "log_ratio": "log2(ratio)"})
    found = take(step, table)
    np.testing.assert_allclose(found["log_ratio"], np.log2(table["Dead_mean"] / table["T_mean"]))
    with pytest.raises(ConfigError, match="would write over the column 'Dead_mean'"):
        take(Compute(columns={"Dead_mean": "Dead_mean * 2"}), table)
    with pytest.raises(ConfigError, match="cannot stand"):
        construct(Compute, {"columns": {"x": "area_px.values"}})


# --- other populations -------------------------------------------------------------------------


def cross(table: pd.DataFrame, others: dict[str, pd.DataFrame], **args: Any) -> pd.DataFrame:
    data = {"others": others, "population": table["population"].iloc[0], "pixel_size_um": 0.5}
    touches = args.pop("touches", None)
    return take(CrossTable(**args), table, **data, touches=touches)


@pytest.mark.parametrize("same", [False, True])
def test_the_nearest_cell_is_that_of_all_distances(same: bool) -> None:
    table = cells(120, 5)
    other = table if same else cells(40, 4, "C", seed=1)
    shuffled = other.sample(frac=1, random_state=0)
    name = other["population"].iloc[0]
    found = cross(table, {name: shuffled}, other=name, by="nearest", columns=("Dead_mean",))
    far = cdist(table[["x_px", "y_px"]], other[["x_px", "y_px"]])
    far[table["frame"].to_numpy()[:, None] != other["frame"].to_numpy()] = np.inf
    if same:
        np.fill_diagonal(far, np.inf)
    at, least = far.argmin(axis=1), far.min(axis=1)
    some = np.isfinite(least)
    np.testing.assert_allclose(found[f"{name}_nearest_px"][some], least[some])
    np.testing.assert_allclose(found[f"{name}_nearest_um"][some], least[some] / 2)
    want = other["Dead_mean"].to_numpy()[at]
    np.testing.assert_allclose(found[f"{name}_Dead_mean"][some], want[some])
    assert (
        found[f"{name}_nearest_label"][some].tolist()
        == other["label"].to_numpy()[at][some].tolist()
    )
    assert found.loc[~some, [f"{name}_nearest_px", f"{name}_Dead_mean"]].isna().all(axis=None)
    assert (~some).any() or same


def test_nearest_of_some_within_reach() -> None:
    table, other = cells(60), cells(60, population="C", seed=1)
    args = {"other": "C", "by": "nearest", "only": "Dead_mean > 20", "name": "dim"}
    bright = other[other["Dead_mean"] > 20]
    some, all_ = (
        cross(table, {"C": other}, **args),
        cross(table, {"C": bright}, other="C", by="nearest"),
    )
    np.testing.assert_allclose(some["dim_nearest_px"], all_["C_nearest_px"])
    # what is not known to meet the condition does not
    unknown = other.assign(Dead_mean=np.where(other["Dead_mean"] > 20, 1.0, np.nan))
    known = cross(table, {"C": unknown}, other="C", by="nearest", only="Dead_mean")
    np.testing.assert_allclose(known["C_nearest_px"], all_["C_nearest_px"])
    near = cross(table, {"C": other}, **args, max_distance_um=5)
    assert near["dim_nearest_px"].max() <= 10
    np.testing.assert_array_equal(near["dim_nearest_px"].isna(), some["dim_nearest_px"] > 10)


def test_a_cell_alone_has_no_neighbour() -> None:
    lone = cells(1, 1)
    found = cross(lone, {"T": lone, "C": lone[:0]}, other="T", by="nearest", columns=("area_px",))
    assert found[["T_nearest_px", "T_area_px", "T_nearest_label"]].isna().all(axis=None)
    found = cross(lone, {"C": lone[:0]}, other="C", by="nearest")
    assert found["C_nearest_px"].isna().all()
    twins = pd.concat([lone, lone.assign(label=2)], ignore_index=True)
    found = cross(twins, {"T": twins}, other="T", by="nearest")
    assert found["T_nearest_px"].tolist() == [0, 0]
    assert found["T_nearest_label"].tolist() == [2, 1]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), dx=st.floats(-50, 50), dy=st.floats(-50, 50))
def test_shift_turn_and_renumbering_leave_neighbours(seed: int, dx: float, dy: float) -> None:
    table, other = cells(30, 2, seed=seed), cells(20, 2, "C", seed=seed + 1)

    def moved(each: pd.DataFrame) -> pd.DataFrame:
        return each.assign(
            x_px=dx - each["y_px"], y_px=dy + each["x_px"], label=500 - each["label"]
        )

    args: Any = {"other": "C", "by": "nearest", "columns": ("T_mean",)}
    one, two = cross(table, {"C": other}, **args), cross(moved(table), {"C": moved(other)}, **args)
    for name in ("C_nearest_px", "C_T_mean"):
        np.testing.assert_allclose(one[name], two[name])


def touches(rows: list[tuple[int, str, int, str, int, float]]) -> pd.DataFrame:
    names = ["frame", "population_a", "label_a", "population_b", "label_b", "distance_px"]
    table = pd.DataFrame(rows, columns=names).assign(
        fov="A", distance_um=np.nan, contact_length_px=1.0, contact_length_um=np.nan, overlap_px=0.0
    )
    return schemas.conform(schemas.Touches, table)


def test_values_of_cells_in_contact() -> None:
    t = cells(6, 1)
    c = cells(4, 1, "C", seed=1)
    c.loc[3, "Dead_mean"] = np.nan
    found_touches = touches(
        [
            (0, "T", 1, "C", 1, 0.0),
            (0, "T", 1, "C", 2, 2.0),
            (0, "T", 2, "C", 4, 0.0),
            (0, "T", 9, "C", 1, 0.0),  # a cell that was filtered out
            (0, "T", 3, "T", 4, 0.0),
            (1, "T", 1, "C", 3, 0.0),
        ]
    )
    value = c["Dead_mean"].to_numpy()
    for how, want in (
        ("mean", value[:2].mean()),
        ("sum", value[:2].sum()),
        ("max", value[:2].max()),
    ):
        found = cross(
            t, {"C": c}, other="C", by="contact", columns=("Dead_mean",), how=how,
            touches=found_touches,
        )  # fmt: skip
        assert found["C_n_contacts"].tolist() == [2, 1, 0, 0, 0, 0]
        assert found[f"C_Dead_mean_{how}"][0] == pytest.approx(want)
        assert found[f"C_Dead_mean_{how}"][1:].isna().all()  # no contact, or none with a value
    near = cross(t, {"C": c}, other="C", by="contact", max_distance_px=1, touches=found_touches)
    assert near["C_n_contacts"].tolist() == [1, 1, 0, 0, 0, 0]
    # seen from the other side, and within one population
    back = cross(c, {"T": t}, other="T", by="contact", touches=found_touches)
    assert back["T_n_contacts"].tolist() == [1, 1, 0, 1]
    own = cross(t, {"T": t}, other="T", by="contact", columns=("label",), touches=found_touches)
    assert own["T_n_contacts"].tolist() == [0, 0, 1, 1, 0, 0]
    assert own["T_label_mean"][2:4].tolist() == [4, 3]
    none = cross(t, {"C": c}, other="C", by="contact", columns=("area_px",), touches=touches([]))
    assert none["C_n_contacts"].tolist() == [0] * 6 and none["C_area_px_mean"].isna().all()


def test_twins_by_label() -> None:
    whole, nucleus = cells(30), cells(30, population="N").drop(index=[3, 7])
    args: Any = {"other": "N", "by": "label", "columns": ("Dead_mean",)}
    found = cross(whole, {"N": nucleus}, **args)
    want = whole["Dead_mean"].where(~whole.index.isin([3, 7]))
    np.testing.assert_array_equal(found["N_Dead_mean"], want)


def test_cross_tables_that_cannot_be() -> None:
    table = cells(5)
    with pytest.raises(ConfigError, match="unknown population 'D'"):
        cross(table, {"C": table}, other="D", by="nearest")
    with pytest.raises(ConfigError, match="unknown column 'area'"):
        cross(table, {"C": table}, other="C", by="nearest", columns=("area",))
    with pytest.raises(ConfigError, match="name at least one"):
        construct(CrossTable, {"other": "C", "by": "label"})
    with pytest.raises(InputError, match="needs 'touches'"):
        cross(table, {"C": table}, other="C", by="contact")


@pytest.mark.parametrize("by", ["nearest", "contact"])
def test_a_cell_at_exactly_the_largest_distance_counts(by: str) -> None:
    mine, other = cells(1, 1), cells(1, 1, "C")
    other["x_px"], other["y_px"] = mine["x_px"] + 3, mine["y_px"] + 4
    pair = {"frame": 0, "population_a": "T", "population_b": "C", "label_a": 1, "label_b": 1}
    touches = pd.DataFrame([{"fov": "A", **pair, "distance_px": 5.0}])
    args = {"other": "C", "by": by, "columns": ("area_px",), "touches": touches}
    column = "C_area_px" + ("_mean" if by == "contact" else "")
    assert cross(mine, {"C": other}, **args, max_distance_px=5.0)[column].notna().all()
    assert cross(mine, {"C": other}, **args, max_distance_px=4.9)[column].isna().all()
