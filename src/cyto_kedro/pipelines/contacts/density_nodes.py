"""Nodes of what is counted per frame and area: density of cells, cell death index."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.images import Image
from cyto_kedro.parameters import ContactsSpec
from cyto_kedro.pipelines.common import CELL, Group, context, join

log = logging.getLogger(__name__)


def map_density(
    group: Group,
    cells: Mapping[Any, pd.DataFrame],
    manifest: Manifest,
    density: ContactsSpec,
) -> tuple[dict[str, Image], pd.DataFrame]:
    """Density maps of one field's populations, and `schemas.CellDensity`."""
    where = context(group, manifest)
    narrow = [table[[*CELL, "x_px", "y_px"]] for table in cells.values()]
    algorithm: Any = density.make()
    found = algorithm(
        {
            **where,
            "cells": join(narrow, schemas.Cells),
            "populations": manifest.populations,
        }
    )
    for name in found["at_limit"]:
        log.warning(
            "field %s, %s: the likelihood of the density's bandwidth has no peak within the field "
            "(cells lie on each other, are few, or spread evenly): give contacts.density.args."
            "bandwidth_um if the maps are to be read",
            group["fov"],
            name,
        )
    rows, columns = algorithm.boxes(where["shape"], where["pixel_size_um"])
    sides = where["shape"][0] / rows, where["shape"][1] / columns
    size = where["pixel_size_um"]
    # a file holds one pixel size, so boxes that are not square get none
    side = size * sides[0] if size is not None and sides[0] == sides[1] else None
    return {name: Image(each, side) for name, each in found["image"].items()}, found["cell_density"]
