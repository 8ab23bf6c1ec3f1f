"""Column steps, several markers and densities, named in YAML and run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cyto_kedro.errors import ConfigError
from cyto_kedro.parameters import check_together
from tiny_project import FOVS, POPULATIONS, Project

CELL = ["fov", "population", "frame", "label"]


def steps(*given: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": name, "args": args} for name, args in given]


def test_by_default_nothing_is_filtered_and_no_column_added(finished: Project) -> None:
    cells, columns = finished.table("cells"), finished.table("cell_columns")
    assert len(columns) == 0 and list(columns) == CELL
    # every cell has the density of both populations
    density = finished.table("cell_density")
    assert len(density) == 2 * len(cells)
    catalog = finished.catalog
    maps = catalog.load("density_maps")
    index = finished.table("death_index")
    for fov in FOVS:
        for population in POPULATIONS:
            stack = np.asarray(maps[f"{fov}/{population}"]())
            rows = cells.query(f"fov == '{fov}' and population == '{population}'")
            n = rows.groupby("frame").size().reindex(range(9), fill_value=0)
            area = 96 * 96 / stack[0].size
            np.testing.assert_allclose(stack.sum(axis=(1, 2)) * area, n, rtol=1e-4)
            counted = index.query(f"fov == '{fov}' and population == '{population}'")
            assert (counted["n_live"] + counted["n_dead"]).tolist() == n.tolist()


def test_a_filtered_cell_is_in_no_later_table(project: Project, finished: Project) -> None:
    area = float(finished.table("cells").query("population == 'CancerCell'")["area_px"].median())
    keep = {"populations": ["CancerCell"], "keep": {"area_px": [area, None]}}
    project.block("tabulation", steps=steps(("FilterCells", keep)))
    saved = project.resume("tabulation", "tracking", "contacts", "networks", "extended")
    assert not any("TCell" in each for name, each in saved if name in ("cells", "track_points"))
    assert "touches" not in {name for name, _ in saved}
    before, after = finished.table("cells"), project.table("cells")
    want = before[(before["population"] == "TCell") | (before["area_px"] >= area)]
    pd.testing.assert_frame_equal(after, want.reset_index(drop=True))
    kept = set(after[CELL].itertuples(index=False, name=None))
    for name in ("track_points", "viability", "cell_density"):
        rows = project.table(name).dropna(subset="label")[CELL].astype({"label": int})
        assert len(rows) and set(rows.itertuples(index=False, name=None)) <= kept
    points = project.table("track_points")
    tracked = set(points[["fov", "population", "track_id"]].itertuples(index=False, name=None))
    contacts = project.table("contacts")
    for side in "ab":
        names = ["fov", f"population_{side}", f"track_id_{side}"]
        assert set(contacts[names].itertuples(index=False, name=None)) <= tracked


def test_columns_of_whole_films_plates_and_other_populations(project: Project) -> None:
    project.block(
        "contacts",
        columns=steps(
            ("NormaliseColumns", {"columns": ["Dead_mean"], "over": "plate", "clip": False}),
            ("NormaliseColumns", {"columns": ["Dead_mean"], "suffix": "film", "clip": False}),
            ("Compute", {"columns": {"alive_area": "where(dead, 0, area_px)"}}),
            (
                "CrossTable",
                {"populations": ["TCell"], "other": "CancerCell", "by": "nearest"}
                | {"columns": ["alive_area", "track_id"]},
            ),
            (
                "CrossTable",
                {"populations": ["TCell"], "other": "CancerCell", "by": "contact", "only": "dead"}
                | {"name": "dead"},
            ),
        ),
    )
    project.resume("extended")
    columns = project.table("cell_columns")
    cells = project.table("cells").merge(project.table("viability"), on=CELL)
    points = project.table("track_points").dropna(subset="label")
    cells = cells.merge(points[[*CELL, "track_id"]].astype({"label": int}), on=CELL, how="left")
    both = columns.merge(cells, on=CELL)
    assert len(both) == len(columns) == len(cells)
    for _, rows in both.groupby("population"):
        low, high = np.percentile(rows["Dead_mean"], [1, 99])  # both fields: one plate
        want = (rows["Dead_mean"] - low) / (high - low)
        np.testing.assert_allclose(rows["Dead_mean_norm"], want)
    for _, rows in both.groupby(["fov", "population"]):
        low, high = np.percentile(rows["Dead_mean"], [1, 99])
        np.testing.assert_allclose(rows["Dead_mean_film"], (rows["Dead_mean"] - low) / (high - low))
    np.testing.assert_array_equal(both["alive_area"], np.where(both["dead"], 0, both["area_px"]))
    effectors = both[both["population"] == "TCell"]
    assert both.loc[both["population"] == "CancerCell", "CancerCell_nearest_px"].isna().all()
    named = effectors.dropna(subset="CancerCell_nearest_label")
    assert len(named)
    targets = both[both["population"] == "CancerCell"].set_index(["fov", "frame", "label"])
    label = named["CancerCell_nearest_label"].astype(int)
    found = targets.loc[list(zip(named["fov"], named["frame"], label, strict=True))]
    gap = np.hypot(*(found[k].to_numpy() - named[k].to_numpy() for k in ("x_px", "y_px")))
    np.testing.assert_allclose(named["CancerCell_nearest_px"], gap)
    np.testing.assert_array_equal(named["CancerCell_alive_area"], found["alive_area"])
    touches = project.table("touches").rename(
        columns={"label_a": "label", "population_a": "population", "label_b": "other"}
    )
    dead = targets[targets["dead"]].reset_index()[["fov", "frame", "label"]]
    pairs = touches.query("population == 'TCell' and population_b == 'CancerCell'")
    pairs = pairs.merge(dead.rename(columns={"label": "other"}), on=["fov", "frame", "other"])
    assert effectors["dead_n_contacts"].sum() == len(pairs) > 0


def test_viability_of_two_markers_by_controls_of_the_sheet(fresh: Project) -> None:
    sheet = fresh.path.parent / "raw" / "sample_sheet.csv"
    table = pd.read_csv(sheet)
    table["viability_control"] = ["live", ""]
    table.to_csv(sheet, index=False)
    weights = {"death": -2.0, "live": 0.0}
    fresh.assay(markers={"death": "Dead", "live": "CancerCell"})
    args = {"live_markers": ["live"], "weights": weights, "intercept": 6.0}
    fresh.block("contacts", viability={"name": "LogisticViability", "args": args})
    nodes = ["estimate_viability", "assess_viability"]
    fresh.run("ingestion", "preprocessing", "segmentation", "tabulation")
    fresh.run("contacts", nodes=nodes)
    viability = fresh.table("viability").merge(fresh.table("cells"), on=CELL)
    for _, rows in viability.groupby("population"):
        signal = rows["Dead_median"]
        middle = np.median(signal)
        z = np.arcsinh((signal - middle) / (1.4826 * np.median(np.abs(signal - middle))))
        np.testing.assert_allclose(rows["marker_signal"], 2 * z - 6, atol=1e-9)
    fresh.block("contacts", viability={"name": "LogisticViability", "args": {}})
    with pytest.raises(Exception, match="0 cells of control fields known to be dead"):
        fresh.run("contacts", nodes=nodes)


@pytest.mark.parametrize(
    ("block", "given", "said"),
    [
        (
            "tabulation",
            ("NormaliseColumns", {"columns": ["a"]}),
            "looks beyond one frame and population",
        ),
        ("tabulation", ("Features", {}), "Features is no step on columns"),
        ("tabulation", ("FilterCels", {}), "Did you mean 'FilterCells'"),
        (
            "contacts",
            ("Compute", {"columns": {"x": "y"}, "populations": ["TCel"]}),
            r"contacts.columns.*populations: unknown population 'TCel'. Did you mean 'TCell'",
        ),
    ],
)
def test_steps_that_cannot_be_are_named_before_the_run(
    finished: Project, block: str, given: tuple[str, dict[str, Any]], said: str
) -> None:
    content = finished.read(f"parameters_{block}")[block]
    content["steps" if block == "tabulation" else "columns"] = steps(given)
    assay = finished.read("parameters")["assay"]
    with pytest.raises((ConfigError, ValueError), match=said):
        check_together({"assay": assay, block: content})
