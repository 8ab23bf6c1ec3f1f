"""Cells are found by their key as a dictionary finds them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cyto_kedro.core.keys import MISSING, rows_in_frame, rows_of


def cells(rng: np.random.Generator, n: int, columns: list[str]) -> pd.DataFrame:
    """`n` rows in no order, without repeats."""
    drawn = {name: rng.integers(0, 9, 4 * n) for name in columns}
    drawn["population"] = rng.choice(["T", "NK", "B"], 4 * n)
    return pd.DataFrame(drawn).drop_duplicates(ignore_index=True)[:n]


def test_rows_are_those_of_a_dictionary() -> None:
    rng = np.random.default_rng(0)
    for n in (0, 1, 40):
        table = cells(rng, n, ["frame", "label"]).astype({"label": "Int64"})
        wanted = cells(rng, 60, ["frame", "label"]).replace({"population": {"B": "mast"}})
        of = dict(zip(table[["population", "frame", "label"]].itertuples(False, None), range(n),
                      strict=True))  # fmt: skip
        right = [
            of.get(k, MISSING)
            for k in wanted[["population", "frame", "label"]].itertuples(False, None)
        ]
        assert rows_in_frame(table, wanted, "label").tolist() == right
        sided = wanted.rename(columns={"population": "population_b", "label": "label_b"})
        assert rows_in_frame(table, sided, "label", "_b").tolist() == right
        assert n < 40 or 0 < np.count_nonzero(np.array(right) != MISSING) < 60


def test_tracks_are_found_whatever_their_order() -> None:
    rng = np.random.default_rng(1)
    table, wanted = (cells(rng, 15, ["track_id"]) for _ in range(2))
    of = dict(
        zip(table[["population", "track_id"]].itertuples(False, None), range(15), strict=True)
    )
    asked = wanted[["population", "track_id"]].itertuples(False, None)
    found = rows_of(table, wanted["population"], wanted["track_id"])
    assert found.tolist() == [of.get(key, MISSING) for key in asked]
    assert MISSING in found and (found != MISSING).any()
