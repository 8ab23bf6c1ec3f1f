"""The page `tables.md` of the site: every table's columns, and where it is stored.

``python docs/make_tables.py`` prints it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml
from pages import prose, table

from cyto_kedro import schemas
from cyto_kedro.schemas.words import meaning, unit

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
duration of contacts of an effector with a target, in `time_unit`. For a condition,
`replicates` are independent ones (several wells of one donor are one), counts and hours are
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
