"""Clips show their pair, in every frame, at the right time."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from cyto_kedro.algorithms.reporting.clip_cards import (
    INSIDE,
    MOST_CLIPS,
    clip_cards,
    linked,
    links_alone,
)
from cyto_kedro.algorithms.reporting.clips import LEFT, RIGHT, EventClips, crop, curve_strip
from cyto_kedro.algorithms.reporting.shots import Shot, camera, clip_id, extents_of, shots
from cyto_kedro.core.style import FILM_COLOURS
from cyto_kedro.images import Clip
from cyto_kedro.schemas import Deaths, Kills, empty

N_FRAMES, SIDE = 24, 90
FIRST, DEATH = 8, 12
ROLES = {"T": "effector", "C": "target"}
PAIR = (("C", 7), ("T", 3))


def place(name: str, t: int) -> tuple[float, float]:
    """The target drifts along the upper edge; the effector comes, stays from FIRST to 14, leaves."""
    target = (9.0, 40.0 + 0.5 * t)
    if name == "C":
        return target
    away = max(FIRST - t, 0) * 4 + max(t - 14, 0) * 3
    return target[0] + 8.0 + away, target[1] + 5.0


@pytest.fixture(scope="module")
def field() -> dict[str, Any]:
    """A film of one pair and a cell that stands by; the effector is not found in frame 10."""
    y, x = np.mgrid[:SIDE, :SIDE]
    label = {name: np.zeros((N_FRAMES, SIDE, SIDE), np.uint32) for name in ROLES}
    points, cells = [], []
    for t in range(N_FRAMES):
        for name, track, radius, number in (("C", 7, 6, 2), ("T", 3, 4, 5), ("C", 9, 6, 4)):
            at = place(name, t) if track != 9 else (70.0, 20.0)
            lost = track == 3 and t == 10
            points.append((name, track, t, at[0], at[1], pd.NA if lost else number, lost))
            if lost:
                continue
            mask = np.hypot(y - at[0], x - at[1]) <= radius
            label[name][t][mask] = number
            rows, columns = np.nonzero(mask)
            box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
            cells.append((name, t, number, *at, *box))
    box_names = ("bbox_y0_px", "bbox_x0_px", "bbox_y1_px", "bbox_x1_px")
    names = ("population", "track_id", "frame", "y_px", "x_px", "label", "interpolated")
    track_points = pd.DataFrame(points, columns=names).astype({"label": "Int64"})
    measured = pd.DataFrame(
        cells, columns=["population", "frame", "label", "y_px", "x_px", *box_names]
    )
    marker = pd.DataFrame({"population": "C", "frame": range(N_FRAMES), "label": 2})
    marker["marker_signal"] = np.where(marker["frame"] < DEATH, 1.0, 9.0)
    kill = {"target_population": "C", "target_track_id": 7, "effector_population": "T"}
    kill |= {"effector_track_id": 3, "death_frame": DEATH, "share": 0.8, "p_background": 0.2}
    kill |= {"first_contact_frame": FIRST, "last_contact_frame": 14}
    bout = {"population_a": "C", "track_id_a": 7, "population_b": "T", "track_id_b": 3}
    bout |= {"start_frame": FIRST, "end_frame": 14, "n_frames": 7}
    death = {"population": "C", "track_id": 7, "frame": DEATH, "evidence": "marker"}
    return {
        "fov": "A 1",
        "image": {name: (stack > 0) * 100.0 for name, stack in label.items()},
        "label": label,
        "roles": ROLES,
        "track_points": track_points,
        "cells": measured,
        "deaths": pd.DataFrame([death | {"p_background": 0.2}]),
        "kills": pd.DataFrame([kill]),
        "bouts": pd.DataFrame([bout]),
        "viability": marker,
        "frames": pd.DataFrame({"frame": range(N_FRAMES), "time_s": np.arange(N_FRAMES) * 120.0}),
        "pixel_size_um": 0.5,
    }


def film(field: dict[str, Any], **args: Any) -> list[Clip]:
    """The clips; tables here have only the columns that are read."""
    return list(EventClips(**args).run(**field)["clips"])


def decoded(webp: bytes) -> list[np.ndarray]:
    image = Image.open(BytesIO(webp))
    frames = []
    for i in range(getattr(image, "n_frames", 1)):
        image.seek(i)
        frames.append(np.asarray(image.convert("RGB")))
    return frames


def is_colour(rgb: np.ndarray, name: str, within: int = 60) -> np.ndarray:
    return np.abs(rgb - np.array(to_rgb(FILM_COLOURS[name])) * 255.0).max(-1) < within


def test_every_pixel_of_the_pair_is_in_every_frame(field: dict[str, Any]) -> None:
    (shot,) = shots(field["deaths"], field["kills"], field["bouts"], ROLES, 5, 2)
    where = camera(
        shot, field["track_points"], extents_of(field["cells"]), (6, 6), N_FRAMES, excluded=(9,)
    )
    assert where is not None and shot.cells == list(PAIR)
    assert {FIRST, DEATH} <= {*where.frames} and 9 not in where.frames and 10 in where.frames
    assert where.frames[0] < FIRST and where.frames[-1] > DEATH
    for t, (top, left) in zip(where.frames, where.corners, strict=True):
        for name, number in (("C", 2), ("T", 5)):
            y, x = np.nonzero(field["label"][name][t] == number)
            assert len(y) or (name, t) == ("T", 10)
            if len(y):
                assert y.min() >= top and y.max() < top + where.side, (name, t)
                assert x.min() >= left and x.max() < left + where.side, (name, t)
        # centred between the two: the middle of their path is near the middle of the square
        middle = np.mean([place(name, t) for name in ROLES], axis=0)
        assert np.abs(middle - (np.array([top, left]) + where.side // 2)).max() < 6
    assert (where.corners[:, 0] < 0).any()  # beyond the film's edge it is black
    # frames in which the effector is far away are not shown, since the square keeps its size
    gap = [np.hypot(*np.subtract(place("C", t), place("T", t))) for t in where.frames]
    assert max(gap) < where.side
    assert where.side < 60


def test_crop_beyond_the_edge_is_black() -> None:
    plane = np.arange(20).reshape(4, 5) + 1
    out = crop(plane, np.array([-1, 3]), 3)
    assert out.tolist() == [[0, 0, 0], [4, 5, 0], [9, 10, 0]]
    assert not crop(plane, np.array([9, 9]), 3).any()
    assert not crop(plane, np.array([-9, 0]), 3).any()


def test_a_clip_has_its_frames_colours_bar_clock_and_cursor(field: dict[str, Any]) -> None:
    (clip,) = film(field, side_px=240, most_kb=1e6)
    assert (clip.event, clip.frame, clip.population, clip.track_id) == ("kill", DEATH, *PAIR[0])
    assert clip.name == clip_id("A 1", "C", 7) == "clip-A.201-C-7"
    assert "C 7 killed by T 3" in clip.title and "share 0.80" in clip.caption
    where = camera(
        Shot("kill", *PAIR[0], FIRST, DEATH, 0.8, *PAIR[1]),
        *(field["track_points"], extents_of(field["cells"]), (5, 5), N_FRAMES),
    )
    shown = decoded(clip.webp)
    assert where is not None and len(shown) == len(where.frames)
    assert shown[0].shape == (240 + 56, 240, 3)
    dead = [int(is_colour(rgb[30:200, :].astype(float), "death").sum()) for rgb in shown]
    for t, n in zip(where.frames, dead, strict=True):
        assert (n > 40) == (t >= DEATH), (t, n)
    # the scale bar: 240 px are `side` px of half a micrometre
    per_px = where.side * 0.5 / 240
    row = shown[0][240 - 16].min(axis=-1) > 200
    length_um = row.sum() * per_px
    assert min(abs(length_um - each) for each in (2, 5, 10)) < 3 * per_px
    # the cursor is the white column, from left to right
    first, last = where.frames[0], where.frames[-1]
    for t, rgb in zip(where.frames, shown, strict=True):
        column = int(rgb[244:].astype(float).min(axis=-1).mean(axis=0).argmax())
        wanted = LEFT + (t - first) / (last - first) * (240 - LEFT - RIGHT - 1)
        assert abs(column - wanted) <= 1.5, t


def test_the_curve_is_the_markers_and_the_bar_the_contact(field: dict[str, Any]) -> None:
    shot = Shot("kill", *PAIR[0], FIRST, DEATH, 0.8, *PAIR[1])
    where = camera(shot, field["track_points"], extents_of(field["cells"]), (5, 5), N_FRAMES)
    assert where is not None
    signal = field["viability"].set_index("frame")["marker_signal"]
    strip, columns = curve_strip(shot, where, 240, signal, field["bouts"])
    drawn = is_colour(strip.astype(float), "death")
    height = {
        t: float(np.nonzero(drawn[:, c])[0].mean())
        for t, c in zip(where.frames, columns, strict=True)
    }
    assert height[DEATH - 2] > height[DEATH + 1] + 20  # rows count downwards
    bar = is_colour(strip.astype(float), "effector")[48:].any(axis=0)
    for t, column in zip(where.frames, columns, strict=True):
        assert bar[min(column, 239)] == (FIRST <= t <= 14), t
    silent, _ = curve_strip(shot, where, 240, pd.Series(dtype=float), field["bouts"])
    assert not is_colour(silent.astype(float), "death").any()


def test_what_is_filmed_and_in_which_order(field: dict[str, Any]) -> None:
    assert film(field | {"kills": empty(Kills), "deaths": empty(Deaths)}, contacts=0) == []
    (contact,) = film(field | {"kills": empty(Kills), "deaths": empty(Deaths)})
    assert contact.event == "contact" and "from frame 8 to 14" in contact.caption
    doubtful = field["deaths"].assign(p_background=0.55)
    (one,) = film(field | {"kills": empty(Kills), "deaths": doubtful}, contacts=0)
    assert one.event == "death" and one.weight == pytest.approx(0.9) and not one.by_population
    assert "0.55" in one.caption
    certain = field["deaths"].assign(p_background=1.0)
    assert shots(certain, empty(Kills), field["bouts"], ROLES, 5, 0) == []
    two = pd.concat([field["kills"], field["kills"].assign(effector_track_id=8, share=0.95)])
    ranked = shots(field["deaths"], two, field["bouts"], ROLES, 5, 2)
    assert [each.by_track_id for each in ranked] == [8, 3]
    assert [
        each.by_track_id for each in shots(field["deaths"], two, field["bouts"], ROLES, 1, 2)
    ] == [8]
    assert film(field, most=0) == []
    gone = field["track_points"][field["track_points"]["track_id"] != 3]
    assert film(field | {"track_points": gone}) == []  # a pair that was not tracked


def test_size_is_kept_and_bytes_are_equal(field: dict[str, Any]) -> None:
    (large,) = film(field, most_kb=1e6)
    (small,) = film(field, most_kb=0.75 * len(large.webp) / 1000)
    assert len(small.webp) <= 0.75 * len(large.webp)
    assert film(field)[0].webp == film(field)[0].webp
    (few,) = film(field, most_frames=6)
    assert 2 <= len(decoded(few.webp)) <= 8
    uncalibrated = {"frames": None, "pixel_size_um": None, "viability": None}
    (plain,) = film(field | uncalibrated)
    assert "frame 12" in plain.caption and " h" not in plain.caption


def clip(number: int, size: int, event: str = "kill") -> Clip:
    return Clip(
        *(b"x" * size, clip_id("A/1", "C", number), "t", "c", "A/1", event, 3, "C", number),
        weight=number / 10,
    )


def test_cards_hold_the_weightiest_within_a_total_size() -> None:
    cards, counts = clip_cards(clip(i, 30_000) for i in range(MOST_CLIPS + 60))
    assert counts == {"A/1": MOST_CLIPS + 60}
    assert len(cards) == MOST_CLIPS
    assert cards[0]["name"] == clip_id("A/1", "C", MOST_CLIPS + 59)
    inside = [card["src"] != "" for card in cards]
    assert inside == sorted(inside, reverse=True) and 0 < sum(inside) < MOST_CLIPS
    assert sum(len(card["src"]) for card in cards) <= INSIDE + 30 * MOST_CLIPS
    assert cards[-1]["href"] == f"clips/A/1.html#{cards[-1]['name']}"


def test_of_clips_that_come_one_by_one_few_are_held() -> None:
    held = []

    def coming() -> Iterator[Clip]:
        for i in range(1000):
            one = clip(i, 10)
            refs.append(weakref.ref(one))
            held.append(sum(ref() is not None for ref in refs))
            yield one

    refs: list[weakref.ref[Clip]] = []
    clip_cards(coming())
    assert max(held) <= MOST_CLIPS + 3


def test_links_without_a_clip_go() -> None:
    here, other = '<a xlink:href="#clip-a">x</a>', '<a xlink:href="#o">z</a>'
    svg = f'{here}<a xlink:href="#clip-b"><path d="m"/></a>{other}'
    assert linked(svg, {"clip-a"}) == f'{here}<path d="m"/>{other}'


def test_what_is_drawn_to_be_clicked_on_lies_over_a_bitmap_too() -> None:
    line = '<path d="m" clip-path="url(#p)" style="stroke: #ffffff; stroke-opacity: 0.004"/>'
    dot = '<a xlink:href="#clip-a" target="_blank"><use/></a>'
    lines = [f'<a xlink:href="#clip-{name}" target="_blank">{line}</a>' for name in "ab"]
    svg = linked(f'<svg viewBox="0 0 9 5">{"".join(lines)}{dot}</svg>', {"clip-a"})
    bare = '<a xlink:href="#clip-a"><path d="m"'
    assert svg.count("<a ") == 2 and svg.count("<path") == 1 and "_blank" not in svg
    over = links_alone(svg)
    assert 'viewBox="0 0 9 5"' in over and over.count("<a ") == 1 and f"{bare} style=" in over
    assert links_alone('<svg viewBox="0 0 9 5"><path d="m"/></svg>') == ""
