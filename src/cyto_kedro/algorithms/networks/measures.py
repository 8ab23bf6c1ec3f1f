"""Edges and measures of cell graphs on plain arrays: quick, and independent of NetworkX."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from cyto_kedro.algorithms.contacts.common import divide, starts_of


def lengths(xy: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Distance between the ends of each edge, (E,), of points (N, 2) and edges (E, 2)."""
    d = xy[edges[:, 0]] - xy[edges[:, 1]]
    return np.hypot(d[:, 0], d[:, 1])


def triangulate(xy: np.ndarray) -> np.ndarray:
    """Edges (E, 2) int64, a < b, of the Delaunay triangulation of `xy` (N, 2); always connected.

    Points on one line are joined along it, and of coinciding points all but one hang on their
    twin, so that any set of two or more points gives a connected graph with its nearest pairs.
    """
    from scipy.spatial import Delaunay, QhullError

    n = len(xy)
    if n < 3:
        return np.zeros((max(n - 1, 0), 2), np.int64) + np.arange(2)
    try:
        triangulation = Delaunay(xy)
    except QhullError:
        return _along_line(xy)
    corners = triangulation.simplices
    pairs = np.concatenate([corners[:, :2], corners[:, 1:], corners[:, ::2]]).astype(np.int64)
    if len(triangulation.coplanar):
        pairs = np.concatenate([pairs, triangulation.coplanar[:, [0, 2]]])
    code = np.sort(pairs.min(axis=1) * n + pairs.max(axis=1))
    code = code[starts_of(code)]  # each inner edge is a side of two triangles
    return np.stack(np.divmod(code, n), axis=1)


def _along_line(xy: np.ndarray) -> np.ndarray:
    centred = xy - xy.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    order = np.argsort(centred @ axis, kind="stable")
    return np.sort(np.stack([order[:-1], order[1:]], axis=1), axis=1)


def connecting_radius(n: int, edges: np.ndarray, length: np.ndarray) -> float:
    """Smallest distance at which linking all pairs of points no further apart connects them all.

    It is the longest edge of the minimum spanning tree, which lies within the Delaunay
    triangulation (Preparata & Shamos 1985, section 6.1). Null for fewer than two points.
    """
    from scipy.sparse.csgraph import minimum_spanning_tree

    if n < 2:
        return float("nan")
    # ranks and not lengths as weights: csgraph takes a weight of 0 for no edge
    order = np.argsort(length, kind="stable")
    rank = np.empty(len(length))
    rank[order] = np.arange(1, len(length) + 1)
    tree = minimum_spanning_tree(sparse.csr_array((rank, (edges[:, 0], edges[:, 1])), (n, n)))
    return float(length[order[int(tree.data.max()) - 1]])


def measures(n: int, edges: np.ndarray, length: np.ndarray) -> dict[str, Any]:
    """Counts, components, mean degree, clustering and edge length of a simple graph.

    Parameters
    ----------
    n
        Number of nodes.
    edges
        (E, 2) node numbers, each undirected edge once.
    length
        (E,) in pixels.

    Returns
    -------
    dict
        Columns of `schemas.NetworkMeasures`. `mean_clustering` is the mean over all nodes of the
        local clustering coefficient (Watts & Strogatz 1998), 0 for nodes of degree below 2.
    """
    from scipy.sparse.csgraph import connected_components

    degree = np.bincount(edges.ravel(), minlength=n)
    code = np.sort(np.concatenate([edges @ [n, 1], edges @ [1, n]]))
    rows = np.concatenate([[0], np.cumsum(degree)])
    adjacency = sparse.csr_array((np.ones(len(code)), code % max(n, 1), rows), (n, n))
    if len(edges):
        # walks of two steps that a third closes: twice the triangles at each node
        closed = (adjacency @ adjacency).multiply(adjacency).sum(axis=1)
        clustering = np.nan_to_num(divide(closed, degree * (degree - 1)))
    else:
        clustering = np.zeros(n)
    n_components, component = connected_components(adjacency, directed=False)
    return {
        "n_nodes": n,
        "n_edges": len(edges),
        "n_components": n_components if n else 0,
        "largest_component": int(np.bincount(component).max()) if n else 0,
        "mean_degree": float(degree.mean()) if n else np.nan,
        "mean_clustering": float(clustering.mean()) if n else np.nan,
        "mean_edge_px": float(length.mean()) if len(edges) else np.nan,
    }
