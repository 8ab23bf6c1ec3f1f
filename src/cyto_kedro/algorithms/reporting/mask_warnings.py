"""Which masks and tracks not to trust: flagged fields, frames that jump, cells of unclear width."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.reporting.film_warnings import COLUMNS

_TRUSTED = (
    0.9  # expected F1, from which no field whose truth is known was under 0.7 (docs/quality.md)
)
_MANY_JUMPS = 0.1  # share of a film's frames
_WORST = 12  # rows of the report's table
_APART = 1.5  # fields further apart, as a factor, disagree
_SURE_FIELDS = 3  # at least, that tell how wide the cells of an assay are
OF = ["fov", "population"]


def mask_warnings(mask_quality: pd.DataFrame) -> pd.DataFrame:
    """A row for every field and population whose masks are flagged, or jump: as `quality_warnings`.

    `mask_quality`: `schemas.MaskQuality`.
    """
    rows = []
    for (fov, population), table in mask_quality.groupby(OF, sort=False):
        if table["flagged"].any():
            low = table[table["expected_f1"] < table["field_f1"].iloc[0]]
            worst = table.loc[table["expected_f1"].idxmin()]
            rows.append(
                {
                    "fov": fov,
                    "channel": "",
                    "what": f"masks of {population} are not to be trusted: expected F1 "
                    f"{worst['field_f1']:.2f}, {worst['reason']}; worst in frame {worst['frame']}",
                    "n_frames": len(table),
                    "first_frame": int((low if len(low) else table)["frame"].min()),
                }
            )
        jumps = table[table["jumps"]]
        if len(jumps) > _MANY_JUMPS * len(table):
            rows.append(
                {
                    "fov": fov,
                    "channel": "",
                    "what": f"cells of {population} jump (numbers, sizes, or tracks that end in view): "
                    "tracks, contacts and deaths around these frames are doubtful",
                    "n_frames": len(jumps),
                    "first_frame": int(jumps["frame"].min()),
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def worst_masks(mask_quality: pd.DataFrame) -> pd.DataFrame:
    """Fields and populations, the least trusted first, each with its worst frame: for the report."""
    rows = [
        {
            "field": fov,
            "population": population,
            "expected F1": table["field_f1"].iloc[0],
            "verdict": _verdict(table),
            "worst frame": worst["frame"],
            "its F1": worst["expected_f1"],
            "its weakness": worst["reason"],
            "frames that jump": int(table["jumps"].sum()),
            "links unsure": table["links_unsure"].mean(),
            "areas that jump": table["area_jumps"].mean(),
            "split and merged": table["split_merged"].mean() if "split_merged" in table else None,
            "lost a frame": table["lost"].mean(),
        }
        for (fov, population), table in mask_quality.groupby(OF, sort=False)
        for worst in [table.loc[table["expected_f1"].fillna(2).idxmin()]]
    ]
    made = pd.DataFrame(rows)
    return made.sort_values("expected F1", ignore_index=True).head(_WORST) if rows else made


def _verdict(table: pd.DataFrame) -> str:
    """Of a field and population: flagged, to be looked at, or trusted; empty where nothing is there."""
    if table["flagged"].any():
        return "flagged"
    f1 = float(table["field_f1"].iloc[0])
    return "" if np.isnan(f1) else "trusted" if f1 >= _TRUSTED else "look at it"


def size_warnings(cell_sizes: pd.DataFrame) -> pd.DataFrame:
    """A row for every field and population whose cells are of unclear width: as `quality_warnings`.

    Where three or more fields are sure of theirs and four of five of them lie within a factor 1.5 of
    their median, that is told beside, and a sure field beyond the factor is named. Each field is
    segmented with its own all the same: so none can change another.

    Parameters
    ----------
    cell_sizes
        `schemas.CellSizes`.
    """
    rows = []
    for population, table in cell_sizes[cell_sizes["source"] == "film"].groupby("population"):
        unit = "um" if table["diameter_um"].notna().all() else "px"
        width = table[f"diameter_{unit}"]
        sure = table["doubt"] == ""
        common = float(width[sure].median()) if sure.sum() >= _SURE_FIELDS else np.nan
        away = np.maximum(width / common, common / width) > _APART
        if away[sure].mean() > 0.2:
            common = np.nan
        told = f"; {int(sure.sum())} fields that are clear have {common:.3g} {unit}"
        for odd, row in zip(away & sure, table.to_dict("records"), strict=True):
            if not (row["doubt"] or (odd and common > 0)):
                continue
            said = row["doubt"] or f"{row['diameter_px']:.0f} px was measured"
            rows.append(
                {
                    "fov": row["fov"],
                    "channel": "",
                    "what": f"it is not clear how wide cells of {population} are: {said}"
                    f"{told if common > 0 else ''}. Look at the masks, or give diameter_{unit}",
                    "n_frames": row["n_frames"],
                    "first_frame": 0,
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def cell_widths(cell_sizes: pd.DataFrame) -> pd.DataFrame:
    """How wide the cells of each population are taken to be, and how sure that is: for the report."""
    rows = []
    for population, table in cell_sizes.groupby("population", sort=False):
        film = table[table["source"] == "film"]
        row: dict[str, object] = {"population": population}
        for unit in ("px", "um"):
            width = table[f"diameter_{unit}"].dropna()
            low, middle, high = width.quantile((0, 0.5, 1)) if len(width) else [np.nan] * 3
            spread = "" if low == high else f" ({low:.3g} to {high:.3g})"
            row[f"width, {unit}".replace("um", "µm")] = (
                f"{middle:.3g}{spread}" if len(width) else ""
            )
        counts = table["source"].value_counts()
        row["given in"] = int(counts.get("given", 0) + counts.get("engine", 0))
        row["measured in"] = len(film)
        row["ways agree in"] = int((film["doubt"] == "").sum())
        row["no cells seen in"] = int(counts.get("none", 0))
        rows.append(row)
    return pd.DataFrame(rows)
