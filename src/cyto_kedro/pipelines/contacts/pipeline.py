"""contacts: kinematics, contacts and bouts, viability, deaths, kills."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.contacts import (
    column_nodes,
    contact_nodes,
    death_nodes,
    density_nodes,
    motion_nodes,
    nodes,
)


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return category(
        "contacts",
        [
            node(
                lift(motion_nodes.estimate_drift, by="fov", out=["fov"] * 2),
                ["track_points", "manifest", "params:contacts.drift"],
                ["drift", "subtracted_drift"],
                name="estimate_drift",
            ),
            node(
                lift(motion_nodes.measure_motion, by="fov/population", out=["fov/population"] * 2),
                ["track_points", "subtracted_drift", "manifest", "params:contacts.kinematics"],
                ["steps", "motility"],
                name="measure_motion",
            ),
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
                death_nodes.learn_killing,
                [
                    "observed_deaths",
                    "fates",
                    "contacts",
                    "fields",
                    "frames",
                    "manifest",
                    "params:contacts.kills",
                ],
                "attack_models",
                name="learn_killing",
            ),
            node(
                lift(nodes.attribute_kills, by="fov", out=["fov", "fov"]),
                [
                    "observed_deaths",
                    "fates",
                    "contacts",
                    "attack_models",
                    "fields",
                    "frames",
                    "manifest",
                    "params:contacts.kills",
                ],
                ["kills", "deaths"],
                name="attribute_kills",
            ),
            node(
                lift(contact_nodes.sum_encounters, by="fov"),
                ["bouts", "track_points", "manifest", "params:contacts.encounters"],
                "encounters",
                name="sum_encounters",
            ),
            node(
                lift(contact_nodes.look_around, by="fov"),
                ["contacts", "track_points", "manifest", "params:contacts.neighbours"],
                "neighbours",
                name="look_around",
            ),
            node(
                lift(contact_nodes.count_conjugates, by="fov", out=["fov"] * 2),
                [
                    "contacts",
                    "track_points",
                    "viability",
                    "frames",
                    "manifest",
                    "params:contacts.conjugation",
                ],
                ["conjugation", "conjugation_tiles"],
                name="count_conjugates",
            ),
            node(
                contact_nodes.estimate_dwell,
                ["bouts", "fields", "manifest", "params:contacts.dwell"],
                "dwell",
                name="estimate_dwell",
            ),
            node(
                lift(death_nodes.tally_cells, by="fov", out=["fov", "fov"]),
                [
                    "fates",
                    "deaths",
                    "kills",
                    "contacts",
                    "bouts",
                    "frames",
                    "manifest",
                    "params:contacts.tallies",
                ],
                ["effectors", "targets"],
                name="tally_cells",
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
    )
