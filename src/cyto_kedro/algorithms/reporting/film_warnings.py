"""What to beware of in the films: told first in the report, since every number stands on them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cyto_kedro.core.groups import any_known
from cyto_kedro.core.units import three_digits
from cyto_kedro.schemas import TABLES, empty

FILM = ["fov", "channel"]
COLUMNS = ["fov", "channel", "what", "n_frames", "first_frame"]
SATURATED = 0.001  # a frame with a larger share of saturated pixels is reported
# and one whose focus (or mean) differs more from the median of the frames around it
FOCUS_RATIO, INTENSITY_RATIO, WINDOW = 2.0, 1.3, 9
# and a field whose grey levels (median over frames of their mean) differ more from all fields' median
FIELD_RATIO = 4.0
# levels at which cameras of fewer bits saturate in images of 16, filled up at either end
CAMERA_LEVELS = {2**n - 1 for n in range(8, 16)} | {(2**n - 1) << (16 - n) for n in range(8, 16)}


def quality_warnings(data: Mapping[str, object]) -> pd.DataFrame:
    """What may spoil the numbers: one row per (fov, channel, what) with how often and where.

    Parameters
    ----------
    data
        ``fields``, ``frames``, ``quality``. Excluded frames are counted, and take no part otherwise.

    Returns
    -------
    pandas.DataFrame
        Columns fov, channel (empty for the whole field), what, n_frames, first_frame.
    """
    fields, frames = _table(data, "fields"), _table(data, "frames")
    left_out = frames.loc[frames["excluded"].astype(bool), ["fov", "frame"]].assign(_out=True)
    quality = _table(data, "quality").merge(left_out, on=["fov", "frame"], how="left")
    quality = quality[quality["_out"].isna()].drop(columns="_out")
    quality = quality.sort_values([*FILM, "frame"], ignore_index=True)
    by = quality.groupby(FILM, sort=False)

    def jumps(name: str, ratio: float) -> pd.Series:
        middle = by[name].rolling(WINDOW, center=True, min_periods=1).median()
        usual = pd.Series(middle.to_numpy(), quality.index)  # rows are in the order of `FILM`
        usable = (usual > 0) & (quality[name] > 0)
        share = quality[name].where(usable, 1.0) / usual.where(usable, 1.0)
        return (share > ratio) | (share < 1 / ratio) | ((usual > 0) & (quality[name] <= 0))

    lost = fields[fields["pixel_size_um"].isna()]
    even = quality["max"] == quality["min"]
    blank = even.groupby([quality[name] for name in FILM]).transform("all")
    dark = _dark(quality) & ~blank
    early = _before_light(quality, dark)
    checks = {
        f"more than {SATURATED:.1%} of pixels saturated: intensities are cut off": quality[
            quality["saturated_fraction"] > SATURATED
        ],
        f"more than {SATURATED:.1%} of pixels at the camera's highest level, which is below the "
        "file's: intensities are cut off": quality[_piled_up(quality, SATURATED)],
        f"focus differs more than {FOCUS_RATIO:g}-fold from its neighbours": quality[
            jumps("focus", FOCUS_RATIO)
        ],
        f"mean intensity differs more than {INTENSITY_RATIO:g}-fold from its neighbours": quality[
            jumps("mean", INTENSITY_RATIO)
        ],
        "black frames: no light, a closed shutter, or frames lost in copying": quality[
            dark & ~early
        ],
        "black frames at the start: nothing there yet (a death marker before the first death), or a "
        "closed shutter": quality[dark & early],
        "every frame is of one value: nothing was filmed in this channel": quality[blank],
        "frame stored twice (the same pixels as the frame before, in all channels): its cells do "
        "not move": _repeated(quality[~even]),
        f"grey levels differ more than {FIELD_RATIO:g}-fold from those of the other fields": quality[
            _off_scale(quality[~dark], FIELD_RATIO).reindex(quality.index, fill_value=False)
        ],
        "part of the image was never filmed (a margin of one value): left out of thresholds": quality[
            quality["filmed_fraction"] < 1
        ]
        if "filmed_fraction" in quality
        else quality[:0],
        **_shorter(frames),
        "frames excluded by the sample sheet": frames[frames["excluded"]],
        f"frame times unknown: {_left_out(frames['time_s'], 'durations are in frames')}": frames[
            frames["time_s"].isna()
        ],
        f"pixel size unknown: {_left_out(fields['pixel_size_um'], 'lengths are in pixels')}": frames[
            frames["fov"].isin(lost["fov"])
        ],
    }
    found = [_found(rows, what) for what, rows in checks.items() if len(rows)]
    found += _remarks(fields, frames)
    if not found:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(found).sort_values(FILM, kind="stable", ignore_index=True)


def _shorter(frames: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Last frames of films that end before others: what was counted in less time is less."""
    frames = frames.reset_index(drop=True)
    timed = any_known(frames["time_s"])
    time, unit = (
        (frames["time_s"] / 60, "min") if timed else (frames["frame"].astype(float), "frames")
    )
    by = time.groupby(frames["fov"])
    last = by.transform("max")
    length = last - by.transform("min")
    most = float(length.max())
    # a jitter of times is no difference of length
    rows = frames[(length < 0.95 * most) & (time == last)]
    text = length[rows.index].map(
        lambda each: (
            f"film of {three_digits(each)} {unit}, others of up to {three_digits(most)}: it had less "
            "time for deaths, so counts are not alike; curves and tests go as far as all films do"
        )
    )
    return {str(words): part for words, part in rows.groupby(text, sort=False)}


def _left_out(values: pd.Series, otherwise: str) -> str:
    """What becomes of a field without them, beside others that have them."""
    return "left out where others have them" if any_known(values) else otherwise


def _table(data: Mapping[str, object], name: str) -> pd.DataFrame:
    found = data.get(name)
    return found if isinstance(found, pd.DataFrame) else empty(TABLES[name])


def _dark(quality: pd.DataFrame) -> pd.Series:
    """Frames without light, beside the film's bright ones: bleaching is slower, or leaves structure."""
    bright = quality.groupby(FILM)[["mean", "sd"]].quantile(0.9)
    top = bright.reindex(pd.MultiIndex.from_frame(quality[FILM])).set_axis(quality.index)
    flat = (quality["sd"] < 0.1 * top["sd"]) & (quality["mean"] < top["mean"])
    return (quality["max"] == quality["min"]) | (quality["mean"] <= 0.1 * top["mean"]) | flat


def _before_light(quality: pd.DataFrame, dark: pd.Series) -> pd.Series:
    """Frames before the first that is not `dark`, as light as the darkest pixel of the later ones.

    A shutter that opens on a film with background light leaves them darker than that.
    """
    film = [quality[name] for name in FILM]
    begun = (~dark).groupby(film).cummax().astype(bool)
    darkest = quality["min"].where(~dark).groupby(film).transform("min")
    return ~begun & (quality["mean"] >= darkest)


def _piled_up(quality: pd.DataFrame, share: float) -> pd.Series:
    """Frames with many pixels at the film's maximum, where a camera of fewer bits has its own."""
    if "share_at_max" not in quality:
        return pd.Series(False, quality.index)
    top = quality.groupby(FILM, sort=False)["max"].transform("max")
    at_top = (quality["max"] == top) & top.isin(CAMERA_LEVELS) & (quality["min"] < top)
    return at_top & (quality["share_at_max"] > share) & ~(quality["saturated_fraction"] > share)


def _repeated(quality: pd.DataFrame) -> pd.DataFrame:
    """Frames that are the frame before them in every channel that shows anything."""
    if "repeats_previous" not in quality or not len(quality):
        return quality[:0]
    same: pd.Series = quality.groupby(["fov", "frame"])["repeats_previous"].all()
    return same[same.astype(bool)].reset_index()


def _off_scale(quality: pd.DataFrame, ratio: float) -> pd.Series:
    """Rows of fields whose channel is brighter or darker than that of the others."""
    by = quality.groupby(FILM, sort=False)["mean"]
    level = by.transform("median")
    middle = by.median().groupby("channel").median().reindex(quality["channel"]).to_numpy()
    share: pd.Series = level / np.where(middle > 0, middle, np.nan)
    return (share > ratio) | (share < 1 / ratio)


def _remarks(fields: pd.DataFrame, frames: pd.DataFrame) -> list[pd.DataFrame]:
    """What ingestion found, a row for each sentence."""
    if "remarks" not in fields:
        return []
    count = frames.groupby("fov")["frame"].count()
    rows = [
        {
            "fov": fov,
            "channel": "",
            "what": line,
            "n_frames": int(count.get(fov, 0)),
            "first_frame": 0,
        }
        for fov, text in zip(fields["fov"], fields["remarks"].fillna(""), strict=True)
        for line in str(text).splitlines()
        if not line.startswith(("pixel size unknown", "frame times unknown"))  # said above
    ]
    return [pd.DataFrame(rows, columns=COLUMNS)] if rows else []


def _found(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    if "channel" not in rows.columns:
        rows = rows.assign(channel="")
    by = rows.groupby(["fov", "channel"], sort=False)["frame"].agg(["size", "min"]).reset_index()
    by = by.rename(columns={"size": "n_frames", "min": "first_frame"}).assign(what=what)
    return by[["fov", "channel", "what", "n_frames", "first_frame"]]
