"""extended: further analyses that no other part needs, by topic, and the figures the report shows."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.parameters import NetworksSpec
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.comparison import nodes as comparison_nodes
from cyto_kedro.pipelines.contacts import column_nodes, density_nodes, motion_nodes
from cyto_kedro.pipelines.contacts.motion_nodes import less_drift
from cyto_kedro.pipelines.contacts.pipeline import slot
from cyto_kedro.pipelines.extended import nodes
from cyto_kedro.pipelines.generated import generated
from cyto_kedro.pipelines.networks.nodes import with_dead


def create_pipeline() -> Pipeline:
    """The pipeline."""
    topics = (
        *(motion(), encounters(), density(), space_time(), columns(), events()),
        *(behaviour(), figures()),
    )
    return Pipeline(sum(topics, Pipeline([])), tags="extended")


def motion() -> Pipeline:
    """How cells move: displacement over lags, fits, persistence, smoothed tracks."""
    return category(
        "motion",
        [
            node(
                lift(motion_nodes.describe_motion, by="fov/population", out=["fov/population"] * 4),
                [
                    "track_points",
                    "subtracted_drift",
                    "manifest",
                    "params:contacts.msd",
                    "params:contacts.autocorrelation",
                ],
                ["msd", "track_fits", "motion_fits", "velocity_autocorrelation"],
                name="describe_motion",
            ),
            node(
                lift(motion_nodes.smooth_tracks, by="fov/population"),
                ["steps", "track_points", "cells", "manifest", "params:contacts.smoothing"],
                "smoothed_steps",
                name="smooth_tracks",
            ),
        ],
    )


def encounters() -> Pipeline:
    """Contacts by pair, by cell, by frame, and how long they last."""
    return category(
        "encounters",
        [
            generated("sum_encounters", slot("encounters"), "fov", ["encounters"]),
            generated("look_around", slot("neighbours"), "fov", ["neighbours"]),
            generated(
                "count_conjugates",
                slot("conjugation"),
                "fov",
                {"conjugation": "conjugation", "tiles": "conjugation_tiles"},
            ),
            node(
                nodes.estimate_dwell,
                ["bouts", "fields", "manifest", "params:contacts.dwell"],
                "dwell",
                name="estimate_dwell",
            ),
        ],
    )


def space_time() -> Pipeline:
    """How clusters and deaths lie in space and time."""
    return category(
        "space_time",
        [
            generated("index_deaths", slot("death_index"), "fov/population", ["death_index"]),
            generated(
                "follow_clusters",
                (NetworksSpec, "networks.clusters"),
                "fov",
                ["clusters"],
                reads={"nodes": "contact_nodes"},
            ),
            generated(
                "measure_space",
                (NetworksSpec, "networks.spatial"),
                "fov",
                ["spatial_statistics", "nearest_neighbours"],
                also=["viability"],
                prepare=with_dead,
            ),
            generated(
                "measure_death_spread",
                (NetworksSpec, "networks.death_spread"),
                "fov",
                ["death_spread"],
            ),
            generated(
                "connect_space_time",
                (NetworksSpec, "networks.space_time"),
                "fov",
                {"network": "space_time_graph"},
                also=["viability"],
                prepare=with_dead,
            ),
        ],
    )


def density() -> Pipeline:
    """Where cells are dense, how evenly they are spread, how well mixed."""
    return category(
        "density",
        [
            node(
                lift(density_nodes.map_density, by="fov", out=["fov/population", "fov"]),
                ["cells", "manifest", "params:contacts.density"],
                ["density_maps", "cell_density"],
                name="map_density",
            ),
            generated(
                "measure_organisation",
                (NetworksSpec, "networks.organisation"),
                "fov",
                ["organisation"],
            ),
        ],
    )


def columns() -> Pipeline:
    """Columns made of other columns (`contacts.columns`)."""
    return category(
        "columns",
        [
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
    )


def events() -> Pipeline:
    """Columns of cells around contact, death, kill and events of your own, and when these happen."""
    return category(
        "events",
        [
            node(
                lift(comparison_nodes.follow_events, by="fov", out=["fov"] * 2),
                [
                    *("track_points", "cells", "steps", "bouts", "deaths", "kills", "fates"),
                    *("manifest", "params:comparison"),
                ],
                ["event_times", "event_sums"],
                name="follow_events",
            ),
            node(
                comparison_nodes.average_events,
                [
                    *("fields", "frames", "event_times", "event_sums", "manifest"),
                    *("params:comparison", "params:reporting"),
                ],
                ["event_signals", "event_curves", "events_figure", "event_curves_figure"],
                name="average_events",
            ),
        ],
    )


def behaviour() -> Pipeline:
    """What cells do in windows of time, and in which condition how much."""
    return category(
        "behaviour",
        [
            generated(
                "cut_windows",
                slot("windows"),
                "fov",
                ["track_windows"],
                also=["subtracted_drift"],
                prepare=less_drift,
            ),
            node(
                comparison_nodes.class_behaviours,
                [
                    *("fields", "frames", "track_windows", "manifest"),
                    *("params:comparison", "params:reporting"),
                ],
                [
                    *("behaviours", "behaviour_profiles", "behaviour_shares"),
                    *("behaviour_comparisons", "behaviours_figure"),
                ],
                name="class_behaviours",
            ),
        ],
    )


def figures() -> Pipeline:
    """What the report shows of them."""
    return category(
        "further_figures",
        [
            node(
                nodes.draw_further_figures,
                [
                    "fields",
                    "msd",
                    "velocity_autocorrelation",
                    "death_index",
                    "conjugation",
                    "clusters",
                    "cell_density",
                    "spatial_statistics",
                    "organisation",
                    "manifest",
                    "params:reporting",
                ],
                ["msd_figure", "further_figure"],
                name="draw_further_figures",
            ),
        ],
    )
