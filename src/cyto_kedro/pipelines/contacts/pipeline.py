"""contacts: kinematics, contacts and bouts, viability, deaths, kills."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.pipelines.contacts import column_nodes, density_nodes, nodes


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return Pipeline(
        [
            node(
                lift(nodes.measure_motion, by="fov/population", out=["fov/population"] * 2),
                ["track_points", "manifest", "params:contacts.kinematics"],
                ["steps", "motility"],
                name="measure_motion",
            ),
            node(
                lift(nodes.join_contacts, by="fov"),
                ["touches", "track_points", "manifest", "params:contacts.contacts"],
                "contacts",
                name="join_contacts",
            ),
            node(
                lift(nodes.find_bouts, by="fov"),
                ["contacts", "track_points", "tracks", "manifest", "params:contacts.bouts"],
                "bouts",
                name="find_bouts",
            ),
            node(
                lift(nodes.estimate_viability, by="population"),
                ["cells", "fields", "manifest", "params:contacts.viability"],
                "viability_state",
                name="estimate_viability",
            ),
            node(
                lift(nodes.assess_viability, by="fov/population/block"),
                ["cells", "viability_state", "fields", "manifest", "params:contacts.viability"],
                "viability",
                name="assess_viability",
            ),
            node(
                lift(nodes.call_deaths, by="fov/population", out=["fov/population"] * 2),
                ["viability", "track_points", "tracks", "manifest", "params:contacts.deaths"],
                ["observed_deaths", "fates"],
                name="call_deaths",
            ),
            node(
                lift(nodes.attribute_kills, by="fov", out=["fov", "fov"]),
                ["observed_deaths", "contacts", "manifest", "params:contacts.kills"],
                ["kills", "deaths"],
                name="attribute_kills",
            ),
            node(
                lift(density_nodes.map_density, by="fov", out=["fov/population", "fov"]),
                ["cells", "manifest", "params:contacts.density"],
                ["density_maps", "cell_density"],
                name="map_density",
            ),
            node(
                lift(density_nodes.index_deaths, by="fov/population"),
                ["viability", "manifest", "frames", "params:contacts.death_index"],
                "death_index",
                name="index_deaths",
            ),
            node(
                lift(column_nodes.pool_columns, by="population"),
                ["cells", "fields", "manifest", "params:contacts.columns"],
                "column_state",
                name="pool_columns",
            ),
            node(
                lift(column_nodes.make_columns, by="fov", out="fov/population"),
                [
                    *("cells", "touches", "viability", "track_points", "column_state", "fields"),
                    *("manifest", "params:contacts.columns"),
                ],
                "cell_columns",
                name="make_columns",
            ),
        ],
        tags="contacts",
    )
