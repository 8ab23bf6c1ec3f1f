"""Which masks and tracks not to trust: flagged fields, frames that jump, and the worst of both."""

from __future__ import annotations

import pandas as pd

from cyto_kedro.algorithms.reporting.film_warnings import COLUMNS

_MANY_JUMPS = 0.1  # share of a film's frames
_WORST = 12  # rows of the report's table
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
            "flagged": "yes" if table["flagged"].any() else "no",
            "worst frame": worst["frame"],
            "its F1": worst["expected_f1"],
            "its weakness": worst["reason"],
            "frames that jump": int(table["jumps"].sum()),
            "links unsure": table["links_unsure"].mean(),
            "areas that jump": table["area_jumps"].mean(),
            "lost a frame": table["lost"].mean(),
        }
        for (fov, population), table in mask_quality.groupby(OF, sort=False)
        for worst in [table.loc[table["expected_f1"].fillna(2).idxmin()]]
    ]
    made = pd.DataFrame(rows)
    return made.sort_values("expected F1", ignore_index=True).head(_WORST) if rows else made
