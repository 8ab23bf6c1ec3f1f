"""Contacts of cells that a repair carried say so: a film drawn by hand, and a simulated one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.bouts import Bouts
from cyto_kedro.algorithms.contacts.contacts import ContactJoin
from cyto_kedro.algorithms.contacts.positions import CentroidDistance
from cyto_kedro.algorithms.simulation.assay import SimulatedAssay
from cyto_kedro.algorithms.tabulation.features import Features
from cyto_kedro.algorithms.tabulation.touches import Touches
from cyto_kedro.algorithms.tracking.lap import LAP
from cyto_kedro.algorithms.tracking.repairs import RepairMerges


def tracked(label: dict[str, np.ndarray], pixel_size_um: float = 1.0) -> pd.DataFrame:
    parts = []
    for population, masks in label.items():
        data = {"fov": "f1", "population": population, "pixel_size_um": pixel_size_um}
        cells = Features()({**data, "label": masks})["cells"]
        place = {"n_frames": len(masks), "shape": masks.shape[1:], "cells": cells}
        linked = LAP(max_distance_um=12.0)({**data, **place})["track_points"]
        parts.append(RepairMerges()({**data, "cells": cells}, track_points=linked)["track_points"])
    return pd.concat(parts, ignore_index=True)


def contacts_of(
    label: dict[str, np.ndarray], points: pd.DataFrame, size: float = 1.0
) -> pd.DataFrame:
    touches = Touches(max_distance_um=1.0)(label=label, fov="f1", pixel_size_um=size)["touches"]
    joined = ContactJoin()(touches=touches, track_points=points)["contacts"]
    return schemas.check(schemas.Contacts, joined)


def test_frames_in_which_two_cells_are_seen_as_one_are_counted():
    """Two targets side by side, each with a T cell; in frames 3 and 4 the targets are one mask."""
    targets, effectors = (np.zeros((8, 30, 44), np.uint32) for _ in "ab")
    targets[:, 10:20, 10:20], targets[:, 10:20, 22:30] = 1, 2
    targets[3:5, 10:20, 10:30] = 1
    effectors[:, 12:18, 3:10], effectors[:, 12:18, 30:37] = 1, 2
    label = {"N": effectors, "T": targets}
    points = tracked(label)
    contacts = contacts_of(label, points)
    cross = contacts[contacts["population_a"] != contacts["population_b"]]
    frames = {
        pair: list(zip(rows["frame"], rows["repaired"], strict=True))
        for pair, rows in cross.groupby(["track_id_a", "track_id_b"])
    }
    assert frames == {
        (1, 1): [(t, t in (3, 4)) for t in range(8)],
        (2, 2): [(t, False) for t in (0, 1, 2, 5, 6, 7)],  # in 3 and 4 it has no mask
        (2, 1): [(3, True), (4, True)],  # the mask that it is in
    }
    bouts = schemas.check(schemas.Bouts, Bouts()(contacts=cross, track_points=points)["bouts"])
    found = bouts.set_index(["track_id_a", "track_id_b"])[["n_frames", "n_repaired_frames"]]
    assert found.to_numpy().tolist() == [[8, 2], [2, 2], [8, 2]]
    near = CentroidDistance(max_distance_um=14.0)(track_points=points, pixel_size_um=1.0)
    near = near["contacts"]
    assert set(near.loc[near["repaired"], "frame"]) == {3, 4} and not near["repaired"].all()


def test_tracks_of_which_nobody_says_what_was_repaired(make_points, make_contacts):
    points = make_points({("T", 1): {0: (5.0, 5.0)}, ("N", 7): {0: (5.0, 5.0)}})
    assert "repaired" not in points
    bouts = Bouts()(contacts=make_contacts([(0, "T", 1, "N", 7)]), track_points=points)["bouts"]
    assert bouts["n_repaired_frames"].tolist() == [0]


def test_contacts_of_painted_blobs_are_marked_and_no_others():
    """True masks of a crowded film, in which pairs of targets are painted as one for a while."""
    film = SimulatedAssay(
        seed=2, n_frames=30, size_px=160, n_targets=28, n_effectors=14,
        targets={"cling_rate_per_min": 1.0, "cling_min": 200.0, "pile": 0.1},
    )(fov="f1")  # fmt: skip
    label = {name: masks.copy() for name, masks in film["label"].items()}
    touching = film["touches"][
        (film["touches"][["population_a", "population_b"]] == "CancerCell").all(axis=1)
    ]
    taken: set[int] = set()
    blobs: set[tuple[int, int]] = set()
    for (a, b), rows in touching.groupby(["track_id_a", "track_id_b"])["frame"]:
        start, stop = int(rows.min()) + 3, int(rows.min()) + 7
        if stop < rows.max() and not {a, b} & taken:
            part = label["CancerCell"][start:stop]
            part[part == b] = a
            taken |= {a, b}
            blobs |= {(frame, a) for frame in range(start, stop)}
    points = tracked(label, film["pixel_size_um"])
    contacts = contacts_of(label, points, film["pixel_size_um"])
    seen = points.dropna(subset=["label"])
    name = {
        (p, f, t): int(n)
        for p, f, t, n in seen[["population", "frame", "track_id", "label"]].itertuples(index=False)
    }
    n_right = n_marked = n_of_blobs = 0
    for row in contacts.itertuples():
        sides = [(row.population_a, row.track_id_a), (row.population_b, row.track_id_b)]
        keys = [(p, row.frame, name[p, row.frame, t]) for p, t in sides]
        of_blob = any(p == "CancerCell" and (f, n) in blobs for p, f, n in keys)
        n_right += of_blob and row.repaired
        n_marked += row.repaired
        n_of_blobs += of_blob
    assert n_of_blobs > 20
    assert n_right >= 0.9 * n_marked and n_right >= 0.8 * n_of_blobs
