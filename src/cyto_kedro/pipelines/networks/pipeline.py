"""networks: cell graphs per frame and over time, clusters, statistics of space, spread of death."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.networks import nodes, spatial_nodes


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return category(
        "networks",
        [
            node(
                lift(nodes.triangulate, by="fov", out=["fov"] * 3),
                ["track_points", "viability", "manifest", "params:networks.delaunay"],
                ["delaunay_graphs", "delaunay_measures", "delaunay_nodes"],
                name="triangulate",
            ),
            node(
                lift(nodes.connect_contacts, by="fov", out=["fov"] * 4),
                [
                    "contacts",
                    "bouts",
                    "track_points",
                    "viability",
                    "manifest",
                    "params:networks.contact",
                    "params:networks.over_time",
                ],
                ["contact_graphs", "contact_graph_over_time", "contact_measures", "contact_nodes"],
                name="connect_contacts",
            ),
            node(
                lift(nodes.connect_space_time, by="fov"),
                [
                    "contacts",
                    "bouts",
                    "deaths",
                    "kills",
                    "tracks",
                    "track_points",
                    "viability",
                    "manifest",
                    "params:networks.space_time",
                ],
                "space_time_graph",
                name="connect_space_time",
            ),
            node(
                lift(spatial_nodes.follow_clusters, by="fov"),
                ["contact_nodes", "track_points", "manifest", "params:networks.clusters"],
                "clusters",
                name="follow_clusters",
            ),
            node(
                lift(spatial_nodes.measure_space, by="fov", out=["fov"] * 2),
                ["track_points", "viability", "manifest", "params:networks.spatial"],
                ["spatial_statistics", "nearest_neighbours"],
                name="measure_space",
            ),
            node(
                lift(spatial_nodes.measure_death_spread, by="fov"),
                [
                    "fates",
                    "contacts",
                    "track_points",
                    "manifest",
                    "params:networks.death_spread",
                ],
                "death_spread",
                name="measure_death_spread",
            ),
        ],
    )
