"""What a viewer shows of a field, as plain layers: arrays in, no viewer needed.

Axes are (frame, y, x). A frame is one step of the slider, whatever time lies between two; y and x are
in micrometres where the pixel size is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.reporting.drawing import display_limits
from cyto_kedro.algorithms.reporting.overlays import channel_colours
from cyto_kedro.core.style import FILM_COLOURS

Kind = Literal["image", "labels", "tracks", "vectors", "points"]
#: what became of a track, as a number to colour by, and its colour
FATES = {"alive": "#2FD08C", "died": "#FF6A1A", "dead at first sight": "#9A9A9A"}
_GOLDEN = 0.618034
_THUMB = 512  # pixels a side that contrast is taken from
EVENTS = ("event", "frame", "time_min", "population", "track_id", "by", "share", "p_background")


@dataclass(frozen=True)
class Layer:
    """One layer: its kind, name and data, and how it looks (names as napari has them)."""

    kind: Kind
    name: str
    data: Any
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What there is of one field to look at.

    Attributes
    ----------
    films, masks
        By channel and by population, (T, Y, X), unread.
    tables
        ``track_points``, ``fates``, ``contacts``, ``deaths``, ``kills``, ``frames`` of the field; those
        that were not made are absent.
    roles, markers
        Of populations; channel of each marker.
    """

    fov: str
    films: Mapping[str, Any]
    masks: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    roles: Mapping[str, str]
    markers: Mapping[str, str]
    pixel_size_um: float | None = None

    @property
    def scale(self) -> tuple[float, float, float]:
        """Frames, and the side of a pixel in micrometres (1 where unknown)."""
        side = self.pixel_size_um or 1.0
        return 1.0, side, side

    @property
    def n_frames(self) -> int:
        """Frames of the film."""
        return int(next(iter([*self.films.values(), *self.masks.values()])).shape[0])


def layers_of(seen: Seen, colour_by: Literal["track", "fate"] = "track") -> list[Layer]:
    """All layers of a field, the lowest first; what was not made has none."""
    made = [*image_layers(seen), *mask_layers(seen)]
    points = seen.tables.get("track_points")
    if points is None or not len(points):
        return made
    made += track_layers(points, seen.tables.get("fates"), seen.roles, colour_by)
    if (contacts := seen.tables.get("contacts")) is not None:
        made.append(contact_layer(points, contacts))
    made += event_layers(seen.tables)
    return [_scaled(each, seen.scale) for each in made]


def image_layers(seen: Seen) -> list[Layer]:
    """The channels, in the colours of the report's pictures, added up."""
    roles = {name: "death" for key, name in seen.markers.items() if key == "death"}
    tints = channel_colours(seen.films, seen.roles, roles)
    return [
        Layer(
            "image",
            channel,
            film,
            {
                "colormap": [(0.0, 0.0, 0.0), tuple(map(float, tints[channel]))],
                "contrast_limits": contrast(film),
                "blending": "additive",
                "scale": seen.scale,
            },
        )
        for channel, film in seen.films.items()
    ]


def contrast(film: Any) -> tuple[float, float]:
    """Black and full of a film, off three frames of it, thinned."""
    chosen = np.unique(np.linspace(0, film.shape[0] - 1, 3).astype(int))
    step = max(1, max(film.shape[1:]) // _THUMB)
    return display_limits(np.stack([np.asarray(film[int(t)])[::step, ::step] for t in chosen]))


def mask_layers(seen: Seen) -> list[Layer]:
    """Masks of each population, as outlines; editable where their array is."""
    return [
        Layer("labels", f"{name} masks", film, {"opacity": 0.7, "scale": seen.scale, "contour": 1})
        for name, film in seen.masks.items()
    ]


def track_layers(
    points: pd.DataFrame,
    fates: pd.DataFrame | None,
    roles: Mapping[str, str],
    colour_by: Literal["track", "fate"],
) -> list[Layer]:
    """Paths of each population, to colour by ``track`` or ``fate``: numbers from 0 to 1.

    Tracks of neighbouring numbers lie far apart; of fates each has its third, in the order of `FATES`.
    """
    made = []
    for name, mine in points.groupby("population", sort=False):
        mine = mine.sort_values(["track_id", "frame"])
        made.append(
            Layer(
                "tracks",
                f"{name} tracks",
                mine[["track_id", "frame", "y_px", "x_px"]].to_numpy(float),
                {
                    "features": {
                        "track": mine["track_id"].to_numpy(float) * _GOLDEN % 1.0,
                        "fate": _fate_numbers(mine, fates),
                    },
                    "color_by": colour_by,
                    "fate_colours": list(FATES.values()),
                    "tail_length": 10,
                    "tail_width": 3,
                },
            )
        )
    return made


def _fate_numbers(points: pd.DataFrame, fates: pd.DataFrame | None) -> np.ndarray:
    """The middle of each point's fate in 0 to 1; where nothing is known that of a living cell."""
    if fates is None:
        return np.full(len(points), 0.5 / len(FATES))
    code = np.where(fates["dead_at_first_sight"], 2.0, np.where(fates["died"], 1.0, 0.0))
    of = pd.Series(code, pd.MultiIndex.from_frame(fates[["population", "track_id"]].astype(object)))
    at = pd.MultiIndex.from_frame(points[["population", "track_id"]].astype(object))
    return (of.reindex(at).fillna(0.0).to_numpy(float) + 0.5) / len(FATES)


def _places(points: pd.DataFrame) -> pd.DataFrame:
    return points.set_index(["population", "track_id", "frame"])[["y_px", "x_px"]]


def _at(points: pd.DataFrame, population: Any, track_id: Any, frame: Any) -> np.ndarray:
    """(N, 2) y and x of tracks in frames; nan where a track has no point there."""
    index = pd.MultiIndex.from_arrays([population, track_id, frame])
    return _places(points).reindex(index).to_numpy(float)


def contact_layer(points: pd.DataFrame, contacts: pd.DataFrame) -> Layer:
    """Contacts as lines from cell to cell in their frame: start and way, (N, 2, 3)."""
    sides = [
        _at(points, contacts[f"population_{s}"], contacts[f"track_id_{s}"], contacts["frame"])
        for s in "ab"
    ]
    lines = _lines(contacts["frame"].to_numpy(float), *sides)
    return Layer("vectors", "contacts", lines, {"edge_color": "#FFFFFF", "edge_width": 1.0})


def _lines(frame: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    known = np.isfinite(start).all(1) & np.isfinite(stop).all(1)
    frame, start, stop = frame[known], start[known], stop[known]
    still = np.zeros(len(frame))
    return np.stack(
        [np.column_stack([frame, start]), np.column_stack([still, stop - start])], axis=1
    )


def events(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Deaths and kills, by frame: `EVENTS`, and ``y_px``, ``x_px`` of the cell that dies."""
    points = tables["track_points"]
    columns = [*EVENTS, "y_px", "x_px"]
    rows = []
    for name, prefix, frame in (("deaths", "", "frame"), ("kills", "target_", "death_frame")):
        table = tables.get(name)
        if table is None or not len(table):
            continue
        at = _at(points, table[f"{prefix}population"], table[f"{prefix}track_id"], table[frame])
        time = table["death_min" if name == "kills" else "time_min"]
        kill = name == "kills"
        rows.append(
            pd.DataFrame(
                {
                    "event": "kill" if kill else "death",
                    "frame": table[frame].to_numpy(),
                    "time_min": time.to_numpy(),
                    "population": table[f"{prefix}population"].to_numpy(object),
                    "track_id": table[f"{prefix}track_id"].to_numpy(),
                    "by": _killers(table) if kill else "",
                    "share": table["share"].to_numpy() if kill else np.nan,
                    "p_background": table.get("p_background", pd.Series(np.nan, table.index)),
                    "y_px": at[:, 0],
                    "x_px": at[:, 1],
                }
            )
        )
    if not rows:
        return pd.DataFrame(columns=columns)
    whole = pd.concat(rows, ignore_index=True)
    return whole.sort_values(["frame", "population", "track_id", "event"], ignore_index=True)


def _killers(kills: pd.DataFrame) -> pd.Series:
    named = kills["effector_population"].astype(str) + " "
    return named + kills["effector_track_id"].astype(str)


def event_layers(tables: Mapping[str, pd.DataFrame]) -> list[Layer]:
    """Deaths as crosses, kills as rings and a line to the killer, in the frame of the death."""
    found, points = events(tables), tables["track_points"]
    found = found[found["y_px"].notna()]
    made = []
    for event, symbol, size in (("death", "x", 9.0), ("kill", "disc", 24.0)):
        mine = found[found["event"] == event]
        options = {
            "symbol": symbol,
            "size": size,
            "face_color": FILM_COLOURS["death"] if event == "death" else "transparent",
            "border_color": FILM_COLOURS["death"],
            "border_width": 0.06,
            "features": mine[list(EVENTS)].reset_index(drop=True),
        }
        made.append(
            Layer("points", f"{event}s", mine[["frame", "y_px", "x_px"]].to_numpy(float), options)
        )
    kills = tables.get("kills")
    if kills is not None and len(kills):
        ends = [
            _at(
                points, kills[f"{side}_population"], kills[f"{side}_track_id"], kills["death_frame"]
            )
            for side in ("effector", "target")
        ]
        lines = _lines(kills["death_frame"].to_numpy(float), *ends)
        options = {"edge_color": FILM_COLOURS["death"], "edge_width": 1.5}
        made.append(Layer("vectors", "killers", lines, options))
    return made


def _scaled(layer: Layer, scale: tuple[float, float, float]) -> Layer:
    return Layer(layer.kind, layer.name, layer.data, {"scale": scale, **layer.options})


def clock_text(frames: pd.DataFrame | None, frame: int) -> str:
    """``frame 12 · 0:24 h``: as in the report's pictures."""
    from cyto_kedro.algorithms.reporting.overlays import time_stamp

    return time_stamp(frames, frame)
