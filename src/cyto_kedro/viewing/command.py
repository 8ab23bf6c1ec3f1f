"""``kedro cyto view`` and ``kedro cyto review``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


def _place(ctx: Any, param: Any, value: str | None) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        y, x = (float(each) for each in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not y,x in pixels, such as 120,340") from error
    return y, x


@click.argument("fov")
@click.option("--frame", type=click.IntRange(0), default=None, help="frame shown first")
@click.option("--at", callback=_place, default=None, help="place shown first: y,x in pixels")
@click.option(
    "--colour-by", type=click.Choice(["track", "fate"]), default="track", help="colour of tracks"
)
@click.option("--who", default="", help="name for corrections; by default the login's")
@click.pass_obj
def view(
    project: Any,
    fov: str,
    frame: int | None,
    at: tuple[float, float] | None,
    colour_by: Any,
    who: str,
) -> None:
    """Look at field FOV in napari, and correct it.

    Channels, masks, tracks, contacts, deaths and kills; a click on a row of the table jumps there.
    Needs the extra napari: pip install "cyto_kedro[napari]".
    """
    from cyto_kedro.viewing.window import napari_or_hint, open_window

    napari = napari_or_hint()
    runs = project.path / "runs"
    open_window(project.catalog, fov, frame=frame, at=at, colour_by=colour_by, who=who, runs=runs)
    napari.run()


@click.option("--most", default=20, show_default=True, type=click.IntRange(1), help="rows shown")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="write all rows as CSV",
)
@click.pass_obj
def review(project: Any, most: int, output: Path | None) -> None:
    """List what most deserves a look first, and the command that shows each.

    Ranked by how many deaths of a condition's number it can change.
    """
    from cyto_kedro.viewing.worklist import clip_addresses, command_of, gathered, worklist

    rows = worklist(**gathered(project.catalog))
    rows["command"] = [command_of(row, project.env) for row in rows.to_dict("records")]
    shown = rows.head(most)
    clips = clip_addresses(project.catalog, shown)
    for i, (row, clip) in enumerate(zip(shown.to_dict("records"), clips, strict=True), 1):
        click.echo(
            f"{i:3}. {row['weight']:6.3f}  {row['fov']}  {row['what']}\n     {row['command']}"
        )
        if clip:
            click.echo(f"     {clip}")
    if len(rows):
        click.echo(
            "(the number: by how much the share of killed targets of its condition may change)"
        )
    click.echo(f"{min(most, len(rows))} of {len(rows)} rows" if len(rows) else "nothing to look at")
    if output is not None:
        from cyto_kedro.datasets.table import TableDataset

        TableDataset(filepath=str(output.resolve())).save(rows)
        click.echo(f"{output} written")
