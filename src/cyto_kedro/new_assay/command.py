"""``kedro cyto new``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pandas as pd
from kedro.framework.startup import ProjectMetadata

from cyto_kedro.console import PlainCommand
from cyto_kedro.datasets.urls import find_place
from cyto_kedro.errors import ConfigError, InputError, together
from cyto_kedro.new_assay.looking import Found, look
from cyto_kedro.new_assay.roles import Roles, guess, propose

_ANSWERS = ("effector", "target", "death", "none")


@click.command(cls=PlainCommand)
@click.argument("name")
@click.option("--raw", "folder", required=True, help="folder of the films")
@click.option("--pattern", help="of the paths in it, instead of what is recognised")
@click.option("--channels", help="your names of the channels, in the order found: A,B,C")
@click.option("--effector", multiple=True, help="channel of the killers (may be given again)")
@click.option("--target", multiple=True, help="channel of the cells that are killed (again)")
@click.option("--death", help="channel that dead cells light up in")
@click.option(
    "--pixel-size", type=click.FloatRange(0, min_open=True), help="µm; holds over the files"
)
@click.option("--interval", type=click.FloatRange(0, min_open=True), help="s; holds over the files")
@click.option(
    "--plate-map",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV or XLSX: a list of wells with their conditions, or a picture of the plate",
)
@click.option("--project-z", type=click.Choice(["max", "mean"]), help="how z planes are flattened")
@click.option("--z-is-time", is_flag=True, help="z planes are frames")
@click.option("--yes", is_flag=True, help="ask nothing: take what is proposed")
@click.pass_obj
def new(
    metadata: ProjectMetadata,
    name: str,
    folder: str,
    pattern: str | None,
    channels: str | None,
    effector: tuple[str, ...],
    target: tuple[str, ...],
    death: str | None,
    pixel_size: float | None,
    interval: float | None,
    plate_map: Path | None,
    project_z: Any,
    z_is_time: bool,
    yes: bool,
) -> None:
    """Look at a folder of films and write the environment conf/NAME that analyses them.

    Says what it found, and all that is wrong; asks what it cannot know (or takes the options). Writes
    parameters, a sample sheet with a row per field, and a contact sheet. Overwrites nothing.
    """
    from cyto_kedro.datasets.raw import RawFolder
    from cyto_kedro.new_assay.contact_sheet import contact_sheet
    from cyto_kedro.new_assay.plate_map import read_plate_map
    from cyto_kedro.new_assay.writing import assay_block, sample_sheet, write_environment
    from cyto_kedro.parameters import Assay
    from cyto_kedro.partitions import check_names
    from cyto_kedro.pipelines.ingestion.nodes import plan_assay

    project = Path(metadata.project_path)
    check_names("environment", [name])
    environment = project / "conf" / name
    if environment.exists():
        raise InputError(f"{environment} is there already; take another name, or remove it")
    ours = [each.strip() for each in channels.split(",")] if channels else []
    found = look(folder, pattern, ours, project_z, z_is_time)
    click.echo(table_of(found))
    if (wrong := together(found.problems, f"the films in {folder}")) is not None:
        raise InputError(f"{wrong}\nNext: mend this, then the same command again")
    check_names("channel", found.channels)
    roles = propose(found.channels, effector, target, death)
    if not yes:
        roles = _asked(found, roles, {*effector, *target, *filter(None, [death])})
    if not roles.effectors and not roles.targets:
        raise ConfigError(
            f"which channel shows which cells is not known ({', '.join(found.channels)}): say "
            "--effector, --target and --death"
        )
    pixel_size, interval = _calibration(found, pixel_size, interval, yes)
    click.echo(roles_of(found, roles))
    more = {"project_z": project_z} if project_z else {"z_is_time": True} if z_is_time else {}
    assay = assay_block(found, roles, pixel_size, interval, more)
    beside = _sheet_beside(folder)
    if beside is not None and plate_map is not None:
        raise InputError(f"a sample sheet lies in {folder}: leave out --plate-map, or move it away")
    sheet = beside
    if sheet is None:
        sheet = sample_sheet(found, None if plate_map is None else read_plate_map(plate_map))
    plan_assay(RawFolder(folder), sheet, Assay.model_validate(assay))  # as the run will read them
    picture = contact_sheet(found.fields, list(found.channels))
    own = sheet if beside is None else None
    files = write_environment(environment, project, found, assay, own, picture)
    click.secho(f"written: conf/{name}/ ({', '.join(files)})", fg="green")
    if "condition" not in sheet or not sheet["condition"].astype(bool).any():
        click.echo("no condition is known: fill that column of the sample sheet to compare")
    click.echo(f"Look at conf/{name}/contact_sheet.png. Next: {next_command(name, roles)}")


def table_of(found: Found) -> str:
    """What was found, a line a fact."""
    fields = found.fields
    frames = sorted({raw.n_frames for raw in found.raw})
    shapes = sorted({(raw.height, raw.width, raw.dtype) for raw in found.raw})
    size, step = found.pixel_size_um, found.frame_interval_s
    names = list(fields)
    lines = [
        ("layout", f"{found.layout}: {found.pattern}"),
        ("fields", f"{len(names)}: {', '.join(names[:12])}{', …' if len(names) > 12 else ''}"),
        ("wells", ", ".join(sorted({raw.well for raw in found.raw if raw.well})[:24])),
        ("plates", ", ".join(sorted({raw.plate for raw in found.raw if raw.plate})[:12])),
        ("channels", ", ".join(f"{a} ({b})" if a != b else a for a, b in found.channels.items())),
        ("frames", " or ".join(map(str, frames))),
        ("interval", f"{step:g} s" if step else "the files do not say" if frames != [1] else ""),
        ("pixels", ", ".join(f"{h} x {w} {dtype}" for h, w, dtype in shapes)),
        ("pixel size", f"{size:.4g} µm" if size else "the files do not say"),
        ("read beside", found.beside.source),
        (
            "left out",
            f"{len(found.left_out)} images that do not fit, the first {found.left_out[0]}"
            if found.left_out
            else "",
        ),
    ]
    return "\n".join(f"{what:12} {value}" for what, value in lines if value)


def roles_of(found: Found, roles: Roles) -> str:
    """Which channel is taken for what, a line a channel."""
    told = dict.fromkeys(roles.effectors, "effector") | dict.fromkeys(roles.targets, "target")
    if roles.death:
        told[roles.death] = "death marker"
    return "\n".join(
        f"  {name:16} {told.get(name, 'measured, not segmented')}" for name in found.channels
    )


def next_command(name: str, roles: Roles) -> str:
    """The one command that comes next."""
    if roles.effectors and roles.targets:
        return f"kedro run --env {name}"
    stages = "ingestion,preprocessing,segmentation,tabulation,tracking"
    return f"kedro run --env {name} --pipelines {stages}"


def _asked(found: Found, roles: Roles, stated: set[str]) -> Roles:
    """The roles after asking for each channel that no option states."""
    chosen: dict[str, list[str]] = {answer: [] for answer in _ANSWERS}
    for name in found.channels:
        proposed = (
            "effector"
            if name in roles.effectors
            else "target"
            if name in roles.targets
            else "death"
            if name == roles.death
            else guess(name) or "none"
        )
        answer = proposed
        if name not in stated:
            kind = click.Choice(_ANSWERS)
            answer = click.prompt(f"What does {name} show?", type=kind, default=proposed)
        chosen[answer].append(name)
    if len(chosen["death"]) > 1:
        raise ConfigError(f"one channel is the death marker, not {' and '.join(chosen['death'])}")
    return propose(
        [name for name in found.channels if name not in chosen["none"]],
        chosen["effector"],
        chosen["target"],
        next(iter(chosen["death"]), None),
    )


def _calibration(
    found: Found, pixel_size: float | None, interval: float | None, yes: bool
) -> tuple[float | None, float | None]:
    """What the user states of pixel size (µm) and frame interval (s), asked where nobody says it."""
    film = any(raw.n_frames > 1 for raw in found.raw)
    lacking = []
    if found.pixel_size_um is None and pixel_size is None:
        lacking.append(("--pixel-size", "Pixel size (µm)"))
    if film and found.frame_interval_s is None and interval is None:
        lacking.append(("--interval", "Seconds between frames"))
    if lacking and yes:
        flags = " and ".join(flag for flag, _ in lacking)
        raise ConfigError(
            f"the files do not say the calibration, and no scale is made up: give {flags}"
        )
    for flag, question in lacking:
        answer = click.prompt(question, type=click.FloatRange(0, min_open=True))
        if flag == "--pixel-size":
            pixel_size = answer
        else:
            interval = answer
    return pixel_size, interval


def _sheet_beside(folder: str) -> pd.DataFrame | None:
    """The sample sheet that lies with the films, if there is one."""
    from cyto_kedro.datasets.sheet import SUFFIXES, SampleSheetDataset

    fs, root = find_place(folder)
    if not any(fs.isfile(f"{root}/sample_sheet{suffix}") for suffix in SUFFIXES):
        return None
    return SampleSheetDataset(filepath=f"{folder.rstrip('/')}/sample_sheet.csv").load()
