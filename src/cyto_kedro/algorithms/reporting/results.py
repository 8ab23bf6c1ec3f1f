"""The results table in pyCyto's format: one row per cell per frame, everything known of it.

Column names and their meaning follow the table described in the README of pyCyto (Oxford's
Cytotoxicity-Pipeline): Id, Track, x, y, z, t, alive, velocity, contact. As there, positions are in
pixels, `t` is the frame and velocities are in pixels per frame; calibrated values are in the
tables of tracking and contacts. pyCyto's separate columns for contact within and between
populations are one list here, since every id says its population.
"""

from __future__ import annotations

from typing import Literal, TypedDict

import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.errors import InputError
from cyto_kedro.schemas import Results, TableOf, conform, empty

CELL = ["fov", "population", "frame", "label"]
POINT = ["fov", "population", "track_id", "frame"]


class Tabulated(TypedDict):
    """The results table."""

    results: TableOf[Results]


class PyCytoResults(Algorithm):
    """Join the tables of one field (all its populations) into pyCyto's results table.

    Columns of `schemas.Results`, then ``contact_cell_id`` (list of ``population:track_id``, empty
    where there is none) and one ``<channel>_<statistic>`` column per channel.

    Rows are the cells that were seen: `id` is the mask's label, positions interpolated by tracking
    have no mask and are left out. A cell without a track has a null `track_id` and no contacts,
    since contacts are between tracked cells. For a 2-D film z and velocity_z are 0 (null where
    the velocity is unknown).

    Examples
    --------
    >>> from cyto_kedro.schemas import Cells, filled
    >>> cells = {"fov": "A1", "population": "TCell", "frame": 0, "label": [1, 2], "y_px": 5.0}
    >>> cells = filled(Cells, cells | {"x_px": [2.0, 9.0]}).assign(GFP_mean=[7.0, 8.0])
    >>> results = PyCytoResults()(cells=cells)["results"]
    >>> results[["id", "x", "y", "contact", "GFP_mean"]].to_numpy().tolist()
    [[1, 2.0, 5.0, False, 7.0], [2, 9.0, 5.0, False, 8.0]]
    """

    statistic: Literal["sum", "mean", "median", "sd", "min", "max"] = Field(
        default="mean", description="which measurement of each channel is the signal"
    )

    def run(
        self,
        cells: TableOf[schemas.Cells],
        track_points: TableOf[schemas.TrackPoints] | None = None,
        viability: TableOf[schemas.Viability] | None = None,
        steps: TableOf[schemas.Steps] | None = None,
        contacts: TableOf[schemas.Contacts] | None = None,
    ) -> Tabulated:
        """Join what is given to the cells.

        Raises
        ------
        InputError
            If a track claims the same cell twice.
        """
        signals = [name for name in cells.columns if name.endswith(f"_{self.statistic}")]
        seen = cells[[*CELL, "x_px", "y_px", *signals]]
        table = _join(seen, _tracked(track_points), CELL, "track_points")
        table = _join(table, _read(viability, CELL, ["alive_probability"]), CELL, "viability")
        velocity = ["velocity_x_px_per_frame", "velocity_y_px_per_frame"]
        table = _join(table, _read(steps, POINT, velocity), POINT, "steps")
        table = _join(table, _partners(contacts), POINT, "contacts")
        table = table.rename(
            columns={
                "label": "id",
                "frame": "t",
                "x_px": "x",
                "y_px": "y",
                "velocity_x_px_per_frame": "velocity_x",
                "velocity_y_px_per_frame": "velocity_y",
            }
        )
        none_found = table["contact_cell_id"].isna()
        table["contact_cell_id"] = table["contact_cell_id"].where(
            ~none_found, pd.Series([[] for _ in range(len(table))], index=table.index, dtype=object)
        )
        table["contact_count"] = table["contact_cell_id"].str.len().fillna(0)
        table["contact"] = table["contact_count"] > 0
        table["z"] = 0.0
        table["velocity_z"] = table["velocity_x"] * 0.0
        order = [*empty(Results).columns, "contact_cell_id", *signals]
        return {"results": conform(Results, table[order].sort_values(Results.key()))}


def for_csv(results: pd.DataFrame) -> pd.DataFrame:
    """The results with `contact_cell_id` as one text, ids joined by ``;`` (lists or arrays)."""
    return results.assign(contact_cell_id=results["contact_cell_id"].map(";".join).astype(str))


def _read(table: pd.DataFrame | None, key: list[str], columns: list[str]) -> pd.DataFrame:
    if table is None:
        return pd.DataFrame(columns=[*key, *columns]).astype(dict.fromkeys(columns, float))
    return table[[*key, *columns]]


def _tracked(points: pd.DataFrame | None) -> pd.DataFrame:
    """Which cell is which track's: the points that have a mask."""
    if points is None:
        return pd.DataFrame(columns=[*CELL, "track_id"])
    return points.loc[points["label"].notna(), [*CELL, "track_id"]]


def _partners(contacts: pd.DataFrame | None) -> pd.DataFrame:
    """(fov, population, track_id, frame) -> sorted list of the ids it is in contact with."""
    found = pd.DataFrame(columns=[*POINT, "contact_cell_id"])
    if contacts is None or contacts.empty:
        return found
    sides = []
    for me, other in (("a", "b"), ("b", "a")):
        side = contacts[["fov", "frame"]].copy()
        side["population"] = contacts[f"population_{me}"]
        side["track_id"] = contacts[f"track_id_{me}"]
        side["partner"] = contacts[f"population_{other}"]
        side["partner_id"] = contacts[f"track_id_{other}"]
        sides.append(side)
    both = pd.concat(sides, ignore_index=True).sort_values([*POINT, "partner", "partner_id"])
    both["contact_cell_id"] = both["partner"] + ":" + both["partner_id"].astype(str)
    return both.groupby(POINT, sort=False)["contact_cell_id"].agg(list).reset_index()


def _join(left: pd.DataFrame, right: pd.DataFrame, key: list[str], name: str) -> pd.DataFrame:
    """Left join; keys in common dtypes, so that an empty or all-null side joins too."""
    numbers = {column: "Int64" for column in key if column not in ("fov", "population")}
    texts = {column: object for column in key if column in ("fov", "population")}
    right = right.astype({**numbers, **texts})
    twice = right.duplicated(key)
    if twice.any():
        first = right.loc[twice, key].iloc[0].to_dict()
        raise InputError(
            f"results: table {name} names {first} {'twice' if twice.sum() == 1 else 'repeatedly'}, "
            "so its rows cannot be told apart; make the table again"
        )
    return left.astype({**numbers, **texts}).merge(right, on=key, how="left")
