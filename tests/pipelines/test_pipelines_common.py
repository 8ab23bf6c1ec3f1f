"""A field's condition is one text, wherever it is asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro.core.groups import design
from cyto_kedro.pipelines.common import conditions_of


@pytest.mark.parametrize(
    "conditions", [["drug", ""], ["drug", None], [" drug ", "  "], [5.0, np.nan], ["01", "nan"]]
)
def test_the_condition_of_a_field_is_that_of_the_design(conditions: list) -> None:
    fields = pd.DataFrame({"fov": ["A", "B"], "condition": conditions})
    named = design(fields).set_index("fov")["condition"]
    assert conditions_of(fields) == named.to_dict()


@pytest.mark.parametrize("fields", [{}, {"condition": ""}, {"condition": None}])
def test_without_any_condition_the_whole_assay_is_meant(fields: dict) -> None:
    sheet = pd.DataFrame({"fov": ["A", "B"], **fields})
    assert conditions_of(sheet) == {"A": "", "B": ""}
