"""Effectors on dead targets: drawn conjugates at every overlap, with the truth of who is dead."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage as ndi

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.covered import covered_by_dead, without_covered
from cyto_kedro.algorithms.contacts.viability import MarkerThreshold
from cyto_kedro.algorithms.tabulation.features import Features
from cyto_kedro.algorithms.tabulation.touches import Touches

TARGET_PX, EFFECTOR_PX = 12, 6  # radii
PITCH = 50


def conjugates(gap: float, effector_dead: bool, subtracted: bool = False) -> dict:
    """A row of dead targets, each with an effector whose centre is `gap` px from its centre.

    A second row holds living targets and effectors apart. The dye is blurred by 1.5 px.
    """
    n = 12
    yy, xx = np.mgrid[: 3 * PITCH, : n * PITCH]
    masks = {name: np.zeros(yy.shape, np.uint32) for name in ("T", "N")}
    dye = np.zeros(yy.shape)
    for i in range(n):
        for row, dead, reach in ((0, True, gap), (1, False, 30.0)):
            y, x = 30 + 75 * row, 25 + PITCH * i
            label = 1 + i + n * row
            target = np.hypot(yy - y, xx - x) < TARGET_PX
            effector = np.hypot(yy - y - reach, xx - x) < EFFECTOR_PX
            masks["T"][target & ~(effector & subtracted)] = label
            masks["N"][effector] = label
            dye = np.maximum(dye, 200.0 * (target & dead))
            dye = np.maximum(dye, 200.0 * (effector & dead & effector_dead))
    rng = np.random.default_rng(0)
    image = 100 + ndi.gaussian_filter(dye, 1.5) + rng.normal(0, 3, dye.shape)
    shared = {"fov": "A", "frame_start": 0, "pixel_size_um": 0.5}
    cells = {
        name: Features()(
            {**shared, "population": name, "label": mask[None], "image": {"Dead": image[None]}}
        )["cells"]
        for name, mask in masks.items()
    }
    label = {name: mask[None] for name, mask in masks.items()}
    touches = Touches(max_distance_um=1.0)({**shared, "label": label})["touches"]
    viability = {
        name: MarkerThreshold()(cells=each, marker="Dead")["viability"]
        for name, each in cells.items()
    }
    return {"cells": pd.concat(cells.values()), "touches": touches, "viability": viability}


def drawn(seed: int, effector_dead: bool) -> pd.DataFrame:
    """Conjugates of all sizes, depths and directions as films show them, and what is said of them.

    Blur, brightness, noise and out-of-focus light are drawn by `seed`, and masks that are up to a
    pixel too small or too large, taken out of each other or not. Ten dead targets with an effector
    each; ten living such pairs; ten targets alone, half of them dead. Columns dead, alive (verdicts on
    the effectors of dead targets; neither: unknown), before (called dead by the whole mask), deep
    (share of its width over the target).
    """
    rng, n, pitch = np.random.default_rng(seed), 10, 56
    yy, xx = np.mgrid[: 3 * pitch, : n * pitch]
    masks = {name: np.zeros(yy.shape, np.uint32) for name in ("T", "N")}
    dye, deep = np.zeros(yy.shape), {}
    blur, level, noise = rng.uniform(0.8, 2.2), rng.uniform(60, 800), rng.uniform(2, 8)
    taken_out, error = rng.integers(3), rng.uniform(-1, 1)
    for i in range(n):
        target_px, effector_px = rng.uniform(9, 14), rng.uniform(5, 8)
        gap = rng.uniform(0, target_px + effector_px + 2)
        turn, stretch = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 1.25)
        deep[1 + i] = (target_px + effector_px - gap) / (2 * effector_px)
        for row in range(3):
            label, y, x = 1 + i + n * row, pitch / 2 + pitch * row, pitch / 2 + pitch * i
            far = {
                "T": np.hypot((yy - y) * stretch, (xx - x) / stretch) - target_px,
                "N": np.hypot(yy - y - gap * np.sin(turn), xx - x - gap * np.cos(turn))
                - effector_px,
            }
            mask = {name: each < error for name, each in far.items()}
            if row == 2:
                mask["N"][:] = False
            if taken_out:
                one, other = ("TN", "NT")[taken_out - 1]
                mask[one] &= ~mask[other]
            for name, each in mask.items():
                masks[name][each] = label
            if row == 0 or (row == 2 and i % 2 == 0):
                dye = np.maximum(dye, level * rng.uniform(0.6, 1.4) * (far["T"] < 0))
            if row == 0 and effector_dead:
                dye += level * rng.uniform(0.4, 1.2) * (far["N"] < 0)
    glow = ndi.gaussian_filter(dye, blur) + 0.02 * level * ndi.gaussian_filter(1.0 * (dye > 0), 6)
    image = 100 + glow + rng.normal(0, noise, dye.shape)
    made = measured(masks, image)
    kept, _ = without_covered(made["viability"], made["cells"], made["touches"], made["judge"])
    before, after = (each["N"].set_index("label")["dead"] for each in (made["viability"], kept))
    found = pd.DataFrame({"deep": deep, "seed": seed}).loc[
        lambda each: each.index.isin(before.index)
    ]
    said = after.reindex(found.index).astype(float)  # null: unknown
    return found.assign(dead=said == 1, alive=said == 0, before=before.reindex(found.index))


def measured(masks: dict[str, np.ndarray], image: np.ndarray) -> dict:
    """Tables of one frame as the pipeline makes them."""
    shared = {"fov": "A", "frame_start": 0, "pixel_size_um": 0.5}
    label = {name: mask[None] for name, mask in masks.items()}
    given = {**shared, "image": {"Dead": image[None]}}
    cells = {
        name: Features()({**given, "population": name, "label": label[name]})["cells"]
        for name in masks
    }
    touches = Touches(max_distance_um=1.0)({**given, "label": label, "markers": {"death": "Dead"}})[
        "touches"
    ]
    caller = MarkerThreshold()
    assessed = {name: caller(cells=each, marker="Dead") for name, each in cells.items()}
    return {
        "cells": pd.concat(cells.values()),
        "touches": touches,
        "viability": {name: each["viability"] for name, each in assessed.items()},
        "judge": lambda name, own: caller(cells=own, marker="Dead", state=assessed[name]["state"])[
            "viability"
        ],
    }


@pytest.mark.parametrize("effector_dead", [False, True])
def test_drawn_conjugates_at_every_overlap(effector_dead: bool) -> None:
    """On seeds that no limit was chosen on (those were 0 to 24); figures in docs/killing.md."""
    found = pd.concat([drawn(seed, effector_dead) for seed in range(100, 112)])
    wrong, right = ("alive", "dead") if effector_dead else ("dead", "alive")
    assert found["deep"].min() < 0.1 and found["deep"].max() > 0.95
    assert found[wrong].mean() < 0.02
    if effector_dead:  # of those that still show a half of their own
        assert found.loc[found["deep"] < 0.5, right].mean() > 0.9
    else:
        assert found["before"].mean() > 0.4  # so many were called dead by their whole masks
        assert found.loc[found["deep"] < 0.5, right].mean() > 0.8


def dead(viability: pd.DataFrame, first: int = 1, last: int = 12) -> pd.Series:
    """Whether the cells of the first row are called dead."""
    rows = viability[viability["label"].between(first, last)]
    return rows["dead"]


@pytest.mark.parametrize("subtracted", [False, True])
@pytest.mark.parametrize("gap", [0.0, 3, 5, 7, 9, 11, 13, 15, 17, 19, 22])
def test_no_living_effector_is_called_dead_at_any_overlap(gap: float, subtracted: bool) -> None:
    made = conjugates(gap, effector_dead=False, subtracted=subtracted)
    kept, _ = without_covered(made["viability"], made["cells"], made["touches"])
    assert not dead(kept["N"]).any()
    # the dead targets stay dead, and the living of the second row are judged
    assert dead(kept["T"]).all() and len(dead(kept["T"])) == 12
    assert not dead(kept["N"], 13, 24).any() and len(dead(kept["N"], 13, 24)) == 12
    for table in kept.values():
        schemas.check(schemas.Viability, table)


def test_without_this_the_covered_are_called_dead() -> None:
    made = conjugates(5.0, effector_dead=False)
    assert dead(made["viability"]["N"]).all()


@pytest.mark.parametrize("subtracted", [False, True])
@pytest.mark.parametrize("gap", [15.0, 17, 19, 22])
def test_a_dead_effector_beside_a_dead_target_stays_dead(gap: float, subtracted: bool) -> None:
    """Less than a quarter of it is over the target: its own pixels decide."""
    made = conjugates(gap, effector_dead=True, subtracted=subtracted)
    kept, n_unknown = without_covered(made["viability"], made["cells"], made["touches"])
    assert n_unknown == 0 and dead(kept["N"]).all() and len(dead(kept["N"])) == 12


def test_a_dead_effector_on_a_dead_target_is_unknown_and_not_alive() -> None:
    made = conjugates(3.0, effector_dead=True)
    kept, n_unknown = without_covered(made["viability"], made["cells"], made["touches"])
    assert n_unknown == 12 and len(dead(kept["N"])) == 0


def test_cells_of_one_population_and_empty_tables() -> None:
    cells = pd.DataFrame({"label": [1, 2], "area_px": [300.0, 80.0]})
    cells = cells.assign(fov="A", frame=0, population="T")
    touches = pd.DataFrame({"fov": ["A"], "frame": 0, "population_a": "T", "label_a": 1})
    touches = touches.assign(population_b="T", label_b=2, overlap_px=60.0)
    assert covered_by_dead(cells, cells.assign(dead=True, marker_signal=9.0), touches).empty
    nothing = [schemas.empty(each) for each in (schemas.Cells, schemas.Viability, schemas.Touches)]
    assert covered_by_dead(*nothing).empty
