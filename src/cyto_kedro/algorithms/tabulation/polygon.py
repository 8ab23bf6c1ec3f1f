"""Shape of cells as polygons along pixel edges, as TrackMate and ImageJ measure it."""

from __future__ import annotations

import numpy as np

from cyto_kedro.algorithms.tabulation.frame import FrameCells
from cyto_kedro.algorithms.tabulation.groups import FeatureGroup
from cyto_kedro.algorithms.tabulation.hull import corner_hull_area
from cyto_kedro.algorithms.tabulation.outline import crack_length


class Polygon(FeatureGroup):
    """Shape of the cell as a polygon along its pixels' edges: TrackMate's perimeter, circularity and
    solidity (of contours that are not simplified).

    ``polygon_perimeter_px`` is the number of pixel edges between the cell and what is not of it (edges
    of holes too, which TrackMate leaves out), ``polygon_circularity`` 4 π area / perimeter²,
    ``polygon_solidity`` the area over that of the convex hull of the pixels' corners.
    """

    def measure(self, cells: FrameCells) -> dict[str, np.ndarray]:
        """Columns of one frame."""
        perimeter = crack_length(cells.masks)
        return {
            "polygon_perimeter_px": perimeter,
            "polygon_circularity": 4 * np.pi * cells.count / perimeter**2,
            "polygon_solidity": cells.count / corner_hull_area(cells.masks),
        }
