"""Flagged masks are said: in the warnings, on the cards, and in the report's section."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.mask_warnings import (
    cell_widths,
    mask_warnings,
    size_warnings,
    worst_masks,
)
from cyto_kedro.algorithms.reporting.report import HtmlReport
from cyto_kedro.algorithms.reporting.summary import Summary
from cyto_kedro.algorithms.tabulation.mask_quality import MaskQuality


def judged(fov: str, f1: list[float], reason: str = "shapes are odd") -> pd.DataFrame:
    rows = {"fov": fov, "population": "T", "frame": range(len(f1)), "n_cells": 9}
    evidence = schemas.filled(schemas.MaskEvidence, rows).assign(expected_f1=f1, reason=reason)
    return MaskQuality()(mask_evidence=evidence, fov=fov, population="T")["mask_quality"]


TABLE = pd.concat([judged("A1", [0.9, 0.95]), judged("A2", [0.6, 0.3])], ignore_index=True)
FIELDS = schemas.filled(schemas.Fields, {"fov": ["A1", "A2"], "n_frames": 2})


def test_only_the_flagged_field_is_warned_of_with_its_worst_frame():
    found = mask_warnings(TABLE)
    assert found["fov"].tolist() == ["A2"] and found["n_frames"].tolist() == [2]
    assert "masks of T" in found["what"][0] and "0.45" in found["what"][0]
    assert "shapes are odd; worst in frame 1" in found["what"][0]


def test_frames_that_jump_are_warned_of_where_they_are_more_than_a_tenth():
    steady = judged("A1", [0.9] * 20)
    for n, warned in ((0, False), (2, False), (3, True)):
        found = mask_warnings(steady.assign(jumps=np.arange(20) >= 20 - n))
        assert len(found) == warned
    assert "cells of T jump" in found["what"][0]
    assert found[["n_frames", "first_frame"]].to_numpy().tolist() == [[3, 17]]


def test_the_worst_field_stands_first():
    table = worst_masks(TABLE)
    assert table["field"].tolist() == ["A2", "A1"]
    assert table["worst frame"].tolist() == [1, 0]
    assert worst_masks(TABLE[:0]).empty
    more = [judged("A3", [0.8, 0.85]), judged("A4", [np.nan])]
    verdicts = worst_masks(pd.concat([TABLE, *more], ignore_index=True)).set_index("field")[
        "verdict"
    ]
    assert verdicts.to_dict() == {
        "A2": "flagged",
        "A3": "look at it",
        "A1": "trusted",
        "A4": "",  # nothing is there
    }


def test_the_flag_stands_beside_the_headline_numbers():
    made = Summary()(fields=FIELDS, roles={"T": "target"}, mask_quality=TABLE)
    assert made["by_fov"]["masks_flagged"].tolist() == ["", "T"]
    assert made["by_condition"]["fields_flagged"].tolist() == [1]
    page = HtmlReport()(fields=FIELDS, roles={"T": "target"}, mask_quality=TABLE)["html"]
    assert "The masks of 1 of 2 fields are flagged" in page
    assert "Quality of masks and tracks" in page
    without = HtmlReport()(fields=FIELDS, roles={"T": "target"})["html"]
    assert "are flagged" not in without and "Quality of masks and tracks" not in without


def sizes(widths: list[float], doubts: dict[int, str], um: float = 0.5) -> pd.DataFrame:
    fovs = [f"A{number}" for number in range(len(widths))]
    rows = {"fov": fovs, "population": "T", "source": "film", "diameter_px": widths, "n_frames": 4}
    made = schemas.filled(schemas.CellSizes, rows)
    doubt = [doubts.get(number, "") for number in range(len(widths))]
    return made.assign(doubt=doubt, diameter_um=made["diameter_px"] * um)


def test_a_field_of_unclear_width_is_warned_of_with_what_the_clear_ones_have():
    found = size_warnings(sizes([20, 22, 24, 70], {3: "blobs are 9 px wide"}))
    assert found["fov"].tolist() == ["A3"]
    for word in ("cells of T", "blobs are 9 px wide", "3 fields", "11 um", "diameter_um"):
        assert word in found["what"][0]
    assert "fields" not in size_warnings(sizes([20, 22, 70], {2: "so"}))["what"][0]  # too few
    apart = size_warnings(sizes([10, 20, 40, 70], {3: "so"}))
    assert "fields" not in apart["what"][0]  # the clear ones do not agree


def test_a_clear_field_far_from_the_others_is_named_and_equal_ones_are_not():
    found = size_warnings(sizes([20, 21, 22, 23, 24, 45], {}))
    assert found["fov"].tolist() == ["A5"] and "45 px" in found["what"][0]
    assert size_warnings(sizes([20, 21, 22], {})).empty
    assert size_warnings(sizes([], {})).empty


def test_the_report_tells_how_wide_cells_are():
    table = sizes([20, 22, 70], {2: "blobs are 9 px wide"})
    row = cell_widths(table).iloc[0]
    assert row["width, px"] == "22 (20 to 70)" and row["width, µm"] == "11 (10 to 35)"
    assert row["measured in"] == 3 and row["ways agree in"] == 2
    fields = schemas.filled(schemas.Fields, {"fov": ["A0", "A1", "A2"], "n_frames": 4})
    made = {"fields": fields, "roles": {"T": "target"}, "cell_sizes": table}
    assert "blobs are 9 px wide" in " ".join(Summary()(made)["warnings"]["what"])
    page = HtmlReport()(made)["html"]
    assert "Width of cells by population" in page and "22 (20 to 70)" in page
