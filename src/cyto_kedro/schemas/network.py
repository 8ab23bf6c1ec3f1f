"""Cell graphs, and how cells and deaths lie in space."""

from __future__ import annotations

import pandas as pd
from pandera.typing import Series

from cyto_kedro.schemas.base import PerFov, PerPopulation, known, nullable


class NetworkMeasures(PerFov, key="fov frame network"):
    """Measures of one cell graph; `network` says which (delaunay, radius, nearest, contact)."""

    frame: Series[int] = known(ge=0)
    time_min: Series[float] = nullable()
    network: Series[str] = known("delaunay, radius, nearest or contact")
    n_nodes: Series[int] = known(ge=0)
    n_edges: Series[int] = known(ge=0)
    n_components: Series[int] = known(ge=0)
    largest_component: Series[int] = known(ge=0)
    mean_degree: Series[float] = nullable()
    mean_clustering: Series[float] = nullable()
    mean_edge_px: Series[float] = nullable()
    mean_edge_um: Series[float] = nullable("the same")
    connecting_radius_px: Series[float] = nullable("smallest radius that connects all cells")
    connecting_radius_um: Series[float] = nullable("the same")
    population_assortativity: Series[float] = nullable(
        "homophily: 1 like joins like, 0 as at random, below 0 unlike"
    )
    dead_assortativity: Series[float] = nullable("the same of dead and living cells")


class NetworkNodes(PerFov, key="fov frame network population track_id"):
    """One cell in the graph of one frame; adds ``degree_<population>`` for every population."""

    frame: Series[int] = known(ge=0)
    network: Series[str] = known("delaunay, radius, nearest or contact")
    population: Series[str]
    track_id: Series[int] = known(ge=1)
    degree: Series[int] = known("neighbours", ge=0)
    clustering: Series[float] = known(
        "share of its pairs of neighbours that are neighbours", ge=0, le=1
    )
    component: Series[int] = known("number of its group in this frame", ge=1)
    component_size: Series[int] = known("cells in that group", ge=1)
    closeness: Series[float] = nullable("nearness to all others, in steps; where asked for")
    betweenness: Series[float] = nullable("share of shortest paths through it; where asked for")


class Clusters(PerFov, key="fov network cluster_id frame"):
    """A group of cells that hang together, in one frame; `cluster_id` follows it through time.

    `begin` is filled in the first frame of a cluster, `end` in its last.
    """

    network: Series[str] = known("delaunay, radius, nearest or contact")
    cluster_id: Series[int] = known("number of the cluster in its field", ge=1)
    frame: Series[int] = known(ge=0)
    time_min: Series[float] = nullable()
    component: Series[int] = known("its number in this frame, see nodes", ge=1)
    n_cells: Series[int] = known("cells in it", ge=1)
    x_px: Series[float] = known("mean of its cells")
    y_px: Series[float] = known("mean of its cells")
    gyration_px: Series[float] = known(
        "root of the mean squared distance of its cells from their mean", ge=0
    )
    gyration_um: Series[float] = nullable("the same")
    n_stayed: Series[pd.Int64Dtype] = nullable("of its cells when last seen, those still in it")
    n_merged: Series[int] = known("other clusters that became part of it here", ge=0)
    begin: Series[str] = nullable("how it came about", isin=("film_start", "birth", "split"))
    split_from: Series[pd.Int64Dtype] = nullable("cluster that most of its cells come from")
    end: Series[str] = nullable("what became of it", isin=("film_end", "death", "merge"))
    merged_into: Series[pd.Int64Dtype] = nullable("cluster that most of its cells go to")


class Organisation(PerPopulation, key="fov population frame"):
    """How evenly a population is spread over equal boxes of the field, and mixed with all others."""

    frame: Series[int] = known(ge=0)
    time_min: Series[float] = nullable()
    n_cells: Series[int] = known("of the population in the frame, dead ones too", ge=1)
    n_boxes: Series[int] = known("that the field is cut into", ge=1)
    spread: Series[float] = nullable(
        "entropy of the cells' shares in the boxes over its largest: 0 all in one, 1 even"
    )
    spread_by_chance: Series[float] = nullable("expected of as many cells put anywhere")
    mixing: Series[float] = nullable(
        "mean entropy of the boxes' composition over the frame's: 0 apart, 1 mixed; empty without others"
    )
    mixing_by_chance: Series[float] = nullable("expected with the cells' names dealt anew")


class _Pairs(PerFov):
    population_a: Series[str] = known("cells looked from; deaths that may spread")
    population_b: Series[str] = known("cells looked for; at risk of it")


class SpatialStatistics(_Pairs, key="fov frame population_a population_b radius_px"):
    """Ripley's K and the nearest-neighbour distribution G, from cells a to cells b in one frame.

    `_low` and `_high` bound the middle 95 % of what shuffled population labels give.
    """

    frame: Series[int] = known(ge=0)
    time_min: Series[float] = nullable()
    radius_px: Series[float] = known("r", gt=0)
    radius_um: Series[float] = nullable("the same")
    n_a: Series[int] = known("cells a in the frame", ge=0)
    n_b: Series[int] = known("cells b in the frame", ge=0)
    correction: Series[str] = known("of K, for what lies outside of the field")
    k_px2: Series[float] = nullable("Ripley's K: cells b within the radius, over their density")
    k_um2: Series[float] = nullable("the same")
    l_px: Series[float] = nullable("root of K / pi: the radius where positions are random")
    l_um: Series[float] = nullable("the same")
    l_low_px: Series[float] = nullable("of L, labels shuffled")
    l_high_px: Series[float] = nullable("of L, labels shuffled")
    p_value: Series[float] = nullable(
        "of this radius alone, two-sided, labels shuffled", ge=0, le=1
    )
    p_all_radii: Series[float] = nullable(
        "one test over all radii of this frame and pair", ge=0, le=1
    )
    g: Series[float] = nullable("share of a with a nearest b within the radius", ge=0, le=1)
    g_random: Series[float] = nullable("the same where b lies at random: 1 - exp(-density pi r²)")


class NearestNeighbours(_Pairs, key="fov frame population_a population_b"):
    """Distance of cells a to the nearest cell b in one frame, beside what chance gives."""

    frame: Series[int] = known(ge=0)
    time_min: Series[float] = nullable()
    n_a: Series[int] = known("cells a in the frame", ge=0)
    n_b: Series[int] = known("cells b in the frame", ge=0)
    mean_nearest_px: Series[float] = nullable("mean distance")
    mean_nearest_um: Series[float] = nullable("the same")
    clark_evans: Series[float] = nullable(
        "over that of random positions: < 1 clustered, > 1 regular"
    )
    clark_evans_z: Series[float] = nullable("in standard errors")
    clark_evans_p: Series[float] = nullable("two-sided", ge=0, le=1)
    shuffled_nearest_px: Series[float] = nullable("mean distance where labels are shuffled")
    shuffled_ratio: Series[float] = nullable("over it: < 1 a seeks b, > 1 avoids b")
    shuffled_p: Series[float] = nullable("two-sided", ge=0, le=1)


class DeathSpread(_Pairs, key="fov population_a population_b max_distance_px compared_within"):
    """Whether deaths of a make later deaths of b near them likelier, over the whole film."""

    compared_within: Series[str] = known(
        "cells at risk that a death is held against", isin=("frame", "frame and contact")
    )
    max_distance_px: Series[float] = known("reach of a death", gt=0)
    max_distance_um: Series[float] = nullable("the same")
    near: Series[str] | None = known(
        "within reach, or neighbours within it besides", isin=("distance", "neighbours")
    )
    window_frames: Series[float] = nullable("how long a death acts")
    window_min: Series[float] = nullable("the same")
    n_sources: Series[int] = known("deaths of a", ge=0)
    n_deaths: Series[int] = known("deaths of b that others were at risk of", ge=0)
    n_exposed: Series[int] = known("of these, after a death of a near them", ge=0)
    expected_exposed: Series[float] = known("the same where deaths do not spread")
    ratio: Series[float] = nullable("n_exposed over it")
    hazard_ratio: Series[float] = nullable("rate of death with a death near over that without")
    hazard_ratio_low: Series[float] = nullable("95 % confidence")
    hazard_ratio_high: Series[float] = nullable("95 % confidence")
    p_value: Series[float] = nullable("that as many are exposed by chance; exact", ge=0, le=1)
    knox_pairs: Series[int] = known("pairs of deaths near in space and time", ge=0)
    knox_expected: Series[float] = known("the same where deaths do not spread")
    knox_ratio: Series[float] = nullable("knox_pairs over it")
    knox_p: Series[float] = nullable("that as many pairs arise by chance; permutation", ge=0, le=1)
    note: Series[str] = known("why numbers are empty, or not to be trusted")
