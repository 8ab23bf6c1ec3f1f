"""What a viewer is given of a field, without one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.viewing.films import EditedMasks
from cyto_kedro.viewing.layers import Seen, clock_text, contrast, events, layers_of


def points() -> pd.DataFrame:
    """A T cell (track 1) on its way to a cancer cell (track 1), and another cancer cell."""
    rows = [("T", 1, t, 5.0 + t, 8.0) for t in range(4)]
    rows += [("C", 1, t, 12.0, 9.0) for t in range(4)] + [("C", 2, t, 3.0, 3.0) for t in range(2)]
    names = ["population", "track_id", "frame", "x_px", "y_px"]
    table = pd.DataFrame(rows, columns=names).assign(fov="A1", label=1)
    return schemas.filled(schemas.TrackPoints, table)


def seen() -> Seen:
    kill = {"fov": "A1", "target_population": "C", "effector_population": "T", "share": 1.0}
    kill |= {"target_track_id": [1], "effector_track_id": 1, "death_frame": 3, "p_background": 0.2}
    touch = {"population_a": "T", "population_b": "C", "track_id_a": 1, "track_id_b": [1, 2]}
    died = {"population": "C", "track_id": [1, 2], "died": [True, False]}
    fates = pd.DataFrame({**died, "dead_at_first_sight": [False, True], "end_reason": "lost"})
    death = {"fov": "A1", "population": ["C"], "track_id": 1, "frame": 3, "p_background": 0.2}
    film = np.random.default_rng(0).poisson(20, (4, 20, 24)).astype(np.uint16)
    return Seen(
        fov="A1",
        films={"T": film, "C": film, "PI": film},
        masks={"C": EditedMasks(np.zeros((4, 20, 24), np.uint32))},
        tables={
            "track_points": points(),
            "fates": schemas.filled(schemas.Fates, fates.assign(fov="A1")),
            "contacts": schemas.filled(schemas.Contacts, {**touch, "fov": "A1", "frame": [3, 3]}),
            "deaths": schemas.filled(schemas.Deaths, death),
            "kills": schemas.filled(schemas.Kills, {**kill, "contact_frames": 1}),
        },
        roles={"T": "effector", "C": "target"},
        markers={"death": "PI"},
        pixel_size_um=0.5,
    )


def test_every_layer_and_its_place() -> None:
    layers = {each.name: each for each in layers_of(seen(), "fate")}
    names = ["T", "C", "PI", "C masks", "T tracks", "C tracks", "contacts", "deaths", "kills"]
    assert list(layers) == [*names, "killers"]
    assert {tuple(each.options["scale"]) for each in layers.values()} == {(1.0, 0.5, 0.5)}
    # one contact is with a cell that has no point in that frame, and is no line
    lines = layers["contacts"].data
    np.testing.assert_array_equal(lines, [[[3, 8, 8], [0, 1, 4]]])
    np.testing.assert_array_equal(layers["killers"].data, [[[3, 8, 8], [0, 1, 4]]])
    np.testing.assert_array_equal(layers["deaths"].data, [[3, 9, 12]])
    np.testing.assert_array_equal(layers["T tracks"].data[1], [1, 1, 8, 6])  # id, frame, y, x
    tracks = layers["C tracks"]
    fate = tracks.options["features"]["fate"]
    assert tracks.options["color_by"] == "fate" and len(fate) == len(tracks.data)
    np.testing.assert_allclose(fate, [0.5] * 4 + [5 / 6] * 2)  # died, dead at first sight


def test_channels_have_the_report_s_colours_and_are_not_stretched_to_noise() -> None:
    layers = {each.name: each for each in layers_of(seen())}
    of = {name: np.array(layers[name].options["colormap"][1]) for name in ("T", "C", "PI")}
    assert of["T"].argmax() == 1 and of["C"].argmax() == 2 and of["PI"].argmax() == 0
    low, high = contrast(seen().films["T"])
    assert low < 20 < high and high - low > 40  # Poisson noise of 20 has an sd of 4.5


def test_what_was_not_made_has_no_layer() -> None:
    bare = replace(seen(), tables={}, masks={})
    assert [each.name for each in layers_of(bare)] == ["T", "C", "PI"]
    only = replace(seen(), tables={"track_points": points()}, pixel_size_um=None)
    made = layers_of(only)
    assert [each.name for each in made][-3:] == ["C tracks", "deaths", "kills"]
    assert made[-1].options["scale"] == (1.0, 1.0, 1.0)
    assert events(only.tables).empty


def test_events_in_order_with_their_killer() -> None:
    found = events(seen().tables)
    assert found[["event", "frame", "by"]].values.tolist() == [["death", 3, ""], ["kill", 3, "T 1"]]
    assert found["p_background"].tolist() == [0.2, 0.2]


def test_clock() -> None:
    frames = pd.DataFrame({"frame": [0, 1], "time_s": [0.0, 3900.0]})
    assert clock_text(frames, 1) == "frame 1 · 1:05 h"
    assert clock_text(None, 1) == "frame 1"


class Counted:
    """A film that counts the frames read of it."""

    shape = (5, 6, 7)

    def __init__(self) -> None:
        self.read: list[int] = []

    def __getitem__(self, t: int) -> np.ndarray:
        self.read.append(t)
        return np.full((6, 7), t, np.uint32)


def test_masks_are_read_when_looked_at_and_edited_in_place() -> None:
    film = Counted()
    masks = EditedMasks(film)
    assert masks.shape == (5, 6, 7) and masks.size == 210 and not film.read
    shown = masks[3]
    assert (shown == 3).all() and film.read == [3]
    shown[:] = 8  # a viewer writes into what it shows
    assert (masks[3] == 3).all() and not masks.changed()
    assert masks[2, 1:3, 4].tolist() == [2, 2] and masks[1:3].shape == (2, 6, 7)
    whole = np.stack([np.full((6, 7), t) for t in range(5)])
    at = (np.array([1, 4, 1]), np.array([0, 5, 2]), np.array([6, 0, 3]))
    masks[at] = np.array([70, 71, 72])
    whole[at] = [70, 71, 72]
    masks[2, 0:2, 0] = 9
    whole[2, 0:2, 0] = 9
    block = np.arange(8, dtype=np.uint32).reshape(2, 2, 2)
    masks[0:2, 3:5, 1:3] = block
    whole[0:2, 3:5, 1:3] = block
    np.testing.assert_array_equal(masks[at], [70, 71, 72])
    np.testing.assert_array_equal(np.asarray(masks), whole)
    assert list(masks.changed()) == [0, 1, 2, 4]
    masks[2, 0:2, 0] = 2  # as it was
    assert list(masks.changed()) == [0, 1, 4]
    masks.taken()
    assert not masks.changed()


@pytest.mark.parametrize("key", [(0, slice(None), slice(1, 3)), (slice(1, 4), 2), (Ellipsis, 3)])
def test_masks_are_sliced_as_an_array_is(key: tuple[object, ...]) -> None:
    values = np.arange(210, dtype=np.uint32).reshape(5, 6, 7)
    np.testing.assert_array_equal(EditedMasks(values)[key], values[key])  # type: ignore[index]
