"""Contacts: touches between tracked cells."""

from __future__ import annotations

import logging
from typing import ClassVar, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.corrected_contacts import correct_contacts
from cyto_kedro.algorithms.contacts.corrected_events import Correctable, said_of
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import MISSING, PAIR, Keys, find, fov_of, is_repaired, size
from cyto_kedro.core.units import Length
from cyto_kedro.errors import InputError

log = logging.getLogger(__name__)

_MANY = 0.05  # share of touches without a track that is said


class Joined(TypedDict):
    """`n_untracked`: touches dropped because a label has no track."""

    contacts: TableOf[schemas.Contacts]
    n_untracked: int


class ContactJoin(Correctable):
    """Join touches, read off the masks without tracks, to the tracks of their labels.

    Within one population side ``a`` is the smaller track_id, so that a pair is named alike in every
    frame.

    What counts as a contact is what counted as a touch (``tabulation.touches``), and its distance
    the gap of the masks, edge to edge; `max_distance` narrows it further. The centre distance is
    that of the two track points.

    Examples
    --------
    >>> rows = {"population": ["N", "T"], "track_id": [4, 7], "label": 1, "x_px": 9, "y_px": 9}
    >>> points = schemas.filled(schemas.TrackPoints, rows)
    >>> touching = {"population_a": ["N"], "label_a": 1, "population_b": "T", "label_b": 1}
    >>> touches = schemas.filled(schemas.Touches, touching)
    >>> joined = ContactJoin()(track_points=points, touches=touches)["contacts"]
    >>> joined[["track_id_a", "track_id_b"]].values.tolist()
    [[4, 7]]
    """

    version: ClassVar[int] = 4

    max_distance: Length | None = Field(
        default=None, description="drop touches further apart; default: keep all"
    )

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        touches: TableOf[schemas.Touches],
        event_corrections: TableOf[schemas.EventCorrections] | None = None,
        pixel_size_um: float | None = None,
    ) -> Joined:
        """Join the touches of one field.

        Parameters
        ----------
        track_points
            Of all populations.
        event_corrections
            What a person said of contacts: set and cleared ones hold (`correct_contacts`).

        Raises
        ------
        InputError
            If tables of several fields are given, or a label belongs to two tracks.
        ConfigError
            If `max_distance` is in micrometres alone and the field is not calibrated.
        """
        fov_of(touches, track_points)
        touches = self._near(touches)
        points = track_points[track_points["label"].notna()]
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
        near = touches[kept]
        track = points["track_id"].to_numpy(np.int64)[order]
        a, b = (track[rows[side][kept]] for side in "ab")
        points = points.iloc[order]
        kept_rows = {side: rows[side][kept] for side in "ab"}
        contacts = {
            "fov": near["fov"].to_numpy(object),
            "frame": near["frame"].to_numpy(np.int64),
            "time_min": points["time_min"].to_numpy(float)[kept_rows["a"]],
            "population_a": near["population_a"].to_numpy(object),
            "track_id_a": a,
            "population_b": near["population_b"].to_numpy(object),
            "track_id_b": b,
            **centre_distance(points, kept_rows["a"], kept_rows["b"]),
            **{name: near[name].to_numpy(float) for name in MEASURES if name in near},
            "repaired": repaired_of(points, kept_rows["a"], kept_rows["b"]),
        }
        if "definition" in near:
            definition = near["definition"].to_numpy(object)
            if self.max_distance is not None:
                calibrated = bool(touches["distance_um"].notna().all())
                definition = (
                    definition + f", at most {in_words(self.max_distance, calibrated)} apart"
                )
            contacts["definition"] = definition
        n_untracked = int((~kept).sum())
        if n_untracked > _MANY * len(touches):
            log.warning(
                "field %s: %d of %d touches are of cells without a track, so their contacts, bouts and "
                "kills are not told",
                touches["fov"].iloc[0],
                n_untracked,
                len(touches),
            )
        said = said_of("contact", event_corrections)
        reach = self.reach_of_corrections(pixel_size_um)
        made = correct_contacts(in_order(contacts), said, track_points, reach)
        return {"contacts": made, "n_untracked": n_untracked}

    def _near(self, touches: TableOf[schemas.Touches]) -> TableOf[schemas.Touches]:
        if self.max_distance is None or not len(touches):
            return touches
        calibrated = bool(touches["distance_um"].notna().all())
        if calibrated and self.max_distance.um is not None:
            column, limit = "distance_um", self.max_distance.um
        else:
            column, limit = "distance_px", self.max_distance.in_px("max_distance", None)
        return TableOf[schemas.Touches](touches[touches[column] <= limit * (1 + 1e-9)])


def in_words(length: Length, calibrated: bool) -> str:
    """A length as it counts in a film that is `calibrated` or not: ``5 um``."""
    if length.um is not None and (calibrated or length.px is None):
        return f"{length.um:g} um"
    return f"{length.px:g} px"


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


def repaired_of(points: pd.DataFrame, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether rows `a` or `b` of `points` were repaired; none where the column is missing."""
    repaired = is_repaired(points)
    return np.asarray(repaired[a] | repaired[b])


def in_order(columns: dict[str, np.ndarray]) -> TableOf[schemas.Contacts]:
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
    table.sort_values(["frame", *PAIR], ignore_index=True, inplace=True)  # noqa: PD002
    return table


def _one_track_per_label(points: pd.DataFrame, order: np.ndarray, key: np.ndarray) -> None:
    twice = np.flatnonzero(key[1:] == key[:-1])
    if len(twice):
        one, two = points.iloc[order[twice[0]]], points.iloc[order[twice[0] + 1]]
        raise InputError(
            f"field {one['fov']!r}, {one['population']}, frame {one['frame']}: label "
            f"{one['label']} belongs to tracks {one['track_id']} and {two['track_id']}, so its "
            f"contacts have no single owner; correct the tracks"
        )
