"""``kedro cyto import``, and ``kedro cyto trackmate``, which is one of its kinds."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from cyto_kedro.corrections import writing


@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.argument("fov")
@click.argument("population")
@click.option("--who", required=True, help="who made it")
@click.option("--masks-only", is_flag=True, help="take masks; the configured linker tracks them")
@click.pass_obj
def import_(
    project: Any, file: Path, fov: str, population: str, who: str, masks_only: bool
) -> None:
    """Go on from masks and tracks of another program: FILE (or folder) is of FOV and POPULATION.

    What FILE is, its content tells. Needs ``kedro run --pipelines ingestion`` before. Masks and
    tracks are put in place as corrections; the next ``kedro run`` measures and goes on.
    """
    from cyto_kedro.importing.kinds import read_any
    from cyto_kedro.importing.place import bring

    catalog, read = project.catalog, partial(read_any, masks_only=masks_only)
    with writing(catalog, "labels", "outlines", "track_points"):
        found = bring(catalog, file, fov, population, who, read, masks_only)
    click.secho(f"{fov}/{population} is now {file}, {found}", fg="green")
    click.echo("Go on with it: kedro run" + (f" --env {project.env}" if project.env else ""))


@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("fov")
@click.argument("population")
@click.option("--who", required=True, help="who tracked it")
@click.pass_obj
def trackmate(project: Any, file: Path, fov: str, population: str, who: str) -> None:
    """Go on from a TrackMate session FILE (XML) of FOV, whose spots are POPULATION.

    Needs ``kedro run --pipelines ingestion`` before. Masks (the spots' outlines, or disks) and
    tracks are put in place as corrections; the next ``kedro run`` measures and goes on.
    """
    catalog = project.catalog
    with writing(catalog, "labels", "outlines", "track_points"):
        n_spots, n_tracks = read_session(catalog, file, fov, population, who)
    click.secho(f"{fov}/{population}: {n_spots} spots, {n_tracks} tracks of {file}", fg="green")


def read_session(catalog: Any, file: Path, fov: str, population: str, who: str) -> tuple[int, int]:
    """Put masks and tracks of a TrackMate session in place; the numbers of spots and tracks.

    See `place.bring` and `outlined.session`.
    """
    from cyto_kedro.importing.outlined import session
    from cyto_kedro.importing.place import bring

    found = bring(catalog, file, fov, population, who, session)
    return found.n_cells, found.n_tracks
