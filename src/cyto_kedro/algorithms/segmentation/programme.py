"""The set of regions and links over time of highest score, as an integer programme.

Regions are nodes, each worth something if chosen; of regions that conflict at most one is chosen. A
chosen region is linked to at most one chosen region before and after it, or divides in two, or begins
or ends there at a price. So what is chosen in a frame depends on what is there before and after: the
flow formulation of tracking by assignment (Jug et al. 2014, doi:10.1007/978-3-319-12289-2_3; Türetken
et al. 2017, doi:10.1109/TPAMI.2016.2601102).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
import scipy

log = logging.getLogger(__name__)

_GAP = 1e-6  # of the best score, that the solver may miss
_NODES = 10_000  # of the search tree: a limit of time would make results depend on the machine


@dataclass(frozen=True)
class Programme:
    """What can be chosen, and what it is worth."""

    #: (n,) worth of each region
    worth: np.ndarray
    #: (n,) price of a track that begins with it, and of one that ends with it
    begin: np.ndarray
    end: np.ndarray
    #: (k, 2) regions that exclude each other
    conflict: np.ndarray
    #: (m, 2) regions, from an earlier to a later frame, and (m,) worth of the link
    link: np.ndarray
    link_worth: np.ndarray
    #: (d, 3) a region and the two of a later frame that it divides into, and (d,) worth of that
    division: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    division_worth: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def parts(self) -> list[tuple[np.ndarray, ...]]:
        """Rows of regions, conflicts, links and divisions that have to do with each other."""
        n = len(self.worth)
        ties = self.conflict, self.link, self.division[:, :2], self.division[:, ::2]
        edges = np.concatenate(ties).reshape(-1, 2)
        matrix = scipy.sparse.coo_matrix((np.ones(len(edges), bool), edges.T), shape=(n, n))
        count, part = scipy.sparse.csgraph.connected_components(matrix, directed=False)
        by_part = [
            _grouped(each, count)
            for each in (
                part,
                *(part[rows[:, 0]] for rows in (self.conflict, self.link, self.division)),
            )
        ]
        return list(zip(*by_part, strict=True))

    def solved(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Regions (n,), links (m,) and divisions (d,) bool that are chosen."""
        chosen, linked = np.zeros(len(self.worth), bool), np.zeros(len(self.link), bool)
        divided = np.zeros(len(self.division), bool)
        row = np.zeros(len(self.worth), np.int64)
        for nodes, conflicts, links, divisions in self.parts():
            row[nodes] = np.arange(len(nodes))
            part = Programme(
                self.worth[nodes],
                self.begin[nodes],
                self.end[nodes],
                row[self.conflict[conflicts]],
                row[self.link[links]],
                self.link_worth[links],
                row[self.division[divisions]],
                self.division_worth[divisions],
            )
            chosen[nodes], linked[links], divided[divisions] = part._whole()
        return chosen, linked, divided

    def _whole(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n, m, d = len(self.worth), len(self.link), len(self.division)
        if n == 1:
            return self.worth - self.begin - self.end > 0, np.zeros(0, bool), np.zeros(0, bool)
        from scipy.optimize import Bounds, LinearConstraint, milp

        # Variables: regions, links, divisions. What begins is a region less the links into it, so
        # its price is one on the region and a gain on each of these links.
        source, target = self.link.T
        mother, one, two = self.division.T
        gain = np.concatenate(
            [
                self.worth - self.begin - self.end,
                self.link_worth + self.end[source] + self.begin[target],
                self.division_worth + self.end[mother] + self.begin[one] + self.begin[two],
            ]
        )
        links, divisions = n + np.arange(m), n + m + np.arange(d)
        cliques = _cliques(n, self.conflict)
        entries: list[tuple[np.ndarray, np.ndarray, float]] = []  # rows, columns, value
        limit: list[float] = []
        for end, at in (  # sum of links and divisions - region <= 0
            (np.concatenate([source, mother]), np.concatenate([links, divisions])),
            (np.concatenate([target, one, two]), np.concatenate([links, divisions, divisions])),
        ):
            used, row = np.unique(end, return_inverse=True)
            own = np.arange(len(used)) + len(limit)
            entries += [(row + len(limit), at, 1.0), (own, used, -1.0)]
            limit += [0.0] * len(used)
        row = np.repeat(np.arange(len(cliques)), [len(each) for each in cliques]) + len(limit)
        within = np.array([each for clique in cliques for each in clique], np.int64)
        entries.append((row, within, 1.0))
        limit += [1.0] * len(cliques)
        rows, columns, values = zip(*entries, strict=True)
        value = np.repeat(values, [len(each) for each in rows])
        where = np.concatenate(rows), np.concatenate(columns)
        matrix = scipy.sparse.csc_matrix((value, where), (len(limit), n + m + d))
        found = milp(
            -gain,
            integrality=np.concatenate([np.ones(n), np.zeros(m), np.ones(d)]),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(matrix, -np.inf, limit),
            options={"mip_rel_gap": _GAP, "node_limit": _NODES},
        )
        if found.x is None:
            raise RuntimeError(f"the integer programme was not solved: {found.message}")
        if found.status:
            log.warning(
                "%d regions that hang together were decided nearly best, %.2g %% below the bound",
                *(n, 100 * found.mip_gap),
            )
        regions, linked, divided = np.split(found.x > 0.5, [n, n + m])
        return regions, linked, divided


def _grouped(part: np.ndarray, count: int) -> list[np.ndarray]:
    order = np.argsort(part, kind="stable")
    return np.split(order, np.searchsorted(part[order], np.arange(1, count)))


def _cliques(n: int, conflict: np.ndarray) -> list[list[int]]:
    """Largest sets of regions that all exclude each other: tighter bounds than pairs give."""
    import networkx as nx

    graph = nx.Graph(conflict.tolist())
    return sorted(sorted(each) for each in nx.find_cliques(graph))
