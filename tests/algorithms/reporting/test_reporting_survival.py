"""Which cells and contacts a survival curve is made of."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.core.watched import contact_intervals, target_intervals


def test_target_intervals_leave_out_what_was_not_watched() -> None:
    fates = pd.DataFrame(
        {
            "fov": "A",
            "population": ["C", "C", "C", "C", "T"],
            "track_id": [1, 2, 3, 4, 1],
            "first_frame": [0, 2, 0, 6, 0],
            "last_frame": [9, 9, 9, 6, 9],
            "dead_at_first_sight": [False, False, True, False, False],
            "died": [True, False, False, False, True],
            "death_frame": pd.array([4, None, None, None, 3], dtype="Int64"),
            "entry_min": [0.0, 5.0, 0.0, 15.0, 0.0],
            "exit_min": [10.0, 22.5, 22.5, 15.0, 7.5],
            "end_reason": "film_end",
        }
    )
    fates = schemas.conform(schemas.Fates, fates)
    roles = {"T": "effector", "C": "target"}
    rows, unit = target_intervals(fates, roles)
    assert unit == "min"
    assert rows[["track_id", "entry", "leave", "event"]].values.tolist() == [
        [1, 0.0, 10.0, True],
        [2, 5.0, 22.5, False],
    ]
    rows, unit = target_intervals(fates.assign(entry_min=np.nan), roles)
    assert unit == "frames"
    assert rows[["entry", "leave"]].values.tolist() == [[0.0, 4.0], [2.0, 9.0]]
    assert target_intervals(schemas.empty(schemas.Fates), roles)[0].empty


def test_contact_intervals_take_effector_target_bouts_seen_to_begin(assay: dict) -> None:
    bouts = assay["bouts"]
    same = bouts.assign(population_b="TCell")
    rows, unit = contact_intervals(pd.concat([bouts, same]), assay["roles"])
    seen = bouts[~bouts["censored_start"]]
    assert unit == "min" and len(rows) == len(seen) < len(bouts)
    assert (~rows["event"]).sum() == seen["censored_end"].sum()
    swapped = bouts.rename(columns={"population_a": "population_b", "population_b": "population_a"})
    assert len(contact_intervals(swapped, assay["roles"])[0]) == len(seen)
    rows, unit = contact_intervals(bouts.assign(duration_min=np.nan), assay["roles"])
    assert unit == "frames" and rows["duration"].tolist() == seen["n_frames"].tolist()
