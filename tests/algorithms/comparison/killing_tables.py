"""Made-up fates and bouts with known hazards; not a test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.comparison.design import reference_of
from cyto_kedro.core.groups import design

ROLES = {"TCell": "effector", "CancerCell": "target"}


def fates_of(
    entry: Any, leave: Any, died: Any, fov: Any = "A", dt: float = 2.0, **columns: Any
) -> pd.DataFrame:
    """`schemas.Fates` of targets from frames of entry and exit; `dt` minutes a frame."""
    entry, leave, died = np.asarray(entry), np.asarray(leave), np.asarray(died, bool)
    table = pd.DataFrame(
        {
            "fov": fov,
            "population": "CancerCell",
            "track_id": np.arange(1, len(entry) + 1),
            "first_frame": entry,
            "last_frame": leave,
            "dead_at_first_sight": False,
            "died": died,
            "death_frame": pd.array(np.where(died, leave, 0), dtype="Int64"),
            "entry_min": entry * dt,
            "exit_min": leave * dt,
            "end_reason": "film_end",
        }
        | columns
    )
    table.loc[~table["died"], "death_frame"] = pd.NA
    return schemas.conform(schemas.Fates, table)


def bouts_of(
    cell: Any, start: Any, stop: Any, fov: Any = "A", dt: float = 2.0, effector: Any = 1
) -> pd.DataFrame:
    """`schemas.Bouts` of effectors (side a) with targets; frames `start` to `stop`, both in it."""
    start, stop = np.asarray(start), np.asarray(stop)
    table = pd.DataFrame(
        {
            "fov": fov,
            "population_a": "TCell",
            "track_id_a": effector,
            "population_b": "CancerCell",
            "track_id_b": np.asarray(cell),
            "start_frame": start,
            "end_frame": stop,
            "n_frames": stop - start + 1,
            "n_contact_frames": stop - start + 1,
            "start_min": start * dt,
            "duration_min": (stop - start + 1) * dt,
            "censored_start": False,
            "censored_end": False,
        }
    )
    pair = ["fov", "track_id_a", "track_id_b"]
    table["bout"] = table.groupby(pair).cumcount() + 1
    return schemas.conform(schemas.Bouts, table)


def killing(
    seed: int,
    hazard_ratio: float,
    conditions: dict[str, float] | None = None,
    n_replicates: int = 6,
    n_cells: int = 60,
    frailty_sd: float = 0.3,
    n_frames: int = 240,
) -> dict[str, Any]:
    """An assay: contact at a constant rate multiplies a target's hazard from then on.

    Each field is a replicate; a replicate multiplies all its cells' hazards by a factor of its own
    (log-normal). `conditions` maps each condition to its factor of the hazard. A frame is a minute;
    events are seen in the frame after they happen, some cells enter late.
    """
    rng = np.random.default_rng(seed)
    conditions = conditions or {"treated": 1.0}
    sheets, fates, bouts = [], [], []
    for condition, factor in conditions.items():
        for replicate in range(1, n_replicates + 1):
            fov = f"{condition}_{replicate}"
            base = 0.004 * factor * np.exp(rng.normal(0, frailty_sd))
            entry = np.where(rng.random(n_cells) < 0.7, 0, rng.integers(0, 90, n_cells))
            contact = entry + rng.exponential(100, n_cells)
            dose = rng.exponential(1, n_cells) / base  # minutes of unit hazard that it survives
            alone = contact - entry
            death = entry + np.where(dose < alone, dose, alone + (dose - alone) / hazard_ratio)
            leave = np.minimum(np.ceil(death), n_frames).astype(int)
            died = death <= n_frames
            sheets.append({"fov": fov, "condition": condition, "replicate": fov, "control": False})
            fates.append(fates_of(entry, leave, died, fov, dt=1.0))
            seen = np.ceil(contact).astype(int)
            met = seen <= leave
            cell = np.flatnonzero(met) + 1
            bouts.append(bouts_of(cell, seen[met], seen[met] + 3, fov, dt=1.0, effector=cell))
    sheet = pd.DataFrame(sheets)
    groups = design(sheet)
    return {
        "fields": sheet,
        "fates": pd.concat(fates, ignore_index=True),
        "bouts": pd.concat(bouts, ignore_index=True),
        "design": groups,
        "reference": reference_of(groups, None),
        "paired": None,
        "populations": ROLES,
    }
