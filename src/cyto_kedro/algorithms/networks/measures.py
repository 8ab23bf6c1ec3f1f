"""Edges and measures of cell graphs on plain arrays: quick, and independent of NetworkX.

Graphs of many frames are measured at once, as one graph whose parts are not joined: node numbers run
on from frame to frame, and ``starts`` (F + 1,) says where each frame's nodes begin.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import scipy

from cyto_kedro.core.keys import divide

# (sources at a time) x nodes of the arrays in `centralities`
_CHUNK = 4_000_000


def lengths(xy: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Distance between the ends of each edge, (E,), of points (N, 2) and edges (E, 2)."""
    d = xy[edges[:, 0]] - xy[edges[:, 1]]
    return np.hypot(d[:, 0], d[:, 1])


def triangulate(frames: Iterable[np.ndarray], starts: np.ndarray) -> np.ndarray:
    """Sorted edges (E, 2) int64, a < b, of the Delaunay triangulation of each frame's points (n, 2).

    Each frame's graph is connected: points on one line are joined along it, and of coinciding points
    all but one hang on their twin, so that any two or more points have their nearest pairs.
    """
    from scipy.spatial import Delaunay, QhullError

    edges = [np.zeros((0, 2), np.int64)]
    corners, across, n_triangles = [np.zeros((0, 3), np.int64)], [np.zeros((0, 3), np.int64)], 0
    for start, xy in zip(starts[:-1], frames, strict=True):
        if len(xy) < 3:
            if len(xy) == 2:
                edges.append(np.array([[start, start + 1]]))
            continue
        try:
            found = Delaunay(xy)
        except QhullError:
            edges.append(_along_line(xy) + start)
            continue
        corners.append(found.simplices + start)
        across.append(np.where(found.neighbors < 0, -1, found.neighbors + n_triangles))
        n_triangles += len(found.simplices)
        if len(found.coplanar):
            edges.append(found.coplanar[:, [0, 2]] + start)
    three, beside = np.concatenate(corners), np.concatenate(across)
    # side k lies opposite corner k; of the two triangles at an inner side the later one gives it
    mine = beside < np.arange(len(three))[:, None]
    for k, ends in enumerate(([1, 2], [2, 0], [0, 1])):
        edges.append(three[mine[:, k]][:, ends])
    return _sorted(np.concatenate(edges), starts)


def _sorted(edges: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """`edges` with a < b, in ascending order."""
    n = max(int(starts[-1]), 1)
    one, other = edges.T  # by column: much quicker than reductions along rows of two
    code = np.minimum(one, other) * n + np.maximum(one, other)
    if (code[1:] > code[:-1]).all() and (one < other).all():
        return edges
    code.sort()
    a = code // n
    return np.stack([a, code - a * n], axis=1)


def _along_line(xy: np.ndarray) -> np.ndarray:
    centred = xy - xy.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    order = np.argsort(centred @ axis, kind="stable")
    return np.sort(np.stack([order[:-1], order[1:]], axis=1), axis=1)


def join_frames(frames: Iterable[np.ndarray], starts: np.ndarray) -> np.ndarray:
    """Sorted edges (E, 2) int64, a < b, of all frames from those of each, numbered within it."""
    moved = [edges + start for start, edges in zip(starts[:-1], frames, strict=True)]
    return _sorted(np.concatenate([np.zeros((0, 2), np.int64), *moved]), starts)


def connecting_radii(starts: np.ndarray, edges: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Per frame (F,), the smallest distance at which linking all closer pairs connects all cells.

    It is the longest edge of the minimum spanning tree, which lies within the Delaunay
    triangulation (Preparata & Shamos 1985, section 6.1): `edges` must hold that of each frame. Null
    for fewer than two points.
    """
    from scipy.sparse.csgraph import minimum_spanning_tree

    radius = np.full(len(starts) - 1, np.nan)
    if not len(edges):
        return radius
    # csgraph takes a weight of 0 for no edge
    weight = np.maximum(length, np.finfo(float).tiny)
    tree = scipy.sparse.coo_array(minimum_spanning_tree(_upper(starts, edges, weight)))
    frame = np.searchsorted(starts, tree.coords[0], side="right") - 1
    longest = np.full(len(radius), -1.0)
    np.maximum.at(longest, frame, tree.data)
    radius[longest >= 0] = longest[longest >= 0]
    return np.where(radius == np.finfo(float).tiny, 0, radius)


def _upper(starts: np.ndarray, edges: np.ndarray, weight: np.ndarray) -> scipy.sparse.csr_array:
    """The (n, n) matrix of `weight` at (a, b) of each of the edges, which are sorted, a < b."""
    n = int(starts[-1])
    rows = np.concatenate([[0], np.cumsum(np.bincount(edges[:, 0], minlength=n))])
    return scipy.sparse.csr_array((weight, np.ascontiguousarray(edges[:, 1]), rows), (n, n))


def adjacency(n: int, edges: np.ndarray) -> scipy.sparse.csr_array:
    """The (n, n) matrix of ones at both ends of each edge, each undirected edge given once."""
    a, b = edges.T
    ones = np.ones(2 * len(edges))
    return scipy.sparse.csr_array((ones, (np.concatenate([a, b]), np.concatenate([b, a]))), (n, n))


def node_measures(starts: np.ndarray, edges: np.ndarray) -> dict[str, np.ndarray]:
    """Per node: degree, clustering, component (from 1 in each frame), component_size.

    `clustering` is the local clustering coefficient (Watts & Strogatz 1998): of the pairs of
    neighbours, the share that are neighbours of each other; 0 for nodes of degree below 2.
    """
    from scipy.sparse.csgraph import connected_components

    n = int(starts[-1])
    edges = _sorted(edges, starts)
    degree = np.bincount(edges.ravel(), minlength=n)
    matrix = _upper(starts, edges, np.ones(len(edges)))
    clustering = np.zeros(n)
    if len(edges):
        # of a triangle a < b < c, ways a-b-c closed by a-c count it at a and c, forks b-a-c at b
        ways = (matrix @ matrix).multiply(matrix)
        forks = (matrix.T @ matrix).multiply(matrix)
        closed = ways.sum(axis=1) + ways.sum(axis=0) + forks.sum(axis=1)
        clustering = np.nan_to_num(divide(2 * closed, degree * (degree - 1)))
    component = connected_components(matrix, directed=False)[1].astype(np.int64)
    held = np.flatnonzero(np.diff(starts))  # frames with cells
    first = np.minimum.reduceat(component, starts[held]) if n else component
    return {
        "degree": degree,
        "clustering": clustering,
        "component": component - np.repeat(first, np.diff(starts)[held]) + 1,
        "component_size": np.bincount(component, minlength=1)[component],
    }


def frame_measures(
    starts: np.ndarray, edges: np.ndarray, length: np.ndarray, nodes: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Per frame (F,): the counts and means of `schemas.NetworkMeasures`; `nodes` by node_measures."""
    n = np.diff(starts)
    n_frames = len(n)
    frame = np.repeat(np.arange(n_frames), n)
    of_edge = frame[edges[:, 0]]
    n_edges = np.bincount(of_edge, minlength=n_frames)
    parts, largest = np.zeros((2, n_frames), np.int64)
    np.maximum.at(parts, frame, nodes["component"])
    np.maximum.at(largest, frame, nodes["component_size"])
    return {
        "n_nodes": n,
        "n_edges": n_edges,
        "n_components": parts,
        "largest_component": largest,
        "mean_degree": divide(2 * n_edges, n),
        "mean_clustering": divide(np.bincount(frame, nodes["clustering"], n_frames), n),
        "mean_edge_px": divide(np.bincount(of_edge, length, n_frames), n_edges),
    }


def assortativity(starts: np.ndarray, edges: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Homophily per frame (F,): the assortativity coefficient of the nodes' kinds.

    ``r = (sum_k e_kk - sum_k a_k^2) / (1 - sum_k a_k^2)``, e the share of edge ends that join two
    kinds, a its row sums (Newman 2003, Phys. Rev. E 67, 026126, eq. 2). 1: only like join like, 0:
    as at random, negative: unlike join. Edges at a node of kind -1 (unknown) do not count. Null
    without edges, or where all ends are of one kind.
    """
    a, b = kind[edges[:, 0]], kind[edges[:, 1]]
    known = (a >= 0) & (b >= 0)
    a, b = a[known], b[known]
    n_frames, n_kinds = len(starts) - 1, int(kind.max(initial=0)) + 1
    frame = np.searchsorted(starts, edges[known, 0], side="right") - 1
    one_way = np.bincount((frame * n_kinds + a) * n_kinds + b, minlength=n_frames * n_kinds**2)
    mixing = one_way.reshape(n_frames, n_kinds, n_kinds)
    mixing = mixing + mixing.swapaxes(1, 2)
    ends = mixing.sum(axis=(1, 2))
    like = divide(np.trace(mixing, axis1=1, axis2=2), ends)
    chance = (divide(mixing.sum(axis=2), ends[:, None]) ** 2).sum(axis=1)
    return np.where(np.isclose(chance, 1), np.nan, divide(like - chance, 1 - chance))


def centralities(starts: np.ndarray, edges: np.ndarray) -> dict[str, np.ndarray]:
    """Closeness and betweenness of every node, in steps along edges.

    `closeness` is ``(r - 1) / (sum of distances) * (r - 1) / (n - 1)``, r the nodes that can be
    reached, itself among them (Wasserman & Faust 1994, eq. 5.22, for graphs in parts); 0 for a node
    alone. `betweenness` is the share of shortest paths between two others that pass through, over
    all ``(n - 1) (n - 2) / 2`` pairs, by Brandes' (2001) accumulation, for many sources at once: a
    step of the search from all of them is one sparse product. Work grows as nodes times edges.
    """
    closeness, betweenness = np.zeros(int(starts[-1])), np.zeros(int(starts[-1]))
    frame = np.searchsorted(starts, edges[:, 0], side="right") - 1
    for i in np.unique(frame):
        first, n = int(starts[i]), int(starts[i + 1] - starts[i])
        matrix = adjacency(n, edges[frame == i] - first)
        passed = np.zeros(n)
        for sources in np.array_split(np.arange(n), -(-n * n // _CHUNK)):
            distance, through = _shortest_paths(matrix, sources)
            reached = (distance >= 0).sum(axis=0) - 1
            total = np.where(distance > 0, distance, 0).sum(axis=0)
            closeness[first + sources] = np.nan_to_num(divide(reached**2, total * (n - 1)))
            passed += through
        if n > 2:
            betweenness[first : first + n] = passed / ((n - 1) * (n - 2))
    return {"closeness": closeness, "betweenness": betweenness}


def _shortest_paths(
    matrix: scipy.sparse.csr_array, sources: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Steps from each source to each node (n, S), -1 where there is no way; dependencies (n,)."""
    n, columns = matrix.shape[0], np.arange(len(sources))
    distance = np.full((n, len(sources)), -1)
    paths = np.zeros((n, len(sources)))
    distance[sources, columns], paths[sources, columns] = 0, 1
    level, front = 0, paths.copy()
    while front.any():
        level += 1
        front = (matrix @ front) * (distance < 0)
        distance[front > 0] = level
        paths += front
    dependency = np.zeros_like(paths)
    for here in range(level - 1, 0, -1):
        share = np.where(distance == here, divide(1 + dependency, paths), 0)
        dependency += np.where(distance == here - 1, paths * (matrix @ share), 0)
    dependency[sources, columns] = 0
    return distance, dependency.sum(axis=1)
