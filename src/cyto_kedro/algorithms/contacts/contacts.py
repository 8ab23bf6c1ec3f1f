"""Contacts: touches between tracked cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.core.keys import MISSING, PAIR, Keys, find, fov_of, need, size
from cyto_kedro.errors import ConfigError, InputError


class ContactJoin(Algorithm):
    """Join touches, read off the masks without tracks, to the tracks of their labels.

    Reads ``"touches"`` (`schemas.Touches`) and ``"dataframe"`` (`schemas.TrackPoints`, all
    populations) of one field. Returns ``"contacts"`` (`schemas.Contacts`) and ``"n_untracked"``,
    the number of touches dropped because a label has no track. Within one population side ``a``
    is the smaller track_id, so that a pair is named alike in every frame.

    What counts as a contact is what counted as a touch (``tabulation.touches``), and its distance
    the gap of the masks, edge to edge; `max_distance` narrows it further. The centre distance is
    that of the two track points.
    """

    version = 2

    max_distance_um: float | None = Field(
        default=None, ge=0, description="drop touches further apart, µm; default: keep all"
    )
    max_distance_px: float | None = Field(
        default=None, ge=0, description="the same in pixels; not both"
    )

    @model_validator(mode="after")
    def _one_unit(self) -> ContactJoin:
        if self.max_distance_um is not None and self.max_distance_px is not None:
            raise ValueError("give max_distance_um or max_distance_px, not both")
        return self

    def __call__(self, data: Data) -> Data:
        """Return ``{"contacts", "n_untracked"}``.

        Raises
        ------
        InputError
            If tables of several fields are given, or a label belongs to two tracks.
        ConfigError
            If `max_distance_um` is given for an uncalibrated field.
        """
        touches, points = need(data, "touches", "dataframe")
        fov_of(touches, points)
        touches = self._near(touches)
        points = points[points["label"].notna()]
        label = points["label"].to_numpy(np.int64)
        n_label = size(label, touches["label_a"], touches["label_b"])
        n_frame = size(points["frame"], touches["frame"])
        names = (points["population"], touches["population_a"], touches["population_b"])
        keys = Keys(names, n_frame, n_label)
        key = keys.pack(keys.code(points["population"]), points["frame"].to_numpy(), label)
        order = np.argsort(key, kind="stable")
        key = key[order]
        _one_track_per_label(points, order, key)

        frame = touches["frame"].to_numpy(np.int64)
        rows = {}
        for side in "ab":
            code = keys.code(touches[f"population_{side}"])
            rows[side] = find(key, keys.pack(code, frame, touches[f"label_{side}"].to_numpy()))
        kept = (rows["a"] != MISSING) & (rows["b"] != MISSING)
        touches = touches[kept]
        track = points["track_id"].to_numpy(np.int64)[order]
        a, b = (track[rows[side][kept]] for side in "ab")
        points = points.iloc[order]
        kept_rows = {side: rows[side][kept] for side in "ab"}
        contacts = {
            "fov": touches["fov"].to_numpy(object),
            "frame": touches["frame"].to_numpy(np.int64),
            "time_min": points["time_min"].to_numpy(float)[kept_rows["a"]],
            "population_a": touches["population_a"].to_numpy(object),
            "track_id_a": a,
            "population_b": touches["population_b"].to_numpy(object),
            "track_id_b": b,
            **centre_distance(points, kept_rows["a"], kept_rows["b"]),
            **{name: touches[name].to_numpy(float) for name in MEASURES if name in touches},
        }
        if "definition" in touches:
            contacts["definition"] = self._named(touches["definition"].to_numpy(object))
        table = in_order(contacts)
        return {
            "contacts": table,
            "n_untracked": int((~kept).sum()),
        }

    def _named(self, definition: np.ndarray) -> np.ndarray:
        if self.max_distance_um is not None:
            return definition + f", at most {self.max_distance_um:g} um apart"
        if self.max_distance_px is not None:
            return definition + f", at most {self.max_distance_px:g} px apart"
        return definition

    def _near(self, touches: pd.DataFrame) -> pd.DataFrame:
        if self.max_distance_px is not None:
            return touches[touches["distance_px"] <= self.max_distance_px]
        if self.max_distance_um is None:
            return touches
        if touches["distance_um"].isna().any():
            raise ConfigError(
                f"max_distance_um={self.max_distance_um} needs the pixel size, which is unknown "
                f"for field {fov_of(touches)!r}: give it in the assay, or use max_distance_px"
            )
        return touches[touches["distance_um"] <= self.max_distance_um]


MEASURES = (
    "distance_px",
    "distance_um",
    "contact_length_px",
    "contact_length_um",
    "overlap_px",
    "perimeter_share_a",
    "perimeter_share_b",
)


def centre_distance(points: pd.DataFrame, a: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    """Distance of the positions in rows `a` and `b` of `points`, in pixels and µm."""
    found = {}
    for unit in ("px", "um"):
        x, y = points[f"x_{unit}"].to_numpy(float), points[f"y_{unit}"].to_numpy(float)
        found[f"centre_distance_{unit}"] = np.hypot(x[a] - x[b], y[a] - y[b])
    return found


def in_order(columns: dict[str, np.ndarray]) -> pd.DataFrame:
    """`schemas.Contacts`, sides of one population by track_id, sorted by frame and pair."""
    columns = dict(columns)
    same = columns["population_a"] == columns["population_b"]
    swap = same & (columns["track_id_a"] > columns["track_id_b"])
    for name in ("track_id", "perimeter_share"):
        if f"{name}_a" in columns:
            a, b = columns[f"{name}_a"], columns[f"{name}_b"]
            columns[f"{name}_a"] = np.where(swap, b, a)
            columns[f"{name}_b"] = np.where(swap, a, b)
    table = schemas.from_columns(schemas.Contacts, columns)
    return table.sort_values(["frame", *PAIR], ignore_index=True)


def _one_track_per_label(points: pd.DataFrame, order: np.ndarray, key: np.ndarray) -> None:
    twice = np.flatnonzero(key[1:] == key[:-1])
    if len(twice):
        one, two = points.iloc[order[twice[0]]], points.iloc[order[twice[0] + 1]]
        raise InputError(
            f"field {one['fov']!r}, {one['population']}, frame {one['frame']}: label "
            f"{one['label']} belongs to tracks {one['track_id']} and {two['track_id']}, so its "
            f"contacts have no single owner; correct the tracks"
        )
