"""The tree of regions against thresholds and labels taken one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage as ndi
from skimage.morphology import max_tree

from cyto_kedro.algorithms.segmentation.nuclei import ellipse_fill, moments
from cyto_kedro.algorithms.segmentation.tree import RegionTree

IMAGES = arrays(
    np.uint8, st.tuples(st.integers(3, 9), st.integers(3, 9)), elements=st.integers(0, 5)
)


def regions(image: np.ndarray) -> dict[tuple[int, bytes], np.ndarray]:
    """Every connected region of every threshold over 0 at which it loses a pixel, by brute force."""
    found = {}
    for t in np.unique(image[image > 0]):
        label, n = ndi.label(image >= t)
        for i in range(1, n + 1):
            mask = label == i
            if (image[mask] == t).any():
                found[int(t), mask.tobytes()] = mask
    return found


@settings(max_examples=60)
@given(IMAGES, st.integers(0, 4))
def test_nodes_are_the_regions_of_all_thresholds(image: np.ndarray, smallest: int) -> None:
    tree, rng = RegionTree.of(image, smallest), np.random.default_rng(0)
    part = ndi.label(image)[0]
    image = np.where(np.bincount(part.ravel())[part] >= smallest, image, 0)
    value = rng.random(image.shape)
    lowest = ndi.minimum_filter(
        image, footprint=ndi.generate_binary_structure(2, 1), mode="nearest"
    )
    truth = sorted(
        (t, mask.sum(), value[mask].sum(), value[mask & (lowest < t)].sum())
        for (t, _), mask in regions(image).items()
    )
    found = sorted(
        zip(
            tree.level,
            *tree.sums((np.ones(tree.node.size), value[tree.inside]), (value[tree.inside],)),
            strict=True,
        )
    )
    assert found[0][0] == 0
    found = found[1:]
    np.testing.assert_allclose(found, truth, atol=1e-9)


@pytest.mark.parametrize("sigma", [0.5, 2, 6])
def test_pixels_lie_together_as_in_skimages_max_tree(sigma: float) -> None:
    image = ndi.gaussian_filter(np.random.default_rng(3).normal(size=(130, 110)), sigma)
    image = np.clip(1 + 249 * (image - image.min()) / np.ptp(image), 1, 250).astype(np.uint8)
    image[40:60, 30:70] = 0
    up = max_tree(image, connectivity=1)[0].ravel()
    pixel = np.arange(up.size)
    stands = (image.ravel()[up] != image.ravel()) | (up == pixel)
    theirs = np.where(stands, pixel, up)[image.ravel() > 0]  # the pixel that stands for its node
    tree = RegionTree.of(image)
    pairs = np.unique(np.stack((theirs, tree.node)), axis=1)
    assert pairs.shape[1] == np.unique(theirs).size == tree.parent.size - 1
    node = np.zeros(up.size, np.int64)
    node[pairs[0]] = pairs[1]
    above = up[pairs[0]]  # in its node's parent: of itself where it is the whole image
    expected = np.where(
        image.ravel()[above] > 0, node[np.where(stands[above], above, up[above])], 0
    )
    np.testing.assert_array_equal(tree.parent[pairs[1]], expected)


def best_sum(tree: RegionTree, value: np.ndarray) -> float:
    """Largest sum of disjoint nodes, over all sets of nodes."""
    n, best = value.size, 0.0
    above = [set() for _ in range(n)]
    for i in range(1, n):
        above[i] = above[tree.parent[i]] | {int(tree.parent[i])}
    for chosen in range(1 << (n - 1)):
        nodes = [i for i in range(1, n) if chosen >> (i - 1) & 1]
        if not any(above[i] & set(nodes) for i in nodes):
            best = max(best, sum(value[i] for i in nodes))
    return best


@settings(max_examples=40)
@given(arrays(np.uint8, (3, 4), elements=st.integers(0, 4)), st.integers(0, 99))
def test_best_regions_are_those_of_the_largest_sum(image: np.ndarray, seed: int) -> None:
    tree = RegionTree.of(image)
    value = np.random.default_rng(seed).uniform(-0.3, 1, tree.parent.size)
    label = tree.best(value)
    nodes = np.unique(label[label > 0])
    assert value[nodes].sum() == pytest.approx(best_sum(tree, value))
    (area,) = tree.sums([np.ones(tree.node.size)])
    np.testing.assert_array_equal(
        np.bincount(label.ravel(), minlength=area.size)[nodes], area[nodes]
    )


def fill(mask: np.ndarray) -> float:
    sums = [np.array([each.sum()]) for each in moments(mask)]
    return float(ellipse_fill(np.array([mask.sum()]), *sums)[0])


def test_fill_of_known_shapes() -> None:
    y, x = np.mgrid[:400, :600]
    turned = np.hypot((x - 300 + y - 200) / 150, (x - 300 - y + 200) / 60) < 1
    assert fill(turned) == pytest.approx(1, abs=0.005)
    assert fill((abs(x - 300) < 100) & (abs(y - 200) < 40)) == pytest.approx(3 / np.pi, abs=0.005)
    pair = (np.hypot(x - 200, y - 200) < 100) | (np.hypot(x - 400, y - 200) < 100)
    assert fill(pair) == pytest.approx(2 / np.sqrt(5), abs=0.005)
    assert fill(np.eye(1, dtype=bool)) == pytest.approx(12 / 4 / np.pi)
