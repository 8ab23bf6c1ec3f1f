"""Cell graphs."""

from __future__ import annotations

import pandera.pandas as pa
from pandera.typing import Series

from cyto_kedro.schemas.base import PerFov, Table


class NetworkMeasures(PerFov):
    """Measures of one cell graph; `network` says which (delaunay or contact)."""

    frame: Series[int] = pa.Field(ge=0)
    network: Series[str]
    n_nodes: Series[int] = pa.Field(ge=0)
    n_edges: Series[int] = pa.Field(ge=0)
    n_components: Series[int] = pa.Field(ge=0)
    largest_component: Series[int] = pa.Field(ge=0)
    mean_degree: Series[float] = pa.Field(nullable=True)
    mean_clustering: Series[float] = pa.Field(nullable=True)
    mean_edge_px: Series[float] = pa.Field(nullable=True)
    connecting_radius_px: Series[float] = pa.Field(
        nullable=True, description="smallest radius that connects all cells"
    )

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "frame", "network"]


TABLES: dict[str, type[Table]] = {
    "network_measures": NetworkMeasures,
}
