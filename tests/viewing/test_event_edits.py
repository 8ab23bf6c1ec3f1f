"""Words on events as rows that the steps take, without a viewer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.errors import InputError
from cyto_kedro.viewing import event_edits

ROLES = {"N": "effector", "T": "target"}


def points(population: str, x: float) -> pd.DataFrame:
    """Track 1 in frames 0 to 5, not seen in 3."""
    rows = {"population": population, "track_id": 1, "frame": np.arange(6), "x_px": x, "y_px": 5.0}
    table = schemas.filled(schemas.TrackPoints, {**rows, "label": 1, "fov": "A"})
    table.loc[3, "label"] = pd.NA
    return table


POINTS = {"N": points("N", 10.0), "T": points("T", 20.0)}
N, T = ("N", 1), ("T", 1)


def word(event: str, happened: bool, frame: int, *cells: tuple[str, int]) -> dict[str, object]:
    return event_edits.row(event, happened, frame, POINTS, cells)


def test_a_word_names_places() -> None:
    made = event_edits.with_words(None, [word("kill", True, 4, T, N)], POINTS)
    schemas.check(schemas.EventCorrections, made)
    row = made.iloc[0]
    assert (row["population"], row["x_px"], row["other_population"], row["other_x_px"]) == (
        *("T", 20.0),
        *("N", 10.0),
    )
    with pytest.raises(InputError, match="has no point in frame 3"):
        word("death", True, 3, T)
    with pytest.raises(InputError, match="cannot contact itself"):
        word("contact", True, 4, T, T)


def test_one_word_on_a_death_and_the_last_on_a_pair() -> None:
    made = event_edits.with_words(None, [word("death", True, 4, T)], POINTS)
    made = event_edits.with_words(made, [word("kill", True, 4, T, N)], POINTS)
    made = event_edits.with_words(made, [word("death", False, 2, T)], POINTS)
    assert made["event"].tolist() == ["kill", "death"] and made["frame"].tolist() == [4, 2]
    made = event_edits.with_words(made, [word("kill", False, 4, T, N)], POINTS)
    assert made["happened"].tolist() == [False, False] and made["event"].tolist()[1] == "kill"
    old = made[made["event"] == "death"].iloc[:, :7]  # as tables were before pairs could be told
    assert "other_population" not in old
    both = event_edits.with_words(old, [word("contact", True, 1, T, N)], POINTS)
    schemas.check(schemas.EventCorrections, both)
    assert both["event"].tolist() == ["death", "contact"]


def test_who_dies_and_who_kills() -> None:
    died = schemas.filled(schemas.Deaths, {"population": ["T"], "track_id": 2, "body_track_id": 1})
    of = POINTS.__getitem__
    assert event_edits.dies(T, died, None, of) and not event_edits.dies(N, died, None, of)
    said = event_edits.with_words(None, [word("death", False, 2, T)], POINTS)
    assert not event_edits.dies(T, died, said, of) and not event_edits.dies(T, None, None, of)
    assert event_edits.target_first(N, T, ROLES) == event_edits.target_first(T, N, ROLES) == (T, N)
    with pytest.raises(InputError, match="T and T are target and target"):
        event_edits.target_first(T, ("T", 2), ROLES)
