"""``kedro cyto export``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cyto_kedro.datasets.atomic import write_folder
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.errors import InputError, unknown
from cyto_kedro.export.anndata import write_anndata
from cyto_kedro.export.crate import write_crate
from cyto_kedro.export.ctc import write_ctc
from cyto_kedro.export.field import FieldGraph, field_graph, label_films
from cyto_kedro.export.geojson import write_geojson
from cyto_kedro.export.graphs import write_adjlist, write_geff, write_graphml
from cyto_kedro.export.ome_zarr import write_ome_zarr
from cyto_kedro.export.tables import write_fcs, write_spots
from cyto_kedro.export.trackmate import write_trackmate
from cyto_kedro.runner import history

Write = Callable[[Any, Manifest, FieldGraph, Path], None]


def _geff(catalog: Any, manifest: Manifest, graph: FieldGraph, folder: Path) -> None:
    write_geff(folder / "tracks.geff", graph, ("track", "division"))
    write_geff(folder / "interactions.geff", graph)


def _trackmate(catalog: Any, manifest: Manifest, graph: FieldGraph, folder: Path) -> None:
    for population in manifest.populations:
        channel = manifest.sources[population][0]
        files = [r.files for r in manifest.raw if (r.fov, r.channel) == (graph.fov, channel)]
        film = files[0][0] if files and len(files[0]) == 1 else ""
        write_trackmate(folder / f"{population}.xml", graph, population, film)


def _ctc(catalog: Any, manifest: Manifest, graph: FieldGraph, folder: Path) -> None:
    for population in manifest.populations:
        masks = label_films(catalog, manifest, graph.fov, population)
        write_ctc(folder / f"{population}_RES", graph, population, masks)


def _fcs(catalog: Any, manifest: Manifest, graph: FieldGraph, folder: Path) -> None:
    for population in manifest.populations:
        cells = graph.nodes[graph.nodes["population"] == population]
        write_fcs(folder / f"{population}.fcs", cells[cells["label"].notna()])


def _geojson(catalog: Any, manifest: Manifest, graph: FieldGraph, folder: Path) -> None:
    for population in manifest.populations:
        write_geojson(folder / f"{population}.geojson", catalog, manifest, graph, population)


# format -> who reads it, how it is written
FORMATS: dict[str, tuple[str, Write]] = {
    "geff": ("TrackMate 9, napari, tracksdata", _geff),
    "trackmate": ("TrackMate", _trackmate),
    "ctc": ("tools of the Cell Tracking Challenge", _ctc),
    "csv": ("Excel, Imaris, R", lambda c, m, g, f: _none(write_spots(f / "spots.csv", g))),
    "fcs": ("FlowJo and other flow cytometry", _fcs),
    "graphml": (
        "Cytoscape, Gephi, igraph",
        lambda c, m, g, f: _none(write_graphml(f / "cells.graphml", g)),
    ),
    "ome-zarr": (
        "napari, vizarr, Fiji",
        lambda c, m, g, f: write_ome_zarr(f / f"{g.fov}.ome.zarr", c, m, g),
    ),
    "geojson": ("QuPath and other programs that draw polygons", _geojson),
    "anndata": ("scanpy, squidpy", lambda c, m, g, f: write_anndata(f / "cells.h5ad", g)),
    "adjlist": (
        "NetworkX, scripts",
        lambda c, m, g, f: _none(write_adjlist(f / "contacts.adjlist", g)),
    ),
}


CRATE, WORKBOOK = "ro-crate", "xlsx"
BOOK = "assay.xlsx"


def _none(_: Path) -> None:
    return None


def export_to(
    catalog: Any, form: str, folder: Path, fovs: tuple[str, ...] = ()
) -> tuple[list[str], list[Path]]:
    """Write fields into `folder`, whole or not at all; the fields and files written.

    Raises InputError if a field is unknown or has no tracks yet, or `folder` holds anything.
    """
    manifest = _with_fields(catalog, fovs)
    chosen = list(fovs) or list(manifest.fovs)

    def fields(made: Path) -> None:
        for fov in chosen:
            (made / fov).mkdir()
            FORMATS[form][1](catalog, manifest, field_graph(catalog, manifest, fov), made / fov)

    write_folder(folder, fields)
    return chosen, sorted(path for path in folder.rglob("*") if path.is_file())


def export_workbook(catalog: Any, folder: Path, fovs: tuple[str, ...] = ()) -> list[str]:
    """Write `BOOK` into `folder`, whole or not at all; the tables in it.

    Raises InputError as `export_to` does, or if no table was made.
    """
    from cyto_kedro.export.workbook import write_workbook

    _with_fields(catalog, fovs)
    tables: list[str] = []
    write_folder(folder, lambda made: tables.extend(write_workbook(made / BOOK, catalog, fovs)))
    return tables


def _with_fields(catalog: Any, fovs: tuple[str, ...]) -> Manifest:
    manifest: Manifest = catalog.load("manifest")
    for fov in fovs:
        if fov not in manifest.fovs:
            raise InputError(unknown("field", fov, manifest.fovs))
    return manifest


@click.option(
    "--to", "form", required=True, type=click.Choice([*FORMATS, WORKBOOK, CRATE]), help="format"
)
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    help="folder, by default results/exports/<environment>/<format>",
)
@click.option("--fov", "fovs", multiple=True, help="this field only (may be given again)")
@click.option("--run", "run_id", help="run of an ro-crate, by default the last that was finished")
@click.pass_obj
def export(
    project: Any, form: str, output: Path | None, fovs: tuple[str, ...], run_id: str | None
) -> None:
    """Write tracks, contacts and kills in a format that other programs read; or all of a run.

    A folder per field; an xlsx is one workbook, an ro-crate is of all. Overwrites nothing.
    """
    folder = output or project.path / "results" / "exports" / (project.env or "base") / form
    if form == CRATE:
        if fovs:
            raise InputError("an ro-crate is of a whole run: leave out --fov")
        run, catalog = history.find(project.path / "runs", run_id, project.env), project.catalog
        write_folder(folder, lambda made: write_crate(made, run, catalog, project.path))
        click.secho(f"{folder}: run {run['run_id']}, for Zenodo and other repositories", fg="green")
        return
    if form == WORKBOOK:
        tables = export_workbook(project.catalog, folder, fovs)
        click.secho(f"{folder / BOOK}: {', '.join(tables)}, for Excel", fg="green")
        return
    chosen, _ = export_to(project.catalog, form, folder, fovs)
    click.secho(f"{folder}: {len(chosen)} fields, for {FORMATS[form][0]}", fg="green")
