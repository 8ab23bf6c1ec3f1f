"""Figure of the cell graphs: who neighbours and who touches whom, early, midway and late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.reporting.overlays import time_stamp
from cyto_kedro.algorithms.reporting.plots import Drawing, Drawn, Roles, Sheet, in_words, short
from cyto_kedro.core.groups import of_role, with_condition
from cyto_kedro.core.style import INK, ROLE_COLOURS, figure, styled
from cyto_kedro.schemas import Fields, Frames, TableOf, or_empty

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = {"effector": "o", "target": "s", "other": "^"}


class NetworkFigures(Drawing):
    """Snapshots of the cell graphs of one field per condition.

    Examples
    --------
    >>> import networkx as nx
    >>> from cyto_kedro.schemas import filled
    >>> touching = nx.Graph()
    >>> for track_id, x in ((1, 4.0), (2, 8.0)):
    ...     touching.add_node(track_id, population="TCell", track_id=track_id, x_px=x, y_px=5.0)
    >>> touching.add_edge(1, 2)
    >>> fields = filled(Fields, {"fov": ["A1"], "height_px": 20, "width_px": 20})
    >>> frames = filled(Frames, {"fov": ["A1"], "frame": 0})
    >>> graphs = {"A1": {"contact": {0: touching}, "delaunay": {}}}
    >>> drawn = NetworkFigures(dpi=50)(
    ...     graphs=graphs, fields=fields, frames=frames, roles={"TCell": "effector"})
    >>> drawn["figures"]["networks"].title
    'Networks of cells'
    """

    def run(
        self,
        roles: Roles,
        graphs: Mapping[str, Mapping[str, Mapping[int, Any]]] | None = None,
        fields: TableOf[Fields] | None = None,
        frames: TableOf[Frames] | None = None,
        sample_sheet: Sheet = None,
    ) -> Drawn:
        """Draw ``networks`` of `graphs`, {fov: {``delaunay``, ``contact``: {frame: graph}}}."""
        fields, frames = or_empty(fields, Fields), or_empty(frames, Frames)
        shown: dict[str, list[tuple[str, pd.DataFrame, pd.DataFrame]]] = {}
        for fov, kinds in (graphs or {}).items():
            mine = frames[frames["fov"] == fov]
            numbers = [frame for frame in moments_shown(mine) if frame in kinds["contact"]]
            shown[fov] = [
                (
                    time_stamp(mine, frame),
                    *snapshot(kinds["contact"][frame], kinds["delaunay"].get(frame)),
                )
                for frame in numbers
            ]
        fig = draw_snapshots(shown, fields, sample_sheet, roles)
        cells = [
            nodes.assign(fov=fov, shown=stamp)
            for fov, panels in shown.items()
            for stamp, nodes, _ in panels
        ]
        table = pd.concat(cells, ignore_index=True) if cells else pd.DataFrame()
        return self.finished({"networks": fig}, {"networks": table})


def chosen_fields(fovs: list[str], sample_sheet: Sheet, most: int = 6) -> list[str]:
    """The first field of each condition, in the order of the sample sheet; at most `most`."""
    rows = with_condition(pd.DataFrame({"fov": fovs}, dtype=object), sample_sheet)
    return list(rows.drop_duplicates("condition")["fov"])[:most]


def moments_shown(frames: pd.DataFrame) -> list[int]:
    """The first, middle and last frame of a field that is not excluded."""
    used = np.sort(frames.loc[~frames["excluded"], "frame"].to_numpy())
    if not len(used):
        return []
    return [int(used[at]) for at in np.unique([0, (len(used) - 1) // 2, len(used) - 1])]


def snapshot(contact: Any, delaunay: Any = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A frame's cells and edges as tables.

    Returns
    -------
    nodes : pandas.DataFrame
        `population`, `track_id`, `x_px`, `y_px`, `dead` (False where unknown).
    edges : pandas.DataFrame
        `network` (contact, delaunay), `x0`, `y0`, `x1`, `y1` in pixels.
    """
    columns = ["population", "track_id", "x_px", "y_px", "dead"]
    nodes = pd.DataFrame([about for _, about in contact.nodes(data=True)], columns=columns)
    nodes["dead"] = nodes["dead"].eq(True)
    ends = []
    for name, graph in (("delaunay", delaunay), ("contact", contact)):
        if graph is not None:
            at = {node: (about["x_px"], about["y_px"]) for node, about in graph.nodes(data=True)}
            ends += [(name, *at[a], *at[b]) for a, b in graph.edges()]
    return nodes, pd.DataFrame(ends, columns=["network", "x0", "y0", "x1", "y1"])


def draw_snapshots(
    shown: Mapping[str, list[tuple[str, pd.DataFrame, pd.DataFrame]]],
    fields: pd.DataFrame,
    sample_sheet: Sheet,
    roles: Mapping[str, str],
) -> Figure:
    """A row per field, a column per moment; cells in the film's place."""
    of_role(roles, "target")
    title = "Networks of cells"
    rows = {fov: panels for fov, panels in shown.items() if panels}
    if not any(len(nodes) for panels in rows.values() for _, nodes, _ in panels):
        return in_words(title, "No cell was tracked in the frames that would be shown.")
    condition = with_condition(pd.DataFrame({"fov": list(rows)}), sample_sheet)
    heads = dict(zip(condition["fov"], condition["condition"], strict=True))
    size = fields.set_index("fov")[["height_px", "width_px"]]
    columns = max(len(panels) for panels in rows.values())
    with styled():
        fig = figure(max(2.9 * columns, 5), 3.1 * len(rows) + 0.5)
        grid = fig.subplots(len(rows), columns, squeeze=False)
        for line, (fov, panels) in zip(grid, rows.items(), strict=True):
            for ax in line[len(panels) :]:
                ax.axis("off")
            height, width = size.loc[fov]
            for ax, (stamp, nodes, edges) in zip(line, panels, strict=False):
                _draw_one(ax, nodes, edges, roles)
                ax.set_title(stamp, fontsize=9, fontweight="normal")
                ax.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[], aspect="equal")
                ax.spines[:].set_visible(True)
                ax.spines[:].set_color("#C9CED2")
            line[0].set_ylabel(f"{short(heads[fov], 24)}\nfield {short(fov, 20)}")
        for name, role in roles.items():
            look = {"marker": MARKERS[role], "color": ROLE_COLOURS[role], "ls": ""}
            grid[0][0].plot([], [], label=f"{short(name)} ({role})", **look)
        look = {"marker": "X", "color": ROLE_COLOURS["death"], "markeredgecolor": INK, "ls": ""}
        grid[0][0].plot([], [], label="dead", **look)
        grid[0][0].plot([], [], color=INK, lw=1.8, label="contact")
        grid[0][0].plot([], [], color="#C9CED2", lw=0.8, label="neighbours (Delaunay)")
        names = grid[0][0].get_legend_handles_labels()
        fig.legend(*names, loc="outside lower left", ncols=3)
    return fig


def _draw_one(ax: Axes, nodes: pd.DataFrame, edges: pd.DataFrame, roles: Mapping[str, str]) -> None:
    from matplotlib.collections import LineCollection

    for network, hue, width in (("delaunay", "#C9CED2", 0.7), ("contact", INK, 1.6)):
        ends = edges.loc[edges["network"] == network, ["x0", "y0", "x1", "y1"]].to_numpy(float)
        lines = list(ends.reshape(-1, 2, 2))
        ax.add_collection(LineCollection(lines, colors=hue, linewidths=width, zorder=1))
    # smaller where there are many
    area = float(np.clip(4000 / max(len(nodes), 1), 4, 30))
    for (population, dead), mine in nodes.groupby(["population", "dead"]):
        role = roles.get(str(population), "other")
        look: dict[str, Any] = {"marker": MARKERS[role], "color": ROLE_COLOURS[role], "lw": 0}
        if dead:
            look = {"marker": "X", "color": ROLE_COLOURS["death"], "edgecolor": INK, "lw": 0.5}
            area_now = 1.6 * area
        else:
            area_now = area
        ax.scatter(mine["x_px"], mine["y_px"], s=area_now, zorder=2, **look)
