"""What lies at exactly a limit: density, neighbours, conjugation follow their docstrings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.conjugation import Conjugation
from cyto_kedro.algorithms.contacts.density import DensityMaps
from cyto_kedro.algorithms.contacts.neighbours import Neighbours, inside_share
from cyto_kedro.errors import InputError

ROLES = {"N": "effector", "T": "target"}
NO_CONTACTS = schemas.empty(schemas.Contacts)


def points(x: list[float], population: str = "T") -> pd.DataFrame:
    rows = {"population": population, "track_id": np.arange(len(x)) + 1, "label": 1}
    return schemas.filled(schemas.TrackPoints, rows | {"x_px": x, "y_px": 50.0})


@pytest.mark.parametrize("pixel", [0.5, 0.325, 0.1, 1 / 3, 0.6459])
def test_a_neighbour_at_exactly_the_radius_is_within_it(pixel: float) -> None:
    """`at most radius_um away`, at pixel sizes that divide it and that do not."""
    reach = 30.0 / pixel
    table = points([400.0, 400.0 + reach, 400.0 - reach - 1e-6])
    found = Neighbours(radius_um=30.0)(
        track_points=table, contacts=NO_CONTACTS, populations=ROLES, shape=(900, 900),
        pixel_size_um=pixel,
    )["neighbours"]  # fmt: skip
    near = found[found["neighbour_population"] == "T"].set_index("track_id")["n_within_radius"]
    assert near.to_dict() == {1: 1, 2: 1, 3: 0}


def test_a_disk_that_just_touches_the_border_is_whole_and_one_on_it_is_halved() -> None:
    xy = np.array([[9.5, 50.0], [-0.5, 50.0], [-0.5, -0.5], [89.5, 50.0]])
    assert inside_share(xy, 10.0, (100, 100)) == pytest.approx([1, 0.5, 0.25, 1], abs=1e-12)


def test_two_nearest_cells_at_one_distance_are_told_in_any_order_of_rows() -> None:
    table = points([50.0, 47.0, 53.0])
    rows = [
        Neighbours()(track_points=each, contacts=NO_CONTACTS, populations=ROLES, shape=(100, 100))[
            "neighbours"
        ].query("track_id == 1 and neighbour_population == 'T'")
        for each in (table, table[::-1], table.sample(frac=1, random_state=1))
    ]
    assert {float(row["nearest_distance_px"].iloc[0]) for row in rows} == {3.0}
    assert len({int(row["nearest_track_id"].iloc[0]) for row in rows}) == 1


def test_a_cell_on_the_line_between_two_tiles_is_in_the_later_one() -> None:
    given = {"contacts": NO_CONTACTS, "populations": ROLES, "n_frames": 1, "shape": (100, 100)}
    # tiles of 25 px: lines lie at 24.5, 49.5, 74.5; a cell at the image's end has no later one
    table = points([24.5, 24.499, 99.5, -0.5])
    made = Conjugation(tile_um=12.5)(given, track_points=table, pixel_size_um=0.5)["tiles"]
    row = made[made["tile_row"] == 2].set_index("tile_column")["n_targets"]
    assert row.to_dict() == {0: 2, 1: 1, 2: 0, 3: 1}
    assert made["n_targets"].sum() == len(table)


def test_nobody_dead_is_left_out_where_no_marker_tells() -> None:
    given = {"contacts": NO_CONTACTS, "populations": ROLES, "n_frames": 1, "shape": (100, 100)}
    given |= {"track_points": points([9.0])}
    told = schemas.filled(schemas.Viability, {"population": ["T"], "label": 1, "dead": True})
    for viability, n, left_out in ((None, 1, False), (told[:0], 1, False), (told, 0, True)):
        row = Conjugation()(given, viability=viability)["conjugation"].iloc[0]
        assert (row["n_targets"], row["dead_left_out"]) == (n, left_out)


def test_density_of_cells_on_a_line_between_boxes_and_at_the_image_s_edge() -> None:
    maps = DensityMaps(box_px=10, bandwidth_px=2)
    given = {"populations": ["T"], "shape": (40, 40), "n_frames": 1}

    def cells(x: float) -> pd.DataFrame:
        return schemas.filled(
            schemas.Cells, {"population": ["T"], "label": 1, "x_px": x, "y_px": 19.5}
        )

    image = maps(given, cells=cells(19.5))["image"]["T"][0] * 100
    assert image.sum() == pytest.approx(1, abs=1e-5)
    assert image[1, 1] == pytest.approx(image[2, 2]) and image[1:3, 1:3].sum() > 0.99
    for x in (-0.5, 39.5):  # the edge of the outermost pixels is in the image
        assert maps(given, cells=cells(x))["image"]["T"].sum() * 100 == pytest.approx(1, abs=1e-5)
    for x in (-0.501, 39.501):
        with pytest.raises(InputError, match="outside the film"):
            maps(given, cells=cells(x))
