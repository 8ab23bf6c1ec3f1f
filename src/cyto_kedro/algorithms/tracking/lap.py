"""Linking by linear assignment with gap closing and division, with laptrack."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.base import length_px
from cyto_kedro.algorithms.tracking.common import Linker


class LAP(Linker):
    """Link by two linear assignment problems (Jaqaman et al., Nature Methods 2008; TrackMate).

    The first joins detections of neighbouring frames into segments; the second closes gaps between
    segments and, if asked, lets a segment start from another by division. Costs are squared
    distances, and alternatives cost what they do in TrackMate. Two tracks never merge.

    Data, results and errors are those of `Linker`; besides:

    Raises
    ------
    ConfigError
        If a length is missing or given twice.
    """

    max_distance_um: float | None = Field(None, gt=0, description="largest step, micrometres")
    max_distance_px: float | None = Field(None, gt=0, description="largest step, pixels")
    gap_closing_max_frames: int = Field(
        2,
        ge=0,
        description="largest difference in frame number bridged, as in TrackMate: 2 is one frame "
        "not seen; below 2 no gap is bridged",
    )
    gap_closing_max_distance_um: float | None = Field(
        None, gt=0, description="largest distance bridged, micrometres; default max_distance"
    )
    gap_closing_max_distance_px: float | None = Field(None, gt=0, description="in pixels")
    splitting: bool = Field(False, description="let cells divide")
    splitting_max_distance_um: float | None = Field(
        None, gt=0, description="largest distance from mother to daughter; default max_distance"
    )
    splitting_max_distance_px: float | None = Field(None, gt=0, description="in pixels")

    def link(
        self, frame: np.ndarray, position: np.ndarray, pixel_size_um: float | None, name: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Linker.link`."""
        from laptrack import LapTrack

        reach = length_px("max_distance", self.max_distance_um, self.max_distance_px, pixel_size_um)
        gap = self._or_reach("gap_closing_max_distance", reach, pixel_size_um)
        split = self._or_reach("splitting_max_distance", reach, pixel_size_um)
        tracker = LapTrack(
            cutoff=reach**2,
            gap_closing_cutoff=gap**2 if self.gap_closing_max_frames > 1 else False,
            gap_closing_max_frame_count=self.gap_closing_max_frames,
            splitting_cutoff=split**2 if self.splitting else False,
            merging_cutoff=False,
        )
        numbers = np.arange(frame[0], frame[-1] + 1)
        start = np.searchsorted(frame, numbers)
        tree = tracker.predict(np.split(position, start[1:]))
        edges = np.array(list(tree.edges), np.int64).reshape(-1, 2, 2)
        row = start[edges[:, :, 0]] + edges[:, :, 1]
        return row[:, 0], row[:, 1]

    def _or_reach(self, name: str, reach: float, pixel_size_um: float | None) -> float:
        um, px = getattr(self, f"{name}_um"), getattr(self, f"{name}_px")
        return reach if um is None and px is None else length_px(name, um, px, pixel_size_um)
