"""Masks decided over time, on films whose answer is plain."""

from __future__ import annotations

import numpy as np
import pytest

from cyto_kedro.algorithms.segmentation import over_time
from cyto_kedro.algorithms.segmentation.hypotheses import (
    Regions,
    carried,
    divisions_of,
    joined,
    of_labels,
    touching,
)
from cyto_kedro.algorithms.segmentation.nuclei import Nuclei
from cyto_kedro.algorithms.segmentation.over_time import OverTime, Seen, decide, shift_of
from cyto_kedro.algorithms.segmentation.programme import Programme
from cyto_kedro.algorithms.segmentation.threshold import LocalThreshold
from cyto_kedro.errors import ConfigError

DIAMETER = 20.0
SHAPE = (90, 140)


def discs(*cells: tuple[float, float, float]) -> np.ndarray:
    """(Y, X) int32 of discs (y, x, radius), 1, 2, …; a pixel goes to the relatively nearer one."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    far = np.array([np.hypot(y - cy, x - cx) / r for cy, cx, r in cells]).reshape(-1, *SHAPE)
    if not len(far):
        return np.zeros(SHAPE, np.int32)
    return np.where(far.min(axis=0) <= 1, 1 + far.argmin(axis=0), 0).astype(np.int32)


def merged(label: np.ndarray) -> np.ndarray:
    """All cells as one."""
    return (label > 0).astype(np.int32)


def decided(*labels: np.ndarray) -> np.ndarray:
    return decide([Seen([each]) for each in labels], DIAMETER)


def counts(labels: np.ndarray) -> list[int]:
    return [len(np.unique(each)) - 1 for each in labels]


def iou(mask: np.ndarray, label: np.ndarray) -> float:
    """Of a true mask with the label that fits best."""
    return max(
        float((mask & (label == k)).sum() / (mask | (label == k)).sum())
        for k in np.unique(label)[1:]
    )


def test_two_cells_that_are_seen_as_one_for_five_frames_stay_two() -> None:
    # so near, and so unlike in size, that no waist shows where to cut
    gaps = [26, 20, 16, 14, 13, 13, 14, 16, 20, 26]
    true = [discs((40, 40, 11), (44, 40 + gap, 7)) for gap in gaps]
    seen = [merged(each) if 2 < t < 8 else each for t, each in enumerate(true)]
    found = decided(*seen)
    assert counts(found) == [2] * len(gaps)
    for label, masks in zip(found, true, strict=True):
        assert iou(masks == 1, label) > 0.85 and iou(masks == 2, label) > 0.7


def test_a_cell_that_is_seen_as_two_for_a_frame_is_one() -> None:
    whole = discs((40, 60, 12))
    halves = np.where(whole & (np.arange(SHAPE[1]) > 60), 2, whole).astype(np.int32)
    assert counts(decided(whole, whole, halves, whole, whole)) == [1] * 5


def test_a_frame_that_was_lost_holds_nothing_and_parts_nothing() -> None:
    true = discs((40, 40, 10), (40, 57, 10))
    none = np.zeros(SHAPE, np.int32)
    found = decided(true, true, none, merged(true), none, true, true)
    assert counts(found) == [2, 2, 0, 2, 0, 2, 2]


def test_what_a_cell_was_before_the_film_and_is_after_it_counts_for_nothing() -> None:
    """A crescent, unlikely as a cell, that is seen once: at the film's ends that is no reason more."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    crescent = np.where((y - 45) ** 2 + (x - 51) ** 2 > 100, discs((45, 60, 10)), 0)
    other = discs((20, 20, 10))
    assert counts(decided(crescent, other, other)) == [1, 1, 1]
    assert counts(decided(other, other, crescent)) == [1, 1, 1]


def test_division_and_death_survive() -> None:
    mother = [discs((40, 40, 12), (40, 100, 9))] * 4
    daughters = [discs((40, 40 - gap, 8), (40, 40 + gap, 8)) for gap in (9, 10, 11, 11)]
    found = decided(*mother, *daughters)  # the other cell dies as the first divides
    assert counts(found) == [2] * 8
    assert (found[4:, :, 80:] == 0).all()
    for label, masks in zip(found[4:], daughters, strict=True):
        assert iou(masks == 1, label) > 0.9


def test_a_division_is_chosen_where_a_cell_divides(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []

    class Told(Programme):
        def solved(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            found = super().solved()
            chosen.append(int(found[2].sum()))
            return found

    monkeypatch.setattr(over_time, "Programme", Told)
    other = (60, 110, 9)
    one, two = discs((40, 50, 12), other), discs((40, 39, 8), (40, 61, 8), other)
    for film in ([one, one, two, two], [two, two, one, one], [one] * 4, [two] * 4):
        decided(*film)
    assert chosen == [1, 0, 0, 0]


def test_what_a_cell_may_divide_into_lies_on_it_and_has_come_apart() -> None:
    def candidates(before: np.ndarray, after: np.ndarray) -> list[list[int]]:
        return divisions_of(Regions.of(before, 0), Regions.of(after, 0)).tolist()

    mother = discs((45, 60, 12))
    assert candidates(mother, discs((45, 50, 8), (45, 70, 8))) == [[0, 0, 1]]
    halves = np.where(mother & (np.arange(SHAPE[1]) > 60), 2, mother)
    assert candidates(mother, halves) == []  # they fill her place
    assert candidates(mother, discs((45, 60, 11), (45, 78, 8))) == []  # one stayed, one came
    assert candidates(mother, discs((45, 50, 8), (45, 66, 4))) == []  # unlike in size
    assert candidates(mother, discs((45, 52, 8), (45, 110, 8))) == []  # not on her


def test_a_cell_that_one_engine_misses_is_taken_from_the_other() -> None:
    both = discs((40, 40, 10), (60, 100, 8))
    one = np.where(both == 1, 1, 0).astype(np.int32)
    window = [Seen([one, both])] * 3
    assert counts(decide(window, DIAMETER)) == [2] * 3


def test_the_first_engine_draws_the_outline() -> None:
    narrow, wide = discs((40, 60, 10)), discs((40, 60, 12))
    found = decide([Seen([narrow, wide])] * 2, DIAMETER)
    assert (found > 0).sum() == 2 * (narrow > 0).sum()


def test_a_clump_and_the_nucleus_around_it_are_both_choices_where_asked_for() -> None:
    clump, nucleus = discs((40, 60, 8)), discs((40, 60, 12))  # IoU 0.44
    assert of_labels([clump, nucleus], DIAMETER).area.tolist() == [(clump > 0).sum()]
    whole = decide([Seen([clump, nucleus])] * 2, DIAMETER, same_outline=0.75)
    assert (whole > 0).sum() == 2 * (nucleus > 0).sum()


def test_a_cut_that_a_neighbouring_frame_brings_is_no_vote() -> None:
    halves = discs((40, 40, 10), (40, 58, 10))
    seen = of_labels([merged(halves)] * 2, DIAMETER)
    assert seen.votes.max() == 2
    found = joined([seen, carried(halves, merged(halves), (0, 0), DIAMETER)])
    assert found.votes.tolist() == seen.votes.tolist()


def test_numbers_of_labels_decide_nothing() -> None:
    gaps = [26, 16, 13, 16, 26]
    seen = [discs((40, 40, 11), (44, 40 + gap, 7)) for gap in gaps]
    seen[2] = merged(seen[2])
    turned = [np.where(each > 0, each.max() + 1 - each, 0).astype(np.int32) for each in seen]
    for one, two in zip(decided(*seen), decided(*turned), strict=True):
        assert np.array_equal(touching(one), touching(two))
        assert iou(one == 1, two) == iou(one == 2, two) == 1


def test_what_moves_as_a_whole_is_found() -> None:
    rng = np.random.default_rng(1)
    before = rng.uniform(0, 500, (60, 2))
    after = np.concatenate([before[:45] + np.array([7, -12]), rng.uniform(0, 500, (15, 2))])
    assert shift_of(before, after, DIAMETER) == (7, -12)
    assert shift_of(before, rng.uniform(0, 500, (60, 2)), DIAMETER) == (0, 0)


def test_cells_that_come_into_view_do_not_hide_that_the_others_moved_alike() -> None:
    before = np.array([[10.0, 10.0], [40.0, 60.0], [80.0, 20.0]])
    new = np.array([[300.0 + 70 * k, 300.0] for k in range(9)])  # far from all of them
    moved = before + np.array([7, -12])
    assert shift_of(before, np.concatenate([moved, new]), DIAMETER) == (7, -12)
    assert shift_of(np.concatenate([before, new]), moved, DIAMETER) == (7, -12)


def test_regions_hold_labels_cuts_and_unions() -> None:
    waist = merged(discs((40, 40, 10), (40, 58, 10)))
    found = of_labels([waist], DIAMETER)
    assert sorted(found.area.tolist())[-1] == waist.sum() and len(found) == 3
    halves = np.where(discs((40, 60, 12)) & (np.arange(SHAPE[1]) > 60), 2, discs((40, 60, 12)))
    assert (halves > 0).sum() in of_labels([halves.astype(np.int32)], DIAMETER).area
    square = np.zeros(SHAPE, np.int32)
    square[10:14, 20:25] = 1
    assert Regions.of(square, 0).on_contour().sum() == 4 * 5 - 2 * 3


def film(n_frames: int = 14) -> np.ndarray:
    """(T, Y, X) of two cells that come near each other and part again, in noise."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    frames = []
    for t in range(n_frames):
        gap = 12 + 1.5 * abs(t - n_frames // 2)
        image = 100 + rng.normal(0, 2, SHAPE)
        for cy, cx in ((45, 60), (45, 60 + gap)):
            image = image + 80 * np.exp(-((((y - cy) ** 2 + (x - cx) ** 2) / 60) ** 2))
        frames.append(image)
    return np.array(frames, np.float32)


@pytest.mark.parametrize("length", [1, 5, 14])
def test_labels_do_not_depend_on_the_length_of_blocks(length: int) -> None:
    engine = OverTime(
        window_frames=4, context_frames=2, engine_args={"Nuclei": {"diameter_px": 20}}
    )
    images = film()
    whole = engine(image=images, typical_diameter_px=20.0)["label"]
    assert counts(whole) == [2] * 14
    for start in range(0, 14, length):
        stop = min(start + length, 14)
        first, last = engine.opened(start, stop, 14)
        part = engine(image=images[first:last], frame_start=first, typical_diameter_px=20.0)
        assert np.array_equal(part["label"][start - first : stop - first], whole[start:stop])


def test_a_tile_is_a_part_of_its_field() -> None:
    engine = OverTime(engines=("Nuclei",), engine_args={"Nuclei": {"diameter_px": 20}})
    images = film(5)
    tile = engine(image=images[:, 5:, 10:], field=images, corner=(5, 10))["label"]
    whole = engine(image=images)["label"][:, 5:, 10:]
    assert ((tile > 0) == (whole > 0)).mean() > 0.999


def test_engines_that_share_a_frame_see_what_each_sees_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Seen] = []

    def told(window: list[Seen], *rest: float) -> np.ndarray:
        seen.extend(window)
        return decide(window, *rest)

    monkeypatch.setattr(over_time, "decide", told)
    images = film(3)
    OverTime()(image=images, typical_diameter_px=20.0)
    for k, engine in enumerate((Nuclei(), LocalThreshold())):
        alone = engine(image=images, typical_diameter_px=20.0)["label"]
        assert all(
            np.array_equal(each.labels[k], one) for each, one in zip(seen, alone, strict=True)
        )


def test_blurred_spots_are_left_out() -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    images = film(3) + 25 * np.exp(-((y - 45) ** 2 + (x - 110) ** 2) / (2 * 12**2))
    args = {"engines": ("LocalThreshold",), "engine_args": {"LocalThreshold": {"diameter_px": 20}}}
    every = OverTime(least_edge=0.0, **args)(image=images.astype(np.float32))["label"]
    sharp = OverTime(**args)(image=images.astype(np.float32))["label"]
    assert counts(every) == [3] * 3 and counts(sharp) == [2] * 3


def test_arguments_are_checked() -> None:
    with pytest.raises(ConfigError, match="Otsu is not among"):
        OverTime(engine_args={"Otsu": {}})
    with pytest.raises(ConfigError, match="diametre"):
        OverTime(engine_args={"Nuclei": {"diametre_px": 3}})


def test_what_an_engine_does_is_part_of_what_labels_depend_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = OverTime().model_dump(mode="json")
    assert before["engine_args"]["Nuclei"]["looks"] == 2
    monkeypatch.setattr(Nuclei, "version", Nuclei.version + 1)
    assert OverTime().model_dump(mode="json") != before
