"""Cells as tables of other programs: spots as Imaris calls them, and FCS of flow cytometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cyto_kedro.export.field import FieldGraph

_IMARIS = {"x_um": "Position X", "y_um": "Position Y", "population": "Collection"}


def write_spots(path: Path, graph: FieldGraph) -> Path:
    """Write a line per spot under Imaris's names: position (µm, else px), Time from 1, TrackID, ID."""
    nodes = graph.nodes
    known = graph.pixel_size_um is not None
    source = nodes.rename(columns={"x_px": "x_um", "y_px": "y_um"}) if not known else nodes
    table = pd.DataFrame({theirs: source[ours] for ours, theirs in _IMARIS.items()})
    table.insert(2, "Position Z", 0.0)
    table.insert(3, "Unit", "um" if known else "px")
    table["Category"] = "Spot"
    table["Time"] = nodes["frame"] + 1
    table["TrackID"] = track_numbers(nodes)
    table["ID"] = nodes.index
    taken = {"frame", "population", "label", "track_id", "x_um", "y_um"}
    rest = nodes[[name for name in nodes.columns if name not in taken]]
    pd.concat([table, rest], axis=1).to_csv(path, index=False)
    return path


def track_numbers(nodes: pd.DataFrame) -> pd.Series:
    """One number per track of a field, from 1000000000 on as Imaris counts them."""
    return 1_000_000_000 + nodes.groupby(["population", "track_id"], sort=True).ngroup()


def write_fcs(path: Path, table: pd.DataFrame) -> Path:
    """Write the numeric columns of `table` as FCS 3.1: an event per row, 32-bit floats, NaN where null.

    By the standard: Spidlen et al. 2010, Cytometry A 77:97, doi:10.1002/cyto.a.20825.
    """
    numbers = table.select_dtypes(["number", "bool"]).astype(float)
    values = np.ascontiguousarray(numbers.to_numpy("<f4"))
    finite = np.where(np.isfinite(values), values, 0)
    keywords = {
        "$BYTEORD": "1,2,3,4",
        "$DATATYPE": "F",
        "$MODE": "L",
        "$NEXTDATA": "0",
        "$PAR": str(len(numbers.columns)),
        "$TOT": str(len(numbers)),
        **dict.fromkeys(("$BEGINANALYSIS", "$ENDANALYSIS", "$BEGINSTEXT", "$ENDSTEXT"), "0"),
    }
    for i, name in enumerate(numbers.columns, 1):
        top = float(finite[:, i - 1].max()) if len(finite) else 0.0
        span = max(1, int(np.ceil(top)) + 1)
        keywords |= {f"$P{i}N": str(name), f"$P{i}B": "32", f"$P{i}E": "0,0", f"$P{i}R": str(span)}
    data = values.tobytes()
    start = 58
    text = ""
    begin, end = 0, 0
    for _ in range(4):  # the offsets stand in the text whose length they depend on
        more = {"$BEGINDATA": str(begin), "$ENDDATA": str(end)}
        text = "|" + "".join(
            f"{k}|{v.replace('|', '||')}|" for k, v in {**keywords, **more}.items()
        )
        begin = start + len(text.encode())
        end = begin + len(data) - 1
    places = [start, begin - 1, begin, end, 0, 0]
    header = "FCS3.1    " + "".join(f"{p if p < 10**8 else 0:>8}" for p in places)
    path.write_bytes(header.encode("ascii") + text.encode() + data)
    return path
