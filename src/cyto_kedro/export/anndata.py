"""Cells as AnnData, for scanpy and squidpy: an observation per cell and frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy

from cyto_kedro.errors import InputError
from cyto_kedro.export.field import FieldGraph

_OBS = ("population", "track_id", "frame", "label", "time_min")
_PLACES = {"x_px", "y_px", "x_um", "y_um"}


def as_anndata(graph: FieldGraph) -> Any:
    """The cells of a field that were seen; interpolated points have no features and are left out.

    ``X`` holds the numeric features, ``obs`` who and when and all that is no number, ``obsm['spatial']``
    x and y (µm where calibrated, else px), ``obsp['contact']`` which cells touch (symmetric) and
    ``obsp['track']`` a cell's next frame (row to column).

    Raises InputError if anndata is not installed.
    """
    try:
        import anndata
    except ImportError as error:
        raise InputError(
            'AnnData is written by an extra library: pip install "cyto_kedro[anndata]"'
        ) from error

    seen = graph.nodes[graph.nodes["label"].notna()]
    number = pd.Series(np.arange(len(seen)), index=seen.index)
    known = graph.pixel_size_um is not None
    names = [name for name in seen.columns if name not in (*_OBS, *_PLACES)]
    numeric = [name for name in names if pd.api.types.is_numeric_dtype(seen[name])]
    numeric = [name for name in numeric if not pd.api.types.is_bool_dtype(seen[name])]
    obs = seen[[n for n in (*_OBS, *names) if n in seen and n not in numeric]].copy()
    obs["label"] = obs["label"].astype("int64")
    for name in obs.columns:
        if obs[name].dtype == object:
            obs[name] = obs[name].astype("category")
    keys = seen[["population", "frame", "label"]].astype(str)
    obs.index = pd.Index(keys.agg("/".join, axis=1))
    made = anndata.AnnData(
        X=seen[numeric].to_numpy(float, na_value=np.nan),
        obs=obs,
        var=pd.DataFrame(index=pd.Index(numeric)),
    )
    places = ["x_um", "y_um"] if known else ["x_px", "y_px"]
    made.obsm["spatial"] = seen[places].to_numpy(float)
    for kind in ("track", "contact"):
        pairs = graph.edges[graph.edges["kind"] == kind]
        ends = [number.reindex(pairs[side]).to_numpy() for side in ("source", "target")]
        there = ~(np.isnan(ends[0]) | np.isnan(ends[1]))
        rows, columns = (end[there].astype(int) for end in ends)
        shape = (len(seen), len(seen))
        joined = scipy.sparse.csr_array((np.ones(len(rows), bool), (rows, columns)), shape)
        made.obsp[kind] = scipy.sparse.csr_matrix(
            joined + joined.T if kind == "contact" else joined
        )
    made.uns["field"] = {
        "fov": graph.fov,
        "spatial_unit": "µm" if known else "px",
        **({} if graph.pixel_size_um is None else {"pixel_size_um": graph.pixel_size_um}),
        **({} if graph.frame_interval_s is None else {"frame_interval_s": graph.frame_interval_s}),
    }
    return made


def write_anndata(path: Path, graph: FieldGraph) -> None:
    """Write `as_anndata` as an ``.h5ad`` file."""
    as_anndata(graph).write_h5ad(path)
