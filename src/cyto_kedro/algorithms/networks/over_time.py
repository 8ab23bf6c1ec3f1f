"""Graphs of a whole film: who ever touched whom, and who when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.contacts.common import fov_of, need


class AggregateContacts(Algorithm):
    """The contact graph of a whole film: who ever touched whom, how often and for how long.

    Reads ``"bouts"`` (`schemas.Bouts`) and ``"dataframe"`` (`schemas.TrackPoints`, all
    populations) of one field; optional ``"fov"``. Returns ``"network"``, one `networkx.Graph`.
    Nodes are all tracks, at their mean measured position, with first_frame and last_frame; `dead`
    is true if the track ever is. Edges carry contact_frames, n_bouts, first_frame, last_frame and
    duration_min (summed; None where time is unknown).
    """

    def __call__(self, data: Data) -> Data:
        """Return ``{"network"}``.

        Raises
        ------
        InputError
            If tables of several fields are given.
        """
        import networkx as nx

        points, bouts = need(data, "dataframe", "bouts")
        fov = fov_of(points, bouts, fov=data.get("fov"))
        graph = nx.Graph(fov=fov, network="contact")
        how: dict[str, tuple[str, str]] = {
            "x_px": ("x_px", "mean"),
            "y_px": ("y_px", "mean"),
            "first_frame": ("frame", "min"),
            "last_frame": ("frame", "max"),
        }
        if "dead" in points:
            how["dead"] = ("dead", "any")
        seen = points[~points["interpolated"].to_numpy(bool)]
        tracks = seen.groupby(["population", "track_id"], as_index=False).agg(**how)
        keys = list(zip(tracks["population"], tracks["track_id"].tolist(), strict=True))
        graph.add_nodes_from(zip(keys, _records(tracks), strict=True))
        pair = ["population_a", "track_id_a", "population_b", "track_id_b"]
        edges = bouts.groupby(pair, as_index=False).agg(
            contact_frames=("n_contact_frames", "sum"),
            n_bouts=("bout", "size"),
            first_frame=("start_frame", "min"),
            last_frame=("end_frame", "max"),
            duration_min=("duration_min", lambda minutes: minutes.sum(skipna=False)),
        )
        a, b = (
            zip(edges[f"population_{side}"], edges[f"track_id_{side}"].tolist(), strict=True)
            for side in "ab"
        )
        graph.add_edges_from(zip(a, b, _records(edges.drop(columns=pair)), strict=True))
        return {"network": graph}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dicts of plain Python values, null as None."""
    columns = [
        [None if value != value else value for value in table[name].tolist()] for name in table
    ]
    names = list(table.columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


