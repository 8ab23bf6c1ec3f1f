"""Conjugation: how many effectors and targets there are, and how many are in contact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import MISSING, divide, fov_of, rows_in_frame

_ROLES = ("effector", "target")


class Conjugates(TypedDict):
    """`tiles` is empty without a pixel size."""

    conjugation: TableOf[schemas.Conjugation]
    tiles: TableOf[schemas.ConjugationTiles]


class Conjugation(Algorithm):
    """Effector-to-target ratio and share of cells in contact, per frame and per tile of the image.

    Examples
    --------
    >>> rows = {"population": ["N", "T", "T"], "track_id": [1, 1, 2], "label": [1, 1, 2], "x_px": 9}
    >>> points = schemas.filled(schemas.TrackPoints, {**rows, "y_px": 9.0})
    >>> touching = {"population_a": ["N"], "track_id_a": [1], "population_b": "T", "track_id_b": 1}
    >>> contacts = schemas.filled(schemas.Contacts, touching)
    >>> given = {"track_points": points, "contacts": contacts, "n_frames": 1, "shape": (20, 20)}
    >>> made = Conjugation()(given, populations={"N": "effector", "T": "target"})["conjugation"]
    >>> made[["n_effectors", "n_targets", "n_conjugates"]].values.tolist()
    [[1, 2, 1]]

    Notes
    -----
    Cells count that were detected in the frame; where viability is told only those known to live, of
    which the ratio is what effectors face. `n_unknown` are those of populations that viability tells
    of whose own is unknown (on a dead cell of another kind): they are in no other count. The
    conjugation rate of a population is the share of its cells that are in contact with at least one
    cell of the other role (as flow cytometry counts doublets; there of all events, here of each
    population apart). A pair counts in the tile of each of its
    cells for their shares, and in that of the target as a conjugate; a centre on the line between two
    tiles is in the later one.
    """

    version = 2

    tile_um: float = Field(
        default=50.0, gt=0, description="side of a tile; the image is cut into equal ones near it"
    )

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        contacts: TableOf[schemas.Contacts],
        populations: Mapping[str, str],
        n_frames: int,
        shape: tuple[int, int],
        pixel_size_um: float | None = None,
        viability: TableOf[schemas.Viability] | None = None,
        frames: TableOf[schemas.Frames] | None = None,
        fov: str = "fov1",
    ) -> Conjugates:
        """Count the cells of one field.

        Parameters
        ----------
        track_points
            Of all populations.
        populations
            Name -> role.
        shape
            Rows and columns of the image.
        frames
            Excluded ones have no row, and the others their times.

        Raises
        ------
        InputError
            If tables of several fields are given.
        """
        points, roles, pixel = track_points, populations, pixel_size_um
        fov_of(contacts, points)
        cells = points[points["label"].notna()]
        cells = cells.assign(role=cells["population"].map(roles))
        cells = cells[cells["role"].isin(_ROLES)].reset_index(drop=True)
        unsure = cells[:0]
        if viability is not None:
            dead, unknown = _dead(cells, viability)
            unsure = cells[unknown]
            cells = cells[~dead & ~unknown].reset_index(drop=True)
        effector, target = _pairs(contacts, cells)
        kept = _frames(frames, n_frames)
        clock = Clock(points, contacts)
        times = _times(frames, clock, kept)
        base = pd.DataFrame({"fov": fov, "frame": kept, "time_min": times})
        base["dead_left_out"] = viability is not None and len(viability) > 0
        slot = np.full(n_frames, MISSING)
        slot[kept] = np.arange(len(kept))
        place = slot[cells["frame"].to_numpy(np.int64)]
        whole = base.assign(**_counts(cells, place, len(kept), effector, target))
        n_unknown = np.bincount(unsure["frame"].to_numpy(np.int64), minlength=n_frames)
        whole["n_unknown"] = n_unknown[kept]
        if pixel is None:
            tiles = schemas.empty(schemas.ConjugationTiles)
        else:
            tiles = self._tiles(base, cells, place, (effector, target), shape, float(pixel))
        return {"conjugation": schemas.conform(schemas.Conjugation, whole), "tiles": tiles}

    def _tiles(
        self,
        base: pd.DataFrame,
        cells: pd.DataFrame,
        place: np.ndarray,
        pairs: tuple[np.ndarray, np.ndarray],
        shape: tuple[int, int],
        pixel: float,
    ) -> TableOf[schemas.ConjugationTiles]:
        rows, columns = (max(1, round(n * pixel / self.tile_um)) for n in shape)
        side = shape[0] / rows, shape[1] / columns
        at = [
            np.clip((cells[name].to_numpy(float) + 0.5) // length, 0, n - 1).astype(np.int64)
            for name, length, n in zip(("y_px", "x_px"), side, (rows, columns), strict=True)
        ]
        n_tiles = rows * columns
        table = base.loc[np.repeat(base.index, n_tiles)].reset_index(drop=True)
        row, column = (np.tile(each.ravel(), len(base)) for each in np.indices((rows, columns)))
        counted = _counts(
            cells,
            np.where(place == MISSING, MISSING, place * n_tiles + at[0] * columns + at[1]),
            len(table),
            *pairs,
        )
        table = table.assign(
            tile_row=row,
            tile_column=column,
            tile_y0_px=row * side[0] - 0.5,
            tile_x0_px=column * side[1] - 0.5,
            tile_height_um=side[0] * pixel,
            tile_width_um=side[1] * pixel,
            **counted,
        )
        return schemas.conform(schemas.ConjugationTiles, table)


def _dead(cells: pd.DataFrame, viability: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Which of `cells` are called dead, and which of populations with `viability` have none."""
    at = rows_in_frame(viability, cells, "label")
    dead = np.append(viability["dead"].to_numpy(bool), False)[at]
    marked = cells["population"].isin(viability["population"].unique()).to_numpy()
    return dead, marked & (at == MISSING)


def _pairs(contacts: pd.DataFrame, cells: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Rows in `cells` of the effector and the target of each contact between the two roles."""
    is_effector = (cells["role"] == "effector").to_numpy()
    a, b = (rows_in_frame(cells, contacts, "track_id", side) for side in ("_a", "_b"))
    known = (a != MISSING) & (b != MISSING)
    a, b = a[known], b[known]
    mixed = is_effector[a] != is_effector[b]
    a, b = a[mixed], b[mixed]
    return np.where(is_effector[a], a, b), np.where(is_effector[a], b, a)


def _counts(
    cells: pd.DataFrame, place: np.ndarray, n: int, effector: np.ndarray, target: np.ndarray
) -> dict[str, np.ndarray]:
    """The counts of `schemas.Conjugation` in each of `n` places; `MISSING` is none of them."""

    def count(rows: np.ndarray) -> np.ndarray:
        at = place[rows]
        return np.bincount(at[at != MISSING], minlength=n)

    role = cells["role"].to_numpy()
    all_of = {name: count(np.flatnonzero(role == name)) for name in _ROLES}
    busy = {"effector": count(np.unique(effector)), "target": count(np.unique(target))}
    return {
        "n_effectors": all_of["effector"],
        "n_targets": all_of["target"],
        "effector_target_ratio": divide(all_of["effector"], all_of["target"]),
        "n_effectors_in_contact": busy["effector"],
        "n_targets_in_contact": busy["target"],
        "effector_contact_share": divide(busy["effector"], all_of["effector"]),
        "target_contact_share": divide(busy["target"], all_of["target"]),
        "n_conjugates": count(target),
    }


def _frames(frames: pd.DataFrame | None, n_frames: int) -> np.ndarray:
    """The film's frames without excluded ones."""
    if frames is None:
        return np.arange(n_frames)
    return np.sort(frames.loc[~frames["excluded"].to_numpy(bool), "frame"].to_numpy(np.int64))


def _times(frames: pd.DataFrame | None, clock: Clock, kept: np.ndarray) -> np.ndarray:
    """Minutes at each of the frames `kept`."""
    if frames is None:
        return clock(kept)
    return frames.set_index("frame")["time_s"].reindex(kept).to_numpy(float) / 60
