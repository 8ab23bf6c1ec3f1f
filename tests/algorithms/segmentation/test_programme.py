"""The integer programme against all of its solutions, written down one by one."""

from __future__ import annotations

from itertools import product

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


def score(each: Programme, chosen: np.ndarray, linked: np.ndarray) -> float:
    """What a choice is worth, said directly; minus infinity where it is not allowed."""
    source, target = each.link[linked].T
    if chosen[each.conflict].all(axis=1).any() or not chosen[np.r_[source, target]].all():
        return -np.inf
    if len(np.unique(source)) < len(source) or len(np.unique(target)) < len(target):
        return -np.inf
    begins, ends = chosen.copy(), chosen.copy()
    begins[target] = ends[source] = False
    paid = each.begin[begins].sum() + each.end[ends].sum()
    return float(each.worth[chosen].sum() + each.link_worth[linked].sum() - paid)


@pytest.mark.parametrize("seed", range(6))
def test_it_finds_the_best_of_all_choices(seed: int) -> None:
    each = drawn(seed)
    best = max(
        score(each, np.array(chosen, bool), np.array(linked, bool))
        for chosen in product((0, 1), repeat=9)
        if not np.array(chosen, bool)[each.conflict].all(axis=1).any()
        for linked in product(
            *((0, 1) if chosen[i] and chosen[j] else (0,) for i, j in each.link.tolist())
        )
    )
    assert score(each, *each.solved()) == pytest.approx(best, abs=1e-6)


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
    chosen, linked = each.solved()
    found, found_links = other.solved()
    assert (found == chosen[order]).all() and (found_links == linked[links]).all()
    assert chosen.any() and linked.any()


def test_a_region_that_costs_more_than_it_is_worth_is_left_out() -> None:
    none = np.zeros((0, 2), np.int64)
    two = Programme(np.array([1.0, 0.5]), np.full(2, 0.4), np.full(2, 0.4), none, none, np.zeros(0))
    assert two.solved()[0].tolist() == [True, False]
