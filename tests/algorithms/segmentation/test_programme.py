"""The integer programme against all of its solutions, written down one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest

from cyto_kedro.algorithms.segmentation.programme import Programme


def drawn(seed: int) -> Programme:
    """Three frames of three regions each, some of which exclude each other."""
    rng = np.random.default_rng(seed)
    frame = np.repeat([0, 1, 2], 3)
    pairs = np.array([(i, j) for i in range(9) for j in range(i + 1, 9) if frame[i] == frame[j]])
    links = np.array([(i, j) for i in range(9) for j in range(9) if frame[j] == frame[i] + 1])
    links = links[rng.random(len(links)) < 0.45]
    return Programme(
        rng.normal(0.2, 0.5, 9),
        rng.uniform(0, 0.5, 9),
        rng.uniform(0, 0.5, 9),
        pairs[rng.random(len(pairs)) < 0.5],
        links,
        rng.normal(0.2, 0.6, len(links)),
    )


def dividing(seed: int) -> Programme:
    """The same, in which four regions may divide in two of the next frame."""
    rng, each = np.random.default_rng(seed), drawn(seed)
    ways = [
        (i, *two)
        for i in range(6)
        for two in combinations(range(3 * (i // 3) + 3, 3 * (i // 3) + 6), 2)
    ]
    division = np.array(ways)[rng.choice(len(ways), 4, replace=False)]
    return replace(each, division=division, division_worth=rng.normal(1.5, 0.6, 4))


def score(each: Programme, chosen: np.ndarray, linked: np.ndarray, divided: np.ndarray) -> float:
    """What a choice is worth, said directly; minus infinity where it is not allowed."""
    mother, *daughters = each.division[divided].T
    source, target = each.link[linked].T
    source, target = np.r_[source, mother], np.r_[target, *daughters]
    if chosen[each.conflict].all(axis=1).any() or not chosen[np.r_[source, target]].all():
        return -np.inf
    if len(np.unique(source)) < len(source) or len(np.unique(target)) < len(target):
        return -np.inf
    begins, ends = chosen.copy(), chosen.copy()
    begins[target] = ends[source] = False
    paid = each.begin[begins].sum() + each.end[ends].sum()
    gained = each.link_worth[linked].sum() + each.division_worth[divided].sum()
    return float(each.worth[chosen].sum() + gained - paid)


def choices(each: Programme) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All sets of regions that do not conflict, with all sets of links and divisions of them."""
    m = len(each.link)
    for chosen in product((False, True), repeat=9):
        if np.array(chosen)[each.conflict].all(axis=1).any():
            continue
        ties = [*each.link.tolist(), *each.division.tolist()]
        may = ((False, True) if all(chosen[k] for k in tie) else (False,) for tie in ties)
        for tied in product(*may):
            yield np.array(chosen), np.array(tied[:m], bool), np.array(tied[m:], bool)


@pytest.mark.parametrize("seed", range(6))
def test_it_finds_the_best_of_all_choices(seed: int) -> None:
    each = drawn(seed)
    best = max(score(each, *choice) for choice in choices(each))
    assert score(each, *each.solved()) == pytest.approx(best, abs=1e-6)


def test_it_finds_the_best_of_all_choices_with_divisions() -> None:
    n_divided = 0
    for seed in range(5):
        each = dividing(seed)
        best = max(score(each, *choice) for choice in choices(each))
        found = each.solved()
        assert score(each, *found) == pytest.approx(best, abs=1e-6)
        n_divided += found[2].sum()
    assert n_divided >= 3


def test_a_division_is_dearer_than_two_that_begin() -> None:
    """Priced above what it saves (an end, two beginnings), it is not chosen; below it is."""
    none = np.zeros((0, 2), np.int64)
    three = Programme(np.ones(3), np.full(3, 0.2), np.full(3, 0.2), none, none, np.zeros(0))
    for worth, divides in ((-0.59, True), (-0.61, False)):
        each = replace(three, division=np.array([[0, 1, 2]]), division_worth=np.array([worth]))
        chosen, _, divided = each.solved()
        assert chosen.all() and divided.tolist() == [divides]


def test_the_order_of_regions_and_links_decides_nothing() -> None:
    each, rng = drawn(3), np.random.default_rng(0)
    order, links = rng.permutation(9), rng.permutation(len(each.link))
    place = np.argsort(order)
    other = Programme(
        each.worth[order],
        each.begin[order],
        each.end[order],
        place[each.conflict],
        place[each.link[links]],
        each.link_worth[links],
    )
    chosen, linked, _ = each.solved()
    found, found_links, _ = other.solved()
    assert (found == chosen[order]).all() and (found_links == linked[links]).all()
    assert chosen.any() and linked.any()


def test_a_region_that_costs_more_than_it_is_worth_is_left_out() -> None:
    none = np.zeros((0, 2), np.int64)
    two = Programme(np.array([1.0, 0.5]), np.full(2, 0.4), np.full(2, 0.4), none, none, np.zeros(0))
    assert two.solved()[0].tolist() == [True, False]
