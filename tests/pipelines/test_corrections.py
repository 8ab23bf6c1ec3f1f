"""A correction takes the place of one partition, and must be of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cyto_kedro.cli import keep
from cyto_kedro.errors import InputError
from tiny_project import Project


@pytest.mark.parametrize(
    ("column", "value"),
    [("fov", "treated_1"), ("population", "CancerCell"), ("frame", 8)],
)
def test_a_table_of_another_group(project: Project, column: str, value: Any) -> None:
    catalog, name = project.catalog, "control_1/TCell/t0000-0006"
    table: pd.DataFrame = catalog.get("cells").load_one(name)
    other = table.assign(**{column: value})
    with pytest.raises(InputError, match=f"{value}.*cells {name}"):
        keep(catalog, "cells", name, other, Path("mine.parquet"), "me", "to test")
    keep(catalog, "cells", name, table, Path("mine.parquet"), "me", "to test")
