"""Flagged masks are said: in the warnings, on the cards, and in the report's section."""

from __future__ import annotations

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.mask_warnings import mask_warnings, worst_masks
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


def test_the_worst_field_stands_first():
    table = worst_masks(TABLE)
    assert table["field"].tolist() == ["A2", "A1"]
    assert table["worst frame"].tolist() == [1, 0]
    assert worst_masks(TABLE[:0]).empty


def test_the_flag_stands_beside_the_headline_numbers():
    made = Summary()(fields=FIELDS, roles={"T": "target"}, mask_quality=TABLE)
    assert made["by_fov"]["masks_flagged"].tolist() == ["", "T"]
    assert made["by_condition"]["fields_flagged"].tolist() == [1]
    page = HtmlReport()(fields=FIELDS, roles={"T": "target"}, mask_quality=TABLE)["html"]
    assert "The masks of 1 of 2 fields are flagged" in page
    assert "Quality of masks and tracks" in page
    without = HtmlReport()(fields=FIELDS, roles={"T": "target"})["html"]
    assert "are flagged" not in without and "Quality of masks and tracks" not in without
