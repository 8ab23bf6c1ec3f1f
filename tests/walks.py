"""Closed forms of random walks, for tests of several stages."""

import numpy as np


def mean_squared_displacement(speed: float, persistence: float, time: np.ndarray) -> np.ndarray:
    """Fürth's formula of a persistent random walk in the plane."""
    slow = time - persistence * (1 - np.exp(-time / persistence))
    return 2 * speed**2 * persistence * slow
