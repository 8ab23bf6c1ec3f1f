"""Hold the results of one run against another's, value by value.

``python benchmarks/equal_results.py BEFORE AFTER`` where both are data folders (such as `data` of two
checkouts, or `data/adcc`). Tables are compared by column over the
rows of each file, images and masks by pixel. Prints a
line per dataset and what differs in it; ends with 1 if a value differs or a file is missing, with 0
where only columns or datasets were added.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

KINDS = (".parquet", ".csv", ".tif")
# times, hashes and the run's own name
PASSING = {"run_id", "saved_at"}


def results(folder: Path) -> dict[str, Path]:
    """Every table and image below `folder` by its path, raw films and nested assays left out."""
    found = (each for each in sorted(folder.rglob("*")) if each.suffix in KINDS)
    named = {str(each.relative_to(folder)): each for each in found}
    return {name: path for name, path in named.items() if name[:2].isdigit() and name[:2] != "01"}


def read(path: Path) -> pd.DataFrame:
    """A table, or an image as one column."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix == ".csv":
        return pd.read_csv(path)
    return pd.DataFrame({"pixels": np.asarray(tifffile.imread(path)).ravel()})


def differences(before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    """What differs in the columns that both have."""
    if len(before) != len(after):
        return [f"{len(before)} rows, now {len(after)}"]
    told = []
    for name in before.columns.intersection(after.columns).difference(list(PASSING)):
        old, new = (_plain(table[name].reset_index(drop=True)) for table in (before, after))
        same = (old == new).fillna(False).to_numpy(bool) | (old.isna() & new.isna()).to_numpy()
        if not same.all():
            row = int(np.argmin(same))
            text = f"{name}: {int((~same).sum())} of {len(same)} differ, first {old[row]} -> {new[row]}"
            if pd.api.types.is_numeric_dtype(old) and pd.api.types.is_numeric_dtype(new):
                gap = (old.astype(float) - new.astype(float)).abs().max()
                text += f", at most by {gap:.3g}"
            told.append(text)
    return told


def _plain(column: pd.Series) -> pd.Series:
    """A column of lists by their text; any other as it is."""
    nested = column.dtype == object and column.map(lambda v: isinstance(v, np.ndarray | list)).any()
    return column.map(repr) if nested else column


def main() -> int:
    """Compare the two folders of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--only", default="", help="datasets whose path starts with this")
    asked = parser.parse_args()
    old, new = results(asked.before), results(asked.after)
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    notes: dict[str, list[str]] = defaultdict(list)
    for name in sorted({*old, *new}):
        if not name.startswith(asked.only):
            continue
        dataset = "/".join(name.split("/")[:2])
        if name not in new or name not in old:
            counts[dataset][2 if name not in new else 3] += 1
            continue
        before, after = read(old[name]), read(new[name])
        told = differences(before, after)
        counts[dataset][1 if told else 0] += 1
        notes[dataset] += [f"{name}: {each}" for each in told]
        for columns, what in (
            (after.columns.difference(before.columns), "new columns"),
            (before.columns.difference(after.columns), "columns gone"),
        ):
            text = f"{what}: {', '.join(columns)}"
            if len(columns) and text not in notes[dataset]:
                notes[dataset].append(text)
    for dataset, (equal, differ, gone, added) in counts.items():
        print(f"{dataset}: {equal} equal, {differ} differ, {gone} gone, {added} new")
        for each in notes[dataset][:12]:
            print(f"    {each}")
    total = np.sum(list(counts.values()), axis=0) if counts else np.zeros(4, int)
    print("files: {} equal, {} differ, {} gone, {} new".format(*total))
    return int(total[1] + total[2] > 0)


if __name__ == "__main__":
    sys.exit(main())
