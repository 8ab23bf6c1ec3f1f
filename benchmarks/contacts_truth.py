"""Contacts against the simulation's continuous outlines, given true masks and tracks.

    python benchmarks/contacts_truth.py --seeds 3
    python benchmarks/contacts_truth.py --seeds 3 --outlines

Simulated films of 40 frames (192 x 192 at 0.65 µm) at four densities. The truth calls two outlines at
most 1 µm apart a contact. Contacts: agreement per pair and frame. Bouts: those of the true contacts
beside those of the found ones (no gap bridged in either, then gaps of one frame bridged in both); a
found bout is a true one's if it shares most frames with it, and errors are found minus true, frames.

With --outlines what it costs to draw outlines as masks: `OutlineDistance` given the true outlines beside
the masks, by their 64 corners, by 24 and 12 of them, and by 24 rounded to whole pixels.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd

import metrics as m
from cyto_kedro.algorithms.contacts.bouts import Bouts
from cyto_kedro.algorithms.contacts.contacts import ContactJoin
from cyto_kedro.algorithms.contacts.positions import CentroidDistance
from cyto_kedro.algorithms.simulation.assay import SimulatedAssay
from cyto_kedro.algorithms.simulation.outlines import N_VERTICES, polygons
from cyto_kedro.algorithms.tabulation.drawn import outline_table
from cyto_kedro.algorithms.tabulation.subpixel import OutlineDistance
from cyto_kedro.algorithms.tabulation.touches import DilatedOverlap, Touches, TouchingMasks

DENSITIES = ((5, 7), (10, 14), (18, 24), (28, 34))
PAIR = ["population_a", "track_id_a", "population_b", "track_id_b"]
DEFINITIONS: dict[str, Any] = {
    "OutlineDistance 1 um": OutlineDistance(max_distance_um=1.0),
    "Touches 1 um": Touches(max_distance_um=1.0),
    "TouchingMasks": TouchingMasks(corners=True),
    "DilatedOverlap 0.65 um": DilatedOverlap(radius_um=0.65),
    "CentroidDistance 12 um": CentroidDistance(max_distance_um=12.0),
}


# definitions by the corners of an outline that they are given, and to which part of a pixel
OUTLINES: dict[str, Any] = {
    "masks, Touches 1 um": (Touches(max_distance_um=1.0), 0, 0),
    "masks, OutlineDistance 1 um": (OutlineDistance(max_distance_um=1.0), 0, 0),
    **{
        f"{n} corners{', whole pixels' if each else ''}": (
            OutlineDistance(max_distance_um=1.0),
            n,
            each,
        )
        for n, each in ((64, 0), (24, 0), (12, 0), (24, 1))
    },
}


def drawn(assay: SimulatedAssay, film: dict[str, Any], n: int, rounded: int) -> pd.DataFrame:
    """The true outlines by `n` of their corners (whole pixels from the corner of the picture, if so)."""
    world, parts = assay.world("f"), []
    for population, points in film["track_points"].groupby("population"):
        frame, cell = points["frame"].to_numpy(), points["cell"].to_numpy() - 1
        centre = points[["y_px", "x_px"]].to_numpy()
        radius = world.radius_um[frame, cell] / assay.pixel_size_um
        corners = polygons(centre, radius, world.coefs[frame, cell])
        corners = corners[:, np.linspace(0, N_VERTICES, n, endpoint=False).round().astype(int)]
        corners = np.round(corners + 0.5) - 0.5 if rounded else corners
        named = zip(frame, points["label"], corners, strict=True)
        outlines = {(int(t), int(label)): [ring] for t, label, ring in named}
        parts.append(outline_table(film["label"][population], outlines, "f", str(population)))
    return pd.concat(parts)


def contacts_of(definition: Any, film: dict[str, Any]) -> pd.DataFrame:
    """The contacts of a film with true masks and tracks."""
    where = {"fov": "f", "pixel_size_um": film["pixel_size_um"]}
    points = film["track_points"]
    if isinstance(definition, tuple):
        definition, n, rounded = definition
        if n:
            where |= {"outlines": drawn(film["assay"], film, n, rounded)}
    if isinstance(definition, CentroidDistance):
        return definition({**where, "dataframe": points})["contacts"]
    touches = definition({**where, "label": film["label"]})["dataframe"]
    return ContactJoin()({"touches": touches, "dataframe": points})["contacts"]


def bout_errors(true: pd.DataFrame, found: pd.DataFrame, film: dict[str, Any], gap: int) -> Any:
    """Start and end errors of matched bouts, and how many there are of each and matched."""
    make = Bouts(max_gap_frames=gap)
    points = film["track_points"]
    ours, theirs = (
        make({"contacts": each, "dataframe": points})["bouts"] for each in (found, true)
    )
    both = theirs.reset_index().merge(ours.reset_index(), on=PAIR, suffixes=("_t", "_f"))
    low = both[["start_frame_t", "start_frame_f"]].max(axis=1)
    high = both[["end_frame_t", "end_frame_f"]].min(axis=1)
    both["shared"] = high - low + 1
    both = both[both["shared"] > 0].sort_values("shared", ascending=False)
    both = both.drop_duplicates("index_t").drop_duplicates("index_f")
    errors = np.stack([both[f"{e}_frame_f"] - both[f"{e}_frame_t"] for e in ("start", "end")])
    return errors, m.Score(len(both), len(ours), len(theirs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--outlines", action="store_true", help="drawn outlines beside masks")
    args = parser.parse_args()
    rows = []
    for density in DENSITIES:
        assays = [
            SimulatedAssay(seed=seed, n_effectors=density[0], n_targets=density[1])
            for seed in range(1, args.seeds + 1)
        ]
        films = [{**assay({"fov": "f"}), "assay": assay} for assay in assays]
        for name, definition in (OUTLINES if args.outlines else DEFINITIONS).items():
            score, row = m.Score(), {"cells": f"{density[0]} + {density[1]}", "definition": name}
            found = [contacts_of(definition, film) for film in films]
            for film, each in zip(films, found, strict=True):
                score += m.contact_score(film["touches"], each)
            row |= {"precision": score.precision, "recall": score.recall, "F1": score.f1}
            for gap in (0, 1):
                errors, bouts = [], m.Score()
                for film, each in zip(films, found, strict=True):
                    error, count = bout_errors(film["touches"], each, film, gap)
                    errors.append(error)
                    bouts += count
                at = np.concatenate(errors, axis=1)
                row[f"bout F1 (gap {gap})"] = bouts.f1
                for side, error in zip(("start", "end"), at, strict=True):
                    row[f"{side} exact (gap {gap})"] = (error == 0).mean()
                    row[f"{side} mean abs (gap {gap})"] = np.abs(error).mean()
            rows.append({**row, "true": int(score.true)})
    print("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    for row in rows:
        cells = [f"{each:.3f}" if isinstance(each, float) else str(each) for each in row.values()]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
