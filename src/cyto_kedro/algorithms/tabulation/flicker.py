"""Masks that split and merge again: a cell in two pieces for some frames, or two cells in one mask."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy

_SHORT = 3  # frames from an event to its opposite, at most
_WHOLE = 0.3  # how far the parts may miss the whole, of its area
_PART = 0.85  # of the whole: no part is larger
_NEAR = 1.5  # centres of both lie within this many diameters of the whole


def split_merged(seen: pd.DataFrame) -> pd.Series:
    """By frame, the share of its cells that split and merge again, or merge and split, within 3 frames.

    A cell *splits* where a new neighbour begins just as its area falls by about the neighbour's; it
    *merges* where the neighbour ends just as it rises so. One of each on one track is a change of masks
    and no biology. It is told in the frame in which the first of both is seen.

    Parameters
    ----------
    seen
        Detections with track_id, frame, y_px, x_px, area_px: one row per track and frame.
    """
    seen = seen.sort_values(["track_id", "frame"], ignore_index=True)
    n_cells = seen.groupby("frame").size()
    events = pd.concat([_events(seen, -1), _events(seen, 1)], ignore_index=True)
    events = events.sort_values(["track_id", "frame"], ignore_index=True)
    after = events.groupby("track_id").shift(-1)
    back = (after["kind"] == -events["kind"]) & (after["frame"] - events["frame"] <= _SHORT)
    number = events[back].drop_duplicates(["track_id", "frame"]).groupby("frame").size()
    return (number.reindex(n_cells.index, fill_value=0) / n_cells).rename("split_merged")


def _events(seen: pd.DataFrame, kind: int) -> pd.DataFrame:
    """Splits (`kind` -1: of the frame before) or merges (1: of the one after): track_id, frame, kind."""
    other = seen.shift(-kind)
    whole = (other["track_id"] == seen["track_id"]) & (other["frame"] == seen["frame"] + kind)
    ends = seen["frame"].min() if kind < 0 else seen["frame"].max()
    alone = ~whole & (seen["frame"] != ends)
    area = seen["area_px"].to_numpy(float)
    before = other["area_px"].to_numpy(float)
    place = seen[["y_px", "x_px"]].to_numpy(float)
    found = []
    for frame in seen.loc[alone, "frame"].unique():
        here = seen["frame"] == frame
        piece, near = np.flatnonzero(here & alone), np.flatnonzero(here & whole)
        if not len(near):
            continue
        far, at = scipy.spatial.cKDTree(place[near]).query(place[piece])
        part = near[at]
        close = far <= _NEAR * 2 * np.sqrt(before[part] / np.pi)
        sums = np.abs(area[part] + area[piece] - before[part]) <= _WHOLE * before[part]
        told = part[close & sums & (area[part] <= _PART * before[part])]
        # a merge is seen in the frame after
        found.append(
            pd.DataFrame(
                {"track_id": seen["track_id"].to_numpy()[told], "frame": frame + (kind > 0)}
            )
        )
    columns = ["track_id", "frame"]
    rows = pd.concat(found, ignore_index=True) if found else seen[columns][:0]
    return rows.assign(kind=kind)
