"""Denoising, normalisation, histogram matching and the polynomial background against truths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage.exposure import match_histograms

from cyto_kedro.algorithms.preprocessing.contrast import (
    HistogramMatching,
    MinMaxNormalisation,
    RobustNormalisation,
)
from cyto_kedro.algorithms.preprocessing.denoise import (
    GaussianSmooth,
    MedianFilter,
    NonLocalMeans,
    noise_sd,
)
from cyto_kedro.algorithms.preprocessing.field import Background
from cyto_kedro.errors import ConfigError

RNG = np.random.default_rng(0)
SCENE = ndi.gaussian_filter(RNG.random((96, 96)), 6, mode="wrap") * 6000
DETAIL = np.outer((1, -2, 1), (1, -2, 1)).astype(np.float32)  # of Immerkaer (1996)
NOISY = (SCENE + RNG.normal(0, 12, (3, 96, 96))).astype(np.float32)


@pytest.mark.parametrize("sd", [0.5, 12.0, 300.0])
def test_noise_is_measured_through_structure(sd: float) -> None:
    frame = SCENE + np.random.default_rng(3).normal(0, sd, SCENE.shape)
    assert noise_sd(frame) == pytest.approx(sd, rel=0.06 if sd > 1 else 0.2)
    response = ndi.convolve(frame.astype(np.float32), DETAIL, mode="nearest")[1:-1, 1:-1]
    assert noise_sd(frame) == float(np.median(np.abs(response)) / (6 * 0.6744898))
    assert noise_sd(frame, enough=0.9 * sd) == np.inf
    assert noise_sd(frame, enough=1.1 * noise_sd(frame)) == noise_sd(frame)
    assert noise_sd(np.full((9, 9), 7.0)) == 0 and noise_sd(np.zeros((2, 50))) == 0


@pytest.mark.parametrize(
    ("step", "gain"),
    [(NonLocalMeans(), 2.5), (MedianFilter(radius_px=1), 1.8), (GaussianSmooth(sigma_px=1), 3.0)],
)
def test_denoising_comes_nearer_to_the_truth(step, gain) -> None:
    done = step({"image": {"c": NOISY}})["image"]["c"]
    before, after = (np.sqrt(np.mean((each - SCENE) ** 2)) for each in (NOISY, done))
    assert after < before / gain
    assert done.mean() == pytest.approx(NOISY.mean(), rel=1e-3)
    flat = step({"image": {"c": np.full((1, 20, 20), 5.0)}})["image"]["c"]
    np.testing.assert_allclose(flat, 5)


def test_median_removes_a_hot_pixel_and_keeps_an_edge() -> None:
    image = np.zeros((1, 9, 9))
    image[:, :, 5:] = 10
    hot = image.copy()
    hot[0, 4, 2] = 1000
    np.testing.assert_array_equal(MedianFilter()({"image": {"c": hot}})["image"]["c"], image)


@pytest.mark.parametrize("over", ["film", "frame"])
def test_min_max_is_exact_and_robust_is_in_standard_deviations(over: str) -> None:
    film = np.random.default_rng(2).normal(5000, 40, (4, 80, 80)).astype(np.float32)
    film += np.arange(4)[:, None, None] * (0 if over == "film" else 100)
    done = MinMaxNormalisation(over=over, least_span=0)({"image": {"c": film}})["image"]["c"]
    parts = done if over == "frame" else [done]
    assert all(part.min() == 0 and part.max() == pytest.approx(1, abs=1e-6) for part in parts)
    robust = RobustNormalisation(over=over)({"image": {"c": film}})["image"]["c"]
    for part in robust if over == "frame" else [robust]:
        # the histogram's bins are 2 grey levels wide at 5000
        assert np.median(part) == pytest.approx(0, abs=0.06)
        assert part.std() == pytest.approx(1, abs=0.06)
    for step in (MinMaxNormalisation(over=over, least_span=0), RobustNormalisation(over=over)):
        assert not step({"image": {"c": film * 0 + 3}})["image"]["c"].any()


def test_histogram_matching_is_scikit_images() -> None:
    film = np.stack([NOISY[0], NOISY[1] * 0.6 + 20, np.sqrt(np.abs(NOISY[2]))])
    done = HistogramMatching()({"image": {"c": film}})["image"]["c"]
    np.testing.assert_allclose(done[0], film[0], atol=np.ptp(film) * 2e-3)
    for i in (1, 2):
        truth = match_histograms(film[i], film[0])
        # 1025 quantiles beside one per pixel: the two differ in the thin tails
        assert np.abs(done[i] - truth).mean() < 1e-3 * np.ptp(film[0])
        np.testing.assert_allclose(
            np.quantile(done[i], [0.1, 0.5, 0.9]), np.quantile(film[0], [0.1, 0.5, 0.9]), rtol=1e-3
        )
    still = HistogramMatching()({"image": {"c": np.full((2, 4, 4), [[[3.0]], [[9.0]]])}})["image"]
    np.testing.assert_allclose(still["c"], 3)


@pytest.mark.parametrize("shape", [(90, 110), (256, 200), (7, 300)])
def test_polynomial_background_is_found_under_cells(shape: tuple[int, int]) -> None:
    y, x = (np.arange(n) / n for n in shape)
    surface = 300 + 80 * y[:, None] - 50 * x + 120 * y[:, None] * x - 60 * x**2
    step = Background(method="polynomial", degree=2)
    bare = step({"image": {"c": surface[None]}})["image"]["c"]
    np.testing.assert_allclose(bare, 0, atol=0.02)
    cells = np.zeros(shape)
    cells[:: max(2, shape[0] // 6), ::40] = 3000
    cells = ndi.gaussian_filter(cells, 3)
    film = surface + cells + np.random.default_rng(1).normal(0, 2, shape)
    left = step({"image": {"c": film[None]}})["image"]["c"][0] - cells
    assert abs(np.median(left)) < 4
    assert np.abs(ndi.gaussian_filter(left, 3)).max() < 0.1 * np.ptp(surface)
    with pytest.raises(ConfigError, match="no radius"):
        Background(method="polynomial", radius_px=4)


def test_non_local_means_are_scikit_images() -> None:
    from skimage.restoration import denoise_nl_means

    from cyto_kedro.algorithms.preprocessing.denoise import NonLocalMeans, noise_sd

    frame = np.random.default_rng(5).normal(50, 4, (40, 40)).astype(np.float32)
    frame[10:20, 10:20] += 60
    sd = noise_sd(frame)
    for strength, patch, distance in ((0.8, 3, 4), (0.8, 7, 4), (2.0, 3, 4)):
        step = NonLocalMeans(strength=strength, patch_px=patch, distance_px=distance)
        found = step({"image": {"a": frame[None]}})["image"]["a"][0]
        kwargs = {"patch_size": patch, "patch_distance": distance, "fast_mode": True}
        alone = denoise_nl_means(frame, h=strength * sd, sigma=sd, preserve_range=True, **kwargs)
        np.testing.assert_allclose(found, alone, rtol=1e-5)
