"""The page `tables.md` of the site: every table's columns, and where it is stored.

``python docs/make_tables.py`` prints it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml
from pages import prose, table, unit

from cyto_kedro import schemas

CONF = Path(__file__).resolve().parents[1] / "conf" / "base"
TRUTH = ("track_points", "tracks", "contacts", "deaths", "kills")  # made by the simulation
HEADER = ("column", "type", "unit", "empty?", "meaning")

INTRO = """# Tables

Tables are Parquet files, one per partition: `cells` of field `A1`, population `TCell`, frames 0 to 19 is
`<data>/04_feature/cells/A1/TCell/t0000-0019.parquet`; `<data>` is what `globals.yml` says, `data` if you
change nothing. One partition, or the whole folder:

```python
import pandas as pd

pd.read_parquet("data/04_feature/cells/A1/TCell/t0000-0019.parquet")
pd.read_parquet("data/04_feature/cells")
```

After a change of block length, files of the old length stay in the folder, so the second line would read
cells twice. In `kedro ipython` or a notebook, read what is planned:

```python
parts, manifest = catalog.load("cells"), catalog.load("manifest")
cells = pd.concat(parts[each]() for each in manifest.ids(parts.grain))
```

- Pixel and frame columns are always filled. µm, minutes and seconds are empty where calibration is
  unknown.
- Positions are pixel centres: the centre of the top-left pixel is (0, 0), y points down. Frames count
  from 0.
- `time_min` runs from the film's first frame, plus the field's `time_offset_min` in the sample sheet.
- `(fov, population, frame, label)` names a cell in a frame, `(fov, population, track_id)` a cell through
  time. To have condition or replicate beside a row, join `fields` on `fov`.
- Tables are checked as they are saved and loaded.
"""

MORE = """## Tables without a fixed list of columns

| table | where | what |
| --- | --- | --- |
| `sample_sheet` | `<raw>/sample_sheet.csv` | yours: see [your_data.md](your_data.md) |
| `results_csv` | `<data>/08_reporting/results_csv/<fov>.csv` | `results`, lists joined by `;` |
| `summary_by_fov` | `<data>/08_reporting/summary_by_fov.csv` | headline numbers of each field |
| `summary_by_condition` | `<data>/08_reporting/summary_by_condition.csv` | the same by condition |
| `warnings` | `<data>/08_reporting/warnings.csv` | what may spoil the numbers, and in which frames |

In the summaries, counts are of tracks; `kills` are attributed deaths of targets; `effector_hours` is the
number of effectors in view added up over the film's time; `kills_per_effector_per_hour` is their ratio;
`speed_<population>` is a mean over tracks, in `speed_unit`; `contact_median` is the Kaplan-Meier median
duration of contacts of an effector with a target, in `time_unit`. For a condition, counts and hours are
sums over its fields, rates are ratios of the sums, speeds are means of its fields.
"""

# table -> columns that it has besides those of its schema
EXTRA = {
    "network_nodes": "`degree_<population>`: neighbours of each population",
    "clusters": "`n_<population>`: its cells of each population",
    "fields": "the columns of the sample sheet, such as `condition`, `replicate`, `control`",
    "frames": "`exclude_reason`",
    "cells": "`<channel>_sum`, `_mean`, `_median`, `_sd`, `_min`, `_max` of every channel's measurement "
    "image within the mask; and the columns of the [groups of features](features.md) that "
    "`tabulation.features.args.groups` names",
    "cell_columns": "the columns that the steps make ([columns.md](columns.md)); without steps, no rows",
    "steps": "`interpolated`",
    "smoothed_steps": "for each column of `contacts.smoothing.args.columns`: `<column>_smoothed`, "
    "`_gradient_per_frame`, `_gradient_per_min`, `_interpolated`",
    "results": "`contact_cell_id` (list of `population:track_id`) and one signal per channel, "
    "`<channel>_mean`",
}

_SIDES = {
    side: {
        f"population_{side}": f"population of side {side}",
        f"label_{side}": f"label of side {side}",
        f"track_id_{side}": f"track of side {side}",
    }
    for side in "ab"
}
# what a column means where its schema does not say; `table.column` goes before `column`
MEANING = {
    "replicate": "from the sample sheet, or the field",
    "cluster": "what is independent of each other: replicates, or pairs of them",
    "measure": "what the response is",
    "n_fovs": "fields that it is of",
    "event": "contact, death, kill, or one of `events.define`",
    "sum": "of the column over these tracks",
    **{
        f"{number}_{end}": "standard error" if end == "se" else "95 % limit"
        for number in ("ec50", "hill", "at_zero", "at_infinity")
        for end in ("low", "high", "se")
    },
    "fov": "field of view",
    "population": "cells of one kind, as declared in the assay",
    "channel": "channel of the raw film",
    "frame": "number of the frame, from 0",
    "label": "number of the mask in its frame",
    "time_min": "time of the frame",
    "track_id": "number of the track in its field and population",
    "end_reason": "why the track ends: film_end, border (left the view), lost, division, merge",
    "first_frame": "first frame of the track",
    "last_frame": "last frame of the track",
    "n_points": "frames in which the cell was seen",
    **_SIDES["a"],
    **_SIDES["b"],
    "distance_px": "gap between the masks; 0 where they share an edge or overlap",
    "distance_um": "the same",
    "contact_length_px": "outline within reach of the other mask, mean of both sides",
    "contact_length_um": "the same",
    "overlap_px": "pixels in both masks",
    "alive_probability": "0.5 at the threshold, near 1 without death dye",
    # fields, frames, quality
    "n_frames": "length of the film",
    "height_px": "rows of an image",
    "width_px": "columns of an image",
    "pixel_size_um": "side of a pixel",
    "time_s": "time from the film's first frame, plus the field's time offset",
    "excluded": "left out by the sample sheet: the frame holds no cells",
    "mean": "mean of all pixels",
    "sd": "standard deviation of all pixels",
    "min": "smallest pixel",
    "max": "largest pixel",
    "saturated_fraction": "share of pixels at the largest value the file can hold",
    # cells and track points
    "x_px": "centre of the mask, column",
    "y_px": "centre of the mask, row",
    "x_um": "the same",
    "y_um": "the same",
    "bbox_y0_px": "first row of the cell",
    "bbox_x0_px": "first column of the cell",
    "area_px": "pixels of the mask",
    "area_um2": "the same",
    "perimeter_px": "length of the outline",
    "perimeter_um": "the same",
    "major_axis_px": "long axis of the ellipse with the same second moments",
    "minor_axis_px": "short axis of that ellipse",
    "eccentricity": "of that ellipse: 0 a circle, towards 1 a line",
    "orientation_rad": "angle of the long axis from the y axis, as in scikit-image",
    "solidity": "area over the area of the convex hull",
    "feret_px": "largest distance across the mask",
    "track_points.x_px": "centre of the mask, or interpolated, column",
    "track_points.y_px": "centre of the mask, or interpolated, row",
    "track_points.label": "mask that the track has here; empty where interpolated",
    "interpolated": "the cell was not seen here; the position lies between those before and after",
    "parent_track_id": "the track that divided into this one",
    # steps, motility
    "dt_frames_from_previous": "frames since the cell was last seen",
    "dt_from_previous_min": "time since the cell was last seen",
    "displacement_from_previous_px": "distance from where it was last seen",
    "displacement_from_previous_um": "the same",
    "displacement_to_next_px": "distance to where it is seen next",
    "velocity_x_px_per_frame": "displacement from the previous point over the time between, along x",
    "velocity_y_px_per_frame": "along y",
    "velocity_x_um_per_min": "along x",
    "velocity_y_um_per_min": "along y",
    "speed_px_per_frame": "length of the velocity",
    "speed_um_per_min": "the same",
    "turning_angle_rad": "between the step into the point and the step out of it, 0 (straight on) to pi",
    "net_displacement_um": "the same",
    "motility.net_displacement_px": "from the first to the last point",
    "duration_frames": "last frame less first",
    "duration_min": "time between them",
    "path_length_px": "sum of the steps",
    "path_length_um": "the same",
    "mean_speed_px_per_frame": "path over duration",
    "mean_speed_um_per_min": "the same",
    # bouts
    "start_frame": "first frame of contact",
    "end_frame": "last frame of contact",
    "bouts.n_frames": "frames from start to end, bridged gaps included",
    "n_contact_frames": "of these, frames in contact",
    "start_min": "time of the first frame",
    "bouts.duration_min": "from start to end, plus one frame interval",
    "censored_start": "it may have begun earlier: unseen, or before the film",
    "censored_end": "it may have lasted longer",
    # viability, fates, deaths, kills
    "marker_signal": "death marker within the mask",
    "dead": "the signal is above the threshold",
    "dead_at_first_sight": "dead when first seen, so its death was not observed",
    "died": "its death was observed",
    "death_frame": "first frame called dead",
    "entry_min": "time of the first frame seen",
    "deaths.time_min": "time of that frame",
    "target_population": "population of the cell that died",
    "target_track_id": "its track",
    "effector_population": "population of the cell blamed",
    "effector_track_id": "its track",
    "death_min": "time of the death",
    "share": "share of this effector in the death",
    "first_contact_frame": "first frame of contact in the window before death",
    "last_contact_frame": "last one",
    # networks
    "network": "delaunay (neighbours) or contact",
    "n_nodes": "cells",
    "n_edges": "pairs of neighbours, or of cells in contact",
    "n_components": "groups that hang together",
    "largest_component": "cells in the largest group",
    "mean_degree": "mean number of neighbours of a cell",
    "mean_clustering": "mean local clustering coefficient (Watts & Strogatz 1998)",
    "mean_edge_px": "delaunay: distance of the centres; contact: gap between the masks",
    # results
    "id": "number of the mask in its frame (label)",
    "results.track_id": "its track; empty where it has none",
    "x": "centre of the mask, column",
    "y": "centre of the mask, row",
    "z": "0: films are flat",
    "t": "number of the frame, from 0",
    "velocity_x": "from the previous point",
    "velocity_y": "from the previous point",
    "velocity_z": "0, empty where the velocity is unknown",
    "contact": "in contact with any tracked cell",
    "contact_count": "number of cells it is in contact with",
}


def main() -> str:
    """The page."""
    stored = _stored()
    parts = [INTRO]
    for name, schema in schemas.TABLES.items():
        parts += [f"## `{name}`", *prose(schema.__doc__)]
        facts = [*stored[name], f"key: {', '.join(f'`{each}`' for each in schema.key())}"]
        parts.append("\n".join(f"- {each}" for each in facts))
        parts.append(table(HEADER, _rows(name, schema)))
        if name in EXTRA:
            parts.append(f"And {EXTRA[name]}.")
    return "\n\n".join(part.strip() for part in [*parts, MORE]) + "\n"


def _rows(name: str, schema: type[schemas.Table]) -> list[tuple[str, ...]]:
    return [
        (
            f"`{column}`",
            _kind(str(held.dtype)),
            unit(column),
            "may be" if held.nullable else "",
            meaning(name, column, held.description),
        )
        for column, held in schema.to_schema().columns.items()
    ]


def meaning(table_name: str, column: str, described: str | None) -> str:
    """What a column means: the schema's own words, else those of `MEANING`."""
    return described or MEANING.get(f"{table_name}.{column}") or MEANING[column]


def _kind(dtype: str) -> str:
    names = {"int64": "whole number", "Int64": "whole number", "float64": "number"}
    return {**names, "str": "text", "bool": "true or false"}[dtype]


def _stored() -> dict[str, list[str]]:
    """Table -> the datasets that hold it, and the files these write."""
    found: dict[str, list[str]] = {name: [] for name in schemas.TABLES}
    for file in sorted(CONF.glob("catalog*.yml")):
        entries: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        for dataset, entry in entries.items():
            if dataset.startswith("_") or not isinstance(entry, dict) or "validator" not in entry:
                continue
            # an entry of a pattern stands for the tables that the simulation makes
            named = TRUTH if "{table}" in dataset else (entry["validator"]["options"]["table"],)
            for name in named:
                text = f"`{dataset}`: `{_file(entry)}`".replace("{table}", name)
                found[name].append(text)
    # the truth of a simulation comes after what the analysis makes
    return {
        name: sorted(each, key=lambda text: "<simulated>" in text) for name, each in found.items()
    }


def _file(entry: dict[str, Any]) -> str:
    path = str(entry.get("filepath") or entry["path"])
    if "grain" in entry:
        keys = "/".join(f"<{key}>" for key in entry["grain"].split("/"))
        path = f"{path}/{keys}{entry['filename_suffix']}"
    return path.replace("${_data}", "<data>").replace("${_simulated}", "<simulated>")


if __name__ == "__main__":
    sys.stdout.write(main())
