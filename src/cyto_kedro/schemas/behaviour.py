"""How cells behave over time: windows of tracks, classes of windows, and what these are like."""

from __future__ import annotations

import pandas as pd
from pandera.typing import Series

from cyto_kedro.schemas.base import PerTrack, Table, known, nullable


class Window(PerTrack):
    """A stretch of a track, both ends included."""

    window: Series[int] = known("1 for the track's first; 0: the track has none", ge=0)
    start_frame: Series[int] = known("first point; of window 0 the track's", ge=0)
    end_frame: Series[int] = known("last point; the same", ge=0)
    start_min: Series[float] = nullable("the same in minutes")
    end_min: Series[float] = nullable("the same in minutes")


class TrackWindows(Window, key="fov population track_id window"):
    """Measures of a track in windows of one length; *other*: cells of all other populations.

    A track too short, or seen in too few frames, for any window has one row, whose measures are empty.
    """

    n_points: Series[int] = known("frames in which the cell was seen, alive", ge=0)
    speed_px_per_frame: Series[float] = nullable("path over time")
    speed_um_per_min: Series[float] = nullable("the same")
    reach_px: Series[float] = nullable("root mean square distance of its points from their mean")
    reach_um: Series[float] = nullable("the same")
    straightness: Series[float] = nullable("net displacement over path, 0 to 1")
    persistence: Series[float] = nullable("mean cosine of the turning angles, -1 to 1")
    speed_variation: Series[float] = nullable("sd of the steps' speeds over their mean")
    area_variation: Series[float] = nullable("sd of the mask's area over its mean")
    elongation: Series[float] = nullable("mean of 1 - short axis / long axis of the mask")
    contact_own: Series[float] = nullable("share of frames in contact with its own kind")
    contact_other: Series[float] = nullable("share of frames in contact with another kind")
    distance_own_px: Series[float] = nullable("to the nearest of its own kind, mean")
    distance_own_um: Series[float] = nullable("the same")
    distance_other_px: Series[float] = nullable("to the nearest of another kind, mean")
    distance_other_um: Series[float] = nullable("the same")
    towards_own: Series[float] = nullable(
        "mean cosine between a step and the way to the nearest of its own kind"
    )
    towards_other: Series[float] = nullable("the same, of another kind")


class Behaviours(Window, key="fov population track_id window"):
    """The class of each window, and its place in the embedding; classes are of a population."""

    x: Series[float] = nullable("in the embedding; empty without a class")
    y: Series[float] = nullable("the same")
    behaviour: Series[pd.Int64Dtype] = nullable("its class, 1 the slowest", ge=1)
    probability: Series[float] = nullable("of that class, by the mixture", ge=0, le=1)


class BehaviourProfiles(Table, key="population behaviour measure"):
    """What the windows of a class are like: one row for each measure that classes are made of."""

    population: Series[str]
    behaviour: Series[int] = known("class, 1 the slowest", ge=1)
    measure: Series[str] = known("as in `track_windows`")
    median: Series[float] = nullable("over the windows of the class")
    standardised: Series[float] = known(
        "mean, in robust standard deviations from the median of all"
    )
    n_windows: Series[int] = known("of the class", ge=0)
    n_tracks: Series[int] = known("with such a window", ge=0)
    n_without: Series[int] = known("tracks of the population without any class", ge=0)
