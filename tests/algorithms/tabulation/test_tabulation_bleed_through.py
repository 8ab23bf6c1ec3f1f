"""Bleed-through on simulated fields: what it is, and what effectors are in spite of it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage as ndi

from cyto_kedro import schemas
from cyto_kedro.algorithms.simulation.assay import SimulatedAssay
from cyto_kedro.algorithms.tabulation.expected_f1 import DOUBLED, NO_MASKS, OTHERS
from cyto_kedro.algorithms.tabulation.mask_quality import ABSENT, MaskEvidence, MaskQuality


@cache
def field(n_effectors: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Images and true masks of a frame with 14 targets."""
    assay = SimulatedAssay(seed=5, size_px=160, n_frames=1, n_effectors=n_effectors, n_targets=14)
    made = assay(fov="A1")
    images = {name: np.asarray(each, np.float32) for name, each in made["image"].items()}
    return images, {name: np.asarray(each) for name, each in made["label"].items()}


def judged(leak: float, n_effectors: int, masks: str | None) -> pd.Series:
    """The evidence on effectors' masks (`masks`: whose truth they are), targets leaking into them."""
    images, labels = field(n_effectors)
    targets = images["CancerCell"]
    seen = images["TCell"] + leak * (targets - targets.min())
    label = labels[masks] if masks else np.zeros_like(labels["CancerCell"])
    made = MaskEvidence()(
        image=seen,
        label=label,
        other_labels={"CancerCell": labels["CancerCell"]},
        other_images={"CancerCell": targets},
    )["mask_evidence"]
    return made.iloc[0]


@pytest.mark.parametrize("leak", [0.0, 0.02, 0.05, 0.1, 0.3])
def test_without_effectors_light_of_targets_is_nothing_to_find(leak: float) -> None:
    row = judged(leak, 0, None)
    assert np.isnan(row["expected_f1"])
    assert (row["reason"] == OTHERS) == (leak > 0.02)


@pytest.mark.parametrize("leak", [0.05, 0.3])
def test_masks_on_light_of_targets_are_wrong_however_sharp(leak: float) -> None:
    row = judged(leak, 0, "CancerCell")
    assert row["expected_f1"] == 0 and row["doubled_share"] == 1 and row["reason"] == DOUBLED


@pytest.mark.parametrize(("cut", "share"), [(1.0, 1.0), (4.0, 0.0)])
def test_masks_of_one_cell_share_half_of_what_both_cover(cut: float, share: float) -> None:
    """Cells of 20 px whose other mask is two px narrower (IoU 0.8), or eight (0.4)."""
    images, labels = field(0)
    own = labels["CancerCell"]
    inside = np.where(ndi.distance_transform_edt(own[0] > 0) > cut, own[0], 0)
    made = MaskEvidence()(
        image=images["TCell"] + 0.3 * images["CancerCell"],
        label=inside[None],
        other_labels={"CancerCell": own},
        other_images={"CancerCell": images["CancerCell"]},
    )["mask_evidence"]
    assert made["doubled_share"].iloc[0] == share


@pytest.mark.parametrize("leak", [0.0, 0.1, 0.3])
def test_effectors_in_spite_of_it_are_missed_or_found(leak: float) -> None:
    missed, found = judged(leak, 10, None), judged(leak, 10, "TCell")
    assert missed["expected_f1"] == 0 and missed["reason"] == NO_MASKS
    assert found["expected_f1"] > 0.8 and found["doubled_share"] == 0


def test_the_brighter_of_both_is_the_cell() -> None:
    images, labels = field(0)
    ghost = images["TCell"] + 0.3 * images["CancerCell"]
    made = MaskEvidence()(
        image=images["CancerCell"],
        label=labels["CancerCell"],
        other_labels={"TCell": labels["CancerCell"]},
        other_images={"TCell": ghost},
    )["mask_evidence"].iloc[0]
    assert made["doubled_share"] == 0 and made["expected_f1"] > 0.85


def test_uneven_light_without_cells_is_nothing_to_find() -> None:
    y, x = np.mgrid[:200, :200] / 200
    noise = np.random.default_rng(3).normal(0, 2, x.shape)
    image = (20 + 25 * (1 - (x - 0.6) ** 2 - (y - 0.4) ** 2) + noise).astype(np.float32)
    none = np.zeros((1, 200, 200), np.uint32)
    made = MaskEvidence()(image=image[None], label=none)["mask_evidence"].iloc[0]
    assert np.isnan(made["expected_f1"])
    image[90:110, 30:50] += 15
    made = MaskEvidence()(image=image[None], label=none)["mask_evidence"].iloc[0]
    assert made["expected_f1"] == 0


@pytest.mark.parametrize(
    ("ratio", "n_cells", "f1", "flagged"),
    [
        (0, [0, 0, 0, 0], np.nan, False),  # nothing is there, whatever light there is
        (0, [7, 6, 7, 6], 0.0, True),
        (0, [0, 0, 0, 1] * 5, 0.75, True),
        (0, [0] * 19 + [1], 0.95, False),
        (1, [0, 0, 0, 0], 0.9, False),  # as the image says
        (None, [7, 6, 7, 6], 0.9, False),
    ],
)
def test_effectors_where_the_sheet_says_there_are_none(
    ratio: float | None, n_cells: list[int], f1: float, flagged: bool
) -> None:
    rows = {"fov": "A1", "frame": range(len(n_cells)), "n_cells": n_cells}
    evidence = schemas.filled(schemas.MaskEvidence, {**rows, "population": "T"})
    evidence = evidence.assign(expected_f1=0.9, reason="holes")
    fields = schemas.filled(schemas.Fields, {"fov": ["A1", "A2"]}).assign(et_ratio=[ratio, 0])
    given = {"mask_evidence": evidence, "fields": fields, "roles": {"T": "effector"}}
    made = MaskQuality()(given, fov="A1", population="T")["mask_quality"]
    assert made["field_f1"].iloc[0] == pytest.approx(f1, nan_ok=True)
    assert made["flagged"].all() == flagged == made["flagged"].any()
    assert (made["reason"] == ABSENT).tolist() == [ratio == 0 and n > 0 for n in n_cells]
    target = MaskQuality()({**given, "roles": {"T": "target"}}, fov="A1", population="T")
    assert target["mask_quality"]["field_f1"].iloc[0] == pytest.approx(0.9)
