"""What is left out of learning, to be scored on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from cyto_kedro.errors import ConfigError, unknown


def groups_of(fields: pd.DataFrame, column: str, key: str) -> dict[str, str]:
    """Field -> what it is left out with. Raises ConfigError, with `key`, if there is no such column."""
    if column not in fields.columns:
        raise ConfigError(f"{key}: {unknown('column of the sample sheet', column, fields.columns)}")
    return dict(zip(fields["fov"], fields[column].astype(str), strict=True))


def folds_of(groups: Iterable[str], most: int) -> list[np.ndarray]:
    """Groups that are left out together, in turn; none where all is of one."""
    names = np.array(sorted(set(groups)))
    return np.array_split(names, min(len(names), most)) if len(names) > 1 else []
