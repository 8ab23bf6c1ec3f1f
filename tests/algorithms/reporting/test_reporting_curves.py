"""Curves end where too few are watched; cells, not pieces of tracks, are counted."""

from __future__ import annotations

import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.curves import draw_curves
from cyto_kedro.algorithms.reporting.killing_figures import of_cells
from cyto_kedro.algorithms.reporting.quality_figures import draw_quality


def rows(leave: list[float], event: bool = True, **more: object) -> pd.DataFrame:
    """Cells of one replicate watched from 0 on."""
    table = pd.DataFrame({"leave": leave, "entry": 0.0, "event": event, "condition": "drug"})
    return table.assign(**{"replicate": "D1", **more})


def drawn(table: pd.DataFrame) -> list:
    lines = draw_curves(table, None, "time (min)", "alive (%)", "Survival", "died", "min").axes[0]
    return lines.get_lines()


def test_a_curve_ends_with_the_third_last_cell() -> None:
    (line,) = drawn(rows([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert line.get_xdata().tolist() == [0, 1, 2, 3, 3]
    assert line.get_ydata() == pytest.approx([100, 80, 60, 40, 40])
    (line,) = drawn(rows([9.0, 8.0, 7.0, 2.0], event=False))
    assert line.get_xdata()[-1] == 7.0 and set(line.get_ydata()) == {100.0}


def test_two_cells_are_no_curve_but_are_counted() -> None:
    (line,) = drawn(rows([1.0, 2.0]))
    assert len(line.get_xdata()) == 0 and "n = 2, 2 died" in line.get_label()


def test_a_median_of_a_day_is_said_in_full() -> None:
    (line,) = drawn(rows([600.0, 1440.0, 1900.0]))
    assert "median 1440 min" in line.get_label()


def test_pieces_of_one_cell_count_once() -> None:
    cells = {"fov": "A1", "population": "T", "cell_id": [1, 2, 3, 3]}
    (line,) = drawn(rows([5.0, 5.0, 2.0, 5.0], event=False).assign(**cells))
    assert "(n = 3, 0 died; 1 replicate)" in line.get_label()


def test_victims_of_a_broken_track_are_one_effectors() -> None:
    fates = {
        "fov": "A1",
        "population": "T",
        "track_id": [1, 2, 3],
        "past_track_id": [None, 1, None],
    }
    effectors = pd.DataFrame(
        {"fov": "A1", "population": "T", "track_id": [1, 2, 3], "n_victims": 1}
    )
    found = of_cells(effectors, schemas.filled(schemas.Fates, fates))
    assert found[["track_id", "n_victims"]].to_numpy().tolist() == [[1, 2], [3, 1]]


@pytest.mark.parametrize("n", [3, 12])
def test_lines_of_quality_have_a_legend_however_many_fields(n: int) -> None:
    fovs = [f"F{i:02d}" for i in range(n)]
    each = [{"fov": fov, "channel": "T", "frame": range(3), "mean": [2090.0, 8, 7]} for fov in fovs]
    quality = pd.concat([schemas.filled(schemas.Quality, one) for one in each])
    sheet = pd.DataFrame(
        {"fov": fovs, "condition": ["drug", "none"] * (n // 2) + ["drug"] * (n % 2)}
    )
    fig = draw_quality(quality, sheet.assign(replicate=fovs))
    names = [text.get_text() for text in fig.legends[0].get_texts()]
    assert names == (fovs if n == 3 else ["drug", "none"])
    lines = [line for line in fig.axes[0].get_lines() if len(line.get_xdata())]
    assert len({line.get_color() for line in lines}) == len(names) and len(lines) == n
    assert [line.get_gid().split(":")[1] for line in lines] == fovs
    assert all(line.get_gid().endswith(" 7 to 2090") for line in lines)
