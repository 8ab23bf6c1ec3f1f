"""Spots and tracks as a TrackMate session (XML)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd

from cyto_kedro.export.field import FieldGraph

# name, short name, dimension, whole number
_SPOT = (
    ("QUALITY", "Quality", "QUALITY", "false"),
    ("POSITION_X", "X", "POSITION", "false"),
    ("POSITION_Y", "Y", "POSITION", "false"),
    ("POSITION_Z", "Z", "POSITION", "false"),
    ("POSITION_T", "T", "TIME", "false"),
    ("FRAME", "Frame", "NONE", "true"),
    ("RADIUS", "R", "LENGTH", "false"),
    ("VISIBILITY", "Visibility", "NONE", "true"),
)


def write_trackmate(path: Path, graph: FieldGraph, population: str, film: str = "") -> Path:
    """Write a population; positions in µm and times in s where known, else in pixels and frames.

    Features are written under their names in capitals. Radius is that of a disk of the cell's area.
    A cell has no spot where tracking interpolated it: a spot is a detection there, and would come
    back as a cell. The link spans those frames, as TrackMate's own links across gaps do.

    `path`, `graph`, `population`: where, and what. `film`: the image that TrackMate is to open, if
    it is to.
    """
    of_population = graph.nodes["population"] == population
    nodes = graph.nodes[of_population & graph.nodes["label"].notna()]
    size = graph.pixel_size_um or 1.0
    step = graph.frame_interval_s or 1.0
    root = ET.Element("TrackMate", version="7.14.0")
    model = ET.SubElement(
        root,
        "Model",
        spatialunits="micron" if graph.pixel_size_um else "pixel",
        timeunits="sec" if graph.frame_interval_s else "frame",
    )
    taken = {"population", "track_id", "frame", "x_px", "y_px", "x_um", "y_um", "interpolated"}
    features = [
        str(name)
        for name in nodes.select_dtypes(["number", "bool"]).columns
        if name not in taken and nodes[name].notna().any()
    ]
    declared = ET.SubElement(model, "FeatureDeclarations")
    spot_features = ET.SubElement(declared, "SpotFeatures")
    for feature, short, dimension, whole in _SPOT:
        _declare(spot_features, feature, short, dimension, whole)
    for name in features:
        _declare(spot_features, name.upper(), name, "NONE", "false")
    edge_features = ET.SubElement(declared, "EdgeFeatures")
    for name in ("SPOT_SOURCE_ID", "SPOT_TARGET_ID"):
        _declare(edge_features, name, name, "NONE", "true")
    track_features = ET.SubElement(declared, "TrackFeatures")
    for name in ("TRACK_ID", "TRACK_INDEX"):
        _declare(track_features, name, name, "NONE", "true")
    spots = ET.SubElement(model, "AllSpots", nspots=str(len(nodes)))
    for frame in sorted(map(int, nodes["frame"].unique())):
        rows = nodes[nodes["frame"] == frame]
        of_frame = ET.SubElement(spots, "SpotsInFrame", frame=str(frame))
        for key, row in rows.iterrows():
            area = row.get("area_px")
            radius = size * np.sqrt(area / np.pi) if pd.notna(area) else 2.5 * size
            said = {
                "ID": str(key),
                "name": f"{population} {row['track_id']}",
                "QUALITY": "1.0",
                "POSITION_T": _text(frame * step),
                "FRAME": str(frame),
                "POSITION_X": _text(row["x_px"] * size),
                "POSITION_Y": _text(row["y_px"] * size),
                "POSITION_Z": "0.0",
                "RADIUS": _text(radius),
                "VISIBILITY": "1",
            }
            said |= {n.upper(): _text(float(row[n])) for n in features if pd.notna(row[n])}
            ET.SubElement(of_frame, "Spot", said)
    _tracks(model, graph, nodes, population)
    settings = ET.SubElement(root, "Settings")
    height, width = graph.shape
    image = {
        "filename": Path(film).name,
        "folder": str(Path(film).parent) if film else "",
        **{"width": width, "height": height, "nslices": 1, "nframes": graph.n_frames},
        **{"pixelwidth": size, "pixelheight": size, "voxeldepth": 1.0, "timeinterval": step},
    }
    ET.SubElement(settings, "ImageData", {name: str(value) for name, value in image.items()})
    basic = {
        "xstart": 0,
        "xend": width - 1,
        "ystart": 0,
        "yend": height - 1,
        "zstart": 0,
        "zend": 0,
    }
    basic |= {"tstart": 0, "tend": graph.n_frames - 1}
    ET.SubElement(settings, "BasicSettings", {name: str(value) for name, value in basic.items()})
    ET.SubElement(root, "GUIState", state="ConfigureViews")
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="UTF-8", xml_declaration=True)
    return path


def _tracks(model: ET.Element, graph: FieldGraph, nodes: pd.DataFrame, population: str) -> None:
    """Tracks are what links join: a mother and her daughters are one, as in TrackMate."""
    import networkx as nx

    same = nodes["track_id"].eq(nodes["track_id"].shift()).to_numpy()
    later = np.flatnonzero(same)
    steps = np.stack([nodes.index[later - 1], nodes.index[later]], axis=1)
    # a mother ends, and a daughter begins, where she is seen
    seen = nodes.reset_index(names="node").groupby("track_id")["node"].agg(["first", "last"])
    births = graph.edges.loc[graph.edges["kind"] == "division", ["source", "target"]]
    of_track = graph.nodes.loc[graph.nodes["population"] == population, "track_id"]
    births = births.apply(lambda node: node.map(of_track))
    births["source"] = births["source"].map(seen["last"])
    births["target"] = births["target"].map(seen["first"])
    links = np.concatenate([steps, births.dropna().to_numpy(np.int64)]).tolist()
    joined = nx.Graph(links)
    of_node = {n: i for i, part in enumerate(nx.connected_components(joined)) for n in part}
    by_track: dict[int, list[tuple[int, int]]] = {}
    for source, target in links:
        by_track.setdefault(of_node[source], []).append((source, target))
    every = ET.SubElement(model, "AllTracks")
    kept = ET.SubElement(model, "FilteredTracks")
    for number, pairs in sorted(by_track.items()):
        said = {"name": f"Track_{number}", "TRACK_ID": str(number), "TRACK_INDEX": str(number)}
        track = ET.SubElement(every, "Track", said)
        for source, target in pairs:
            ends = {"SPOT_SOURCE_ID": str(source), "SPOT_TARGET_ID": str(target)}
            ET.SubElement(track, "Edge", ends)
        ET.SubElement(kept, "TrackID", TRACK_ID=str(number))


def _declare(parent: ET.Element, feature: str, name: str, dimension: str, whole: str) -> None:
    said = {"feature": feature, "name": name, "shortname": name[:12]}
    ET.SubElement(parent, "Feature", {**said, "dimension": dimension, "isint": whole})


def _text(value: float) -> str:
    return repr(float(value))
