"""NetworkX graphs as safe pickles, with GraphML and tables beside them for other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from cyto_kedro.datasets.atomic import FileDataset, write_bytes
from cyto_kedro.datasets.table import to_arrow
from cyto_kedro.errors import ConfigError, InputError, unknown
from cyto_kedro.graphs import KIND, FrameGraphs
from cyto_kedro.kedro_private import ImagePreview

if TYPE_CHECKING:
    import networkx as nx

EXPORTS = ("graphml", "tables")
DRAWN = 400


class GraphDataset(FileDataset[Any, Any]):
    """A graph, or a dict or list of graphs, in one pickle that loads safely.

    Graphs of frames (`FrameGraphs`) are stored as arrays and loaded as such.

    Parameters
    ----------
    export
        What else to write in the same folder, each file whole or not at all. ``graphml``:
        ``<stem>.graphml``, or ``<stem>.<key>.graphml`` for each of several graphs. ``tables``:
        ``<stem>.nodes.parquet`` and ``<stem>.edges.parquet``; column `graph` holds the key. Node
        names that are tuples, as (population, track_id), are joined by ":".
    options
        As for every file dataset; `filepath` is that of the pickle, ``<stem>.pkl``.
    """

    def __init__(self, *, export: Sequence[str] = (), **options: Any) -> None:
        super().__init__(**options)
        for name in export:
            if name not in EXPORTS:
                raise ConfigError(f"{self.location}: export: {unknown('format', name, EXPORTS)}")
        self._export = tuple(export)

    def load(self) -> Any:
        """The graph or graphs.

        Raises UnsafePickleError if the pickle asks for anything but graphs, arrays and containers;
        it is not run. Raises InputError if the file is not a whole pickle of graphs.
        """
        from cyto_kedro.datasets import safe_pickle

        with self._read() as file:
            content = file.read()
        data = safe_pickle.loads(content, self.location)
        if isinstance(data, dict) and data.get("kind") == KIND:
            try:
                return FrameGraphs.from_state(data)
            except (TypeError, LookupError, ValueError, AttributeError) as error:
                raise InputError(
                    f"{self.location}: the graphs in it are not whole ({error!r}). Delete it and "
                    "run the pipeline that writes it."
                ) from error
        _graphs(data, self.location)
        return data

    def save(self, data: Any) -> None:
        """Write the graph or graphs; the pickle last, so that it stands for all files."""
        from cyto_kedro.datasets import safe_pickle

        graphs = _graphs(data, self.location)
        content = safe_pickle.dumps(data.state() if isinstance(data, FrameGraphs) else data)
        stem = str(self._filepath.with_suffix(""))
        files: dict[str, bytes] = {}
        if "graphml" in self._export:
            for key, graph in graphs.items():
                name = ".graphml" if key == "" else f".{key}.graphml"
                files[stem + name.replace("/", "_")] = graphml(graph)
        if "tables" in self._export:
            made = _frame_tables(data) if isinstance(data, FrameGraphs) else tables(graphs)
            for part, table in zip(("nodes", "edges"), made, strict=True):
                buffer = BytesIO()
                pq.write_table(to_arrow(table), buffer)
                files[f"{stem}.{part}.parquet"] = buffer.getvalue()
        for path, exported in files.items():
            write_bytes(self._fs, path, exported)
        self._write_bytes(content)

    def preview(self) -> ImagePreview:
        """The first graph with an edge, drawn at its cells' positions."""
        import networkx as nx

        graphs = _graphs(self.load(), self.location).values()
        return picture(next((g for g in graphs if g.number_of_edges()), nx.Graph()))


def _graphs(data: Any, location: str) -> Mapping[Any, nx.Graph]:
    """Key -> graph, "" for a single one; raise unless `data` is graphs."""
    import networkx as nx

    if isinstance(data, FrameGraphs):
        return data
    if isinstance(data, nx.Graph):
        return {"": data}
    if isinstance(data, Mapping):
        found = {str(key): value for key, value in data.items()}
    elif isinstance(data, (list, tuple)):
        found = {str(key): value for key, value in enumerate(data)}
    else:
        raise InputError(f"{location}: expected NetworkX graphs, got {type(data).__name__}")
    for key, graph in found.items():
        if not isinstance(graph, nx.Graph):
            raise InputError(
                f"{location}: {key!r} is {type(graph).__name__}, not a NetworkX graph; use "
                "ObjectDataset for other things"
            )
    return found


def node_name(node: Any) -> str:
    """A node as text: (population, track_id) as ``population:track_id``."""
    return ":".join(str(part) for part in node) if isinstance(node, tuple) else str(node)


def _plain(value: Any) -> Any:
    """`value` as bool, int, float or str; None if it is missing."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _attributes(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    plain = {str(key): _plain(value) for key, value in attributes.items()}
    return {key: value for key, value in plain.items() if value is not None}


def graphml(graph: nx.Graph) -> bytes:
    """`graph` as GraphML, missing attributes left out, others that GraphML lacks as text.

    Edges of a multigraph are numbered: an edge's id may stand only once in GraphML, and NetworkX
    would write its key there.
    """
    import networkx as nx

    plain = graph.__class__(**_attributes(graph.graph))
    plain.add_nodes_from((node_name(n), _attributes(a)) for n, a in graph.nodes(data=True))
    ends = (
        (node_name(a), node_name(b), _attributes(kept)) for a, b, kept in graph.edges(data=True)
    )
    if graph.is_multigraph():
        plain.add_edges_from((a, b, f"e{i}", kept) for i, (a, b, kept) in enumerate(ends))
    else:
        plain.add_edges_from(ends)
    buffer = BytesIO()
    nx.write_graphml_xml(plain, buffer)
    return buffer.getvalue()


def tables(graphs: Mapping[Any, nx.Graph]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Nodes (graph, node, attributes) and edges (graph, source, target, attributes)."""
    nodes = [
        {"graph": key, "node": node_name(node), **_attributes(kept)}
        for key, graph in graphs.items()
        for node, kept in graph.nodes(data=True)
    ]
    edges = [
        {"graph": key, "source": node_name(a), "target": node_name(b), **_attributes(kept)}
        for key, graph in graphs.items()
        for a, b, kept in graph.edges(data=True)
    ]
    return _table(nodes, ["graph", "node"]), _table(edges, ["graph", "source", "target"])


def _frame_tables(graphs: FrameGraphs) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same of graphs of frames, without making them."""
    nodes, edges = graphs.node_table(), graphs.edge_table()
    for table, made in ((nodes, {"node": ""}), (edges, {"source": "_a", "target": "_b"})):
        table.insert(0, "graph", table.pop("frame").astype(str))
        for at, (name, side) in enumerate(made.items(), 1):
            track = table[f"track_id{side}"].astype(str)
            table.insert(at, name, table[f"population{side}"].astype(object) + ":" + track)
    ends = [f"{name}_{side}" for side in "ab" for name in ("population", "track_id")]
    return nodes, edges.drop(columns=ends)


def _table(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=None if rows else columns)
    for name in table.select_dtypes(object):
        # Parquet needs one type per column
        known = table[name].dropna()
        if len(set(known.map(type))) > 1:
            table[name] = known.map(str).reindex(table.index)
    return table


def picture(graph: nx.Graph) -> ImagePreview:
    """A drawing of `graph`: nodes at (x_px, y_px) if all have them, coloured by population."""
    from base64 import b64encode

    import networkx as nx
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if graph.number_of_nodes() > DRAWN:
        graph = graph.subgraph(list(graph)[:DRAWN])
    known = {
        n: (a["x_px"], -a["y_px"])
        for n, a in graph.nodes(data=True)
        if {"x_px", "y_px"} <= a.keys()
    }
    at = known if len(known) == len(graph) else nx.spring_layout(graph, seed=0)
    groups = sorted({_population(node) for node in graph})
    figure = Figure(figsize=(6, 4), dpi=120)  # the shape of kedro-viz' panel, which stretches it
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96), aspect="equal")
    colours = [f"C{groups.index(_population(node)) % 10}" for node in graph]
    nx.draw_networkx(
        graph, pos=at, ax=axes, with_labels=False, node_size=24, width=1.2, node_color=colours
    )
    for i, name in enumerate(groups):
        if name:
            axes.scatter([], [], s=24, color=f"C{i % 10}", label=name)
    if any(groups):
        axes.legend(loc="upper left", frameon=False, fontsize=9)
    axes.set_axis_off()
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return ImagePreview(b64encode(buffer.getvalue()).decode())


def _population(node: Any) -> str:
    return str(node[0]) if isinstance(node, tuple) and node else ""
