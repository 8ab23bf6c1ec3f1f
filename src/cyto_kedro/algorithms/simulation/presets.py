"""Named sets of parameters of the simulated assay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def crowded(n_frames: int) -> dict[str, Any]:
    """As hard as a real film: T cells on a crowded layer of tumour cells, 512 x 512 at 0.5 µm.

    Numbers, sizes, steps, clusters and contacts are near those of a real film whose outlines and
    tracks were measured (docs/accuracy.md compares them). What goes wrong, goes wrong at the same
    share of a shorter film.
    """
    return {
        "size_px": 512,
        "pixel_size_um": 0.5,
        "frame_interval_min": 2.0,
        "n_effectors": 15,
        "n_targets": 98,
        "effectors": {
            "diameter_um": 9.7, "diameter_cv": 0.28, "irregularity": 0.18, "deformation_min": 10.0,
            "speed_um_per_min": 0.31, "speed_cv": 0.25, "persistence_min": 6.0, "mobility": 0.6,
            "cluster_size": 1.2, "cling_rate_per_min": 0.15, "cling_min": 60.0, "pile": 0.03,
            "overlap": 0.8, "dwell_min": 40.0, "bind_rate_per_min": 0.3,
            "brightness_cv": 0.35, "texture": 0.2, "hidden_per_h": 0.1,
        },
        "targets": {
            "diameter_um": 11.3, "diameter_cv": 0.28, "irregularity": 0.15, "deformation_min": 20.0,
            "speed_um_per_min": 0.37, "speed_cv": 0.62, "persistence_min": 6.0, "mobility": 0.4,
            "cluster_size": 1.1, "cling_rate_per_min": 0.04, "cling_min": 30.0, "pile": 0.03,
            "brightness_cv": 0.42, "texture": 0.2, "clumps": 0.05, "hidden_per_h": 0.1,
        },
        "killing": {"hit_rate_per_min": 0.01},
        "camera": {
            "psf_sigma_um": 0.6, "defocus_um": 0.6, "haze": 0.25, "unevenness": 0.45,
            "ghosts": 3, "ghost_brightness": 0.07, "debris": 1, "debris_brightness": 0.15,
            "photons_per_level": 1.0, "unfilmed_px": (0, 12, 0, 8),
        },
        "mishaps": {
            "pause_frame": max(1, round(0.4 * n_frames)),
            "dropped_frames": (round(0.65 * n_frames),),
            "jump_frame": max(1, round(0.8 * n_frames)),
        },
    }  # fmt: skip


PRESETS: Mapping[str, Callable[[int], dict[str, Any]]] = {"crowded": crowded}
CROWDED_FRAMES = 155


def merged(preset: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`preset` with what is given on top, block by block."""
    result = dict(preset)
    for name, value in given.items():
        below = result.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[name] = merged(below, value)
        else:
            result[name] = value
    return result
