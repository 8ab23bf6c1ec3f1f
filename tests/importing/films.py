"""A small film of masks and its lineage, and how a file comes in. Not a test."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from cyto_kedro.importing.kinds import read_any
from cyto_kedro.importing.place import Found, bring
from tiny_project import N_FRAMES, Project

FOV = "treated_1"
FILM = (N_FRAMES, 96, 96)


def come_in(
    project: Project, file: Path, population: str = "TCell", masks_only: bool = False
) -> Found:
    """What `kedro cyto import` does."""
    read = partial(read_any, masks_only=masks_only)
    return bring(project.catalog, file, FOV, population, "Ada", read, masks_only)


def points_of(project: Project) -> pd.DataFrame:
    """The T cells' track points that lie in the project now."""
    points: pd.DataFrame = project.catalog.load("track_points")[f"{FOV}/TCell"]()
    return points


def masks_of(project: Project) -> np.ndarray:
    """The T cells' masks that lie in the project now, (T, Y, X)."""
    parts, plan = project.catalog.load("labels"), project.catalog.load("manifest")
    return np.concatenate([parts[f"{FOV}/TCell/{b}"]() for b in plan.blocks(FOV)])


def paths_of(points: pd.DataFrame) -> set[frozenset[tuple[int, float, float]]]:
    """Each track as its places, whatever its number."""
    rows = points[["frame", "y_px", "x_px"]].round(3)
    return {
        frozenset(rows.loc[part.index].itertuples(index=False, name=None))
        for _, part in points.groupby(["population", "track_id"])
    }


def square(label: np.ndarray, name: int, t: int, y: int, x: int, side: int = 6) -> None:
    """Draw a cell."""
    label[t, y : y + side, x : x + side] = name


def dividing() -> np.ndarray:
    """Cell 7 is not seen in frame 2, divides after frame 4 into 300000 and 9; 4 lives by itself."""
    label = np.zeros(FILM, np.uint32)
    for t in range(5):
        if t != 2:
            square(label, 7, t, 10 + 2 * t, 10)
    for t in range(5, N_FRAMES):
        square(label, 300000, t, 20, 2)
        square(label, 9, t, 20, 20 + t)
    for t in range(N_FRAMES):
        square(label, 4, t, 60, 60 - 3 * t)
    return label


def is_the_dividing_film(points: pd.DataFrame, divides: bool = True) -> None:
    """Check tracks, gap and (if it `divides`) lineage of `dividing`."""
    by_track = points.set_index("track_id")
    first = points.sort_values("frame").drop_duplicates("track_id").set_index("label")
    assert sorted(first.index) == [4, 7, 9, 300000]
    mother = int(first.loc[7, "track_id"])
    parents = first["parent_track_id"]
    assert parents[[7, 4]].isna().all()
    if divides:
        assert parents[9] == parents[300000] == mother
    else:
        assert parents.isna().all()
    of_mother = by_track.loc[mother].sort_values("frame")
    assert of_mother["frame"].tolist() == [0, 1, 2, 3, 4]
    assert of_mother["interpolated"].tolist() == [False, False, True, False, False]
    np.testing.assert_allclose(of_mother["y_px"], 12.5 + 2 * np.arange(5))
    np.testing.assert_allclose(of_mother["x_px"], 12.5)
