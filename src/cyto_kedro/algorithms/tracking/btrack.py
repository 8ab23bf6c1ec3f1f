"""Linking by btrack: Kalman filters, then a globally best set of joins and divisions."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro.algorithms.tracking.common import Detections, Linker
from cyto_kedro.core.units import PositiveLength
from cyto_kedro.errors import MissingExtraError

_HINT = 'pip install "cyto_kedro[btrack]"'


class BTrack(Linker):
    """Bayesian tracking (Ulicna et al., Front. Comput. Sci. 2021), with the library btrack.

    A Kalman filter of constant velocity predicts each track, and the most probable pairing of
    predictions with detections is taken; tracks are then joined, and divisions called, by a global
    optimisation over all hypotheses. btrack works in pixels; its positions of frames in which a cell
    was not seen are left out, and the gap filled as for every linker.

    Inputs, outputs and errors are those of `Linker`; besides, MissingExtraError if btrack is not
    installed or its compiled library cannot be loaded.

    Examples
    --------
    >>> BTrack(max_search_radius_um=10).max_search_radius.in_px("max_search_radius", 0.5)
    20.0
    """

    max_search_radius: PositiveLength = Field(
        description="how far from its prediction a cell is looked for"
    )
    max_lost_frames: int = Field(5, ge=0, description="frames a cell may be missing in a track")
    optimise: bool = Field(True, description="join tracks and call divisions globally")
    splitting: bool = Field(False, description="let cells divide; needs optimise")
    max_gap_frames: int = Field(2, ge=1, description="frames between tracks that may be joined")
    hypothesis: dict[str, float] = Field(
        {}, description="other values of btrack's hypothesis model (lambda_dist, lambda_branch, …)"
    )

    def link(self, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
        radius = self.max_search_radius.in_px("max_search_radius", detections.pixel_size_um)
        tracker = _tracker()
        with tracker:
            tracker.configure(self._configuration(radius))
            position = detections.position
            shape = detections.shape or position.max(axis=0) + 1
            tracker.append(_objects(detections.frame, position))
            tracker.volume = ((0, float(shape[1])), (0, float(shape[0])))
            tracker.track(step_size=len(position))
            if self.optimise:
                tracker.optimise()
            tracks = [
                (each.ID, each.parent, [ref for ref in each.refs if ref >= 0])
                for each in tracker.tracks
            ]
        return _links(tracks)

    def _configuration(self, radius: float) -> dict[str, Any]:
        """btrack's configuration, its own example for cells but for what the fields say."""
        still, moving = np.eye(3), np.zeros((3, 3))
        kinds = ["P_FP", "P_init", "P_term", "P_link", *(["P_branch"] if self.splitting else [])]
        return {
            "verbose": False,
            "optimizer_options": {"tm_lim": 60_000, "msg_lev": "GLP_MSG_OFF"},  # ms
            "max_search_radius": radius,
            "motion_model": {
                "measurements": 3,
                "states": 6,
                "A": np.block([[still, still], [moving, still]]),
                "H": np.block([still, moving]),
                "P": np.diag([0.1, 0.1, 0.1, 1, 1, 1]) * 150.0,
                "G": np.array([0.5, 0.5, 0.5, 1, 1, 1]) * 15.0,
                "R": still * 5.0,
                "accuracy": 7.5,
                "max_lost": self.max_lost_frames,
                "prob_not_assign": 0.1,
            },
            "hypothesis_model": {
                "hypotheses": kinds,
                "lambda_time": 5.0,
                "lambda_dist": 3.0,
                "lambda_link": 10.0,
                "lambda_branch": 50.0,
                "eta": 1e-10,
                "theta_dist": 20.0,
                "theta_time": 5.0,
                "dist_thresh": radius,
                "time_thresh": self.max_gap_frames,
                "apop_thresh": 5,
                "segmentation_miss_rate": 0.1,
                "apoptosis_rate": 0.001,
                "relax": True,
                **self.hypothesis,
            },
        }


def _tracker() -> Any:
    """A tracker; its compiled library is loaded here."""
    try:
        from btrack import BayesianTracker
    except ImportError as error:
        raise MissingExtraError(
            f"BTrack needs the package btrack, which is not installed ({error}): {_HINT}"
        ) from error
    logging.getLogger("btrack").setLevel(logging.WARNING)
    try:
        return BayesianTracker(verbose=False)
    except Exception as error:  # btrack raises a plain Exception where loading fails
        if not isinstance(error.__cause__, OSError):
            raise
        raise MissingExtraError(
            f"BTrack: btrack's compiled library does not load here ({error.__cause__}). The wheels of "
            "0.7 want a system with GCC 13's libstdc++ (Ubuntu 24.04, Debian 13 or newer); on an "
            "older one build btrack from its sources, or put such a libstdc++ on LD_LIBRARY_PATH"
        ) from error


def _objects(frame: np.ndarray, position: np.ndarray) -> Any:
    """btrack's objects, numbered by their row."""
    from btrack import btypes

    table = pd.DataFrame({"ID": np.arange(len(frame)), "t": frame})
    table["y"], table["x"], table["z"] = position[:, 0], position[:, 1], 0.0
    rows = table.to_dict("records")
    return [btypes.PyTrackObject.from_dict(row) for row in rows]


def _links(tracks: list[tuple[int, int, list[int]]]) -> tuple[np.ndarray, np.ndarray]:
    """Links of tracks given as (ID, parent, rows in order)."""
    rows = {name: refs for name, _, refs in tracks if refs}
    pairs = [(a, b) for refs in rows.values() for a, b in pairwise(refs)]
    pairs += [
        (rows[parent][-1], rows[name][0])
        for name, parent, _ in tracks
        if parent != name and parent in rows and name in rows
    ]
    links = np.array(pairs, np.int64).reshape(-1, 2)
    return links[:, 0], links[:, 1]
