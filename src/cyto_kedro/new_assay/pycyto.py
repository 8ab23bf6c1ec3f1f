"""From a pipeline file of pyCyto (Oxford's Cytotoxicity-Pipeline) to an environment of ours.

Its keys as in https://github.com/bpi-oxford/Cytotoxicity-Pipeline: ``channels``, ``image_range``,
``spacing`` and ``pipeline`` with the steps of each stage. What has no counterpart is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import click
import yaml
from fsspec.implementations.local import LocalFileSystem
from kedro.framework.startup import ProjectMetadata

from cyto_kedro.console import PlainCommand
from cyto_kedro.datasets.atomic import write_bytes, write_folder
from cyto_kedro.errors import InputError
from cyto_kedro.new_assay.pycyto_resources import translate_resources
from cyto_kedro.new_assay.roles import guess
from cyto_kedro.new_assay.writing import CATALOG, as_yaml, tracking_of

# step -> what does it here, where that is made by every run or set up elsewhere
_ELSEWHERE = {
    "CrossTableOperation": "columns made of others: docs/columns.md",
    "KernelDensityEstimation": "densities: docs/columns.md#density",
    "CellTriangulation": "networks, made by every run: docs/networks.md",
    "CrossCellContactMeasures": "contacts and bouts, made by every run: docs/contacts.md",
    "TrackMate": "LAP, which makes TrackMate's links: docs/tracking.md; its settings stay LAP's",
}
# our argument -> pyCyto's, of each engine
_ENGINES = {
    "StarDist": {
        "model": "model_name",
        "prob_thresh": "prob_thresh",
        "nms_thresh": "nms_thresh",
    },
    "CellPose": {
        "model": "model_type",
        "diameter_px": "diameter",
        "cellprob_threshold": "cellprob_thresh",
        "flow_threshold": "flow_threshold",
        "batch_size": "batch_size",
        "gpu": "gpu",
    },
}
_ENDING = re.compile(r"(\.ome)?\.[A-Za-z]+$")
_STRETCH = "PercentileNormalisation"


@dataclass
class Translated:
    """Blocks of parameters by their file, the folder of the films, and what has no counterpart."""

    raw: str
    blocks: dict[str, dict[str, Any]] = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)


@click.command(name="from-pycyto", cls=PlainCommand)
@click.argument("pipeline", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("name")
@click.option(
    "--resources",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="pyCyto's resources file; written as conf/resources/NAME.yml",
)
@click.pass_obj
def from_pycyto(
    metadata: ProjectMetadata, pipeline: Path, name: str, resources: Path | None
) -> None:
    """Write the environment conf/NAME that does what a PIPELINE file of pyCyto does.

    Lists what has no counterpart, and what pyCyto does not know (frame interval, roles). Overwrites
    nothing.
    """
    from cyto_kedro.parameters import MODELS, Assay
    from cyto_kedro.partitions import check_names

    check_names("environment", [name])
    folder = Path(metadata.project_path) / "conf" / name
    found = translate(_read(pipeline), str(pipeline))
    machine = Path(metadata.project_path) / "conf" / "resources" / f"{name}.yml"
    if resources is not None:
        if machine.exists():
            raise InputError(f"{machine} is there already; give another NAME, or remove it")
        channels = tuple(found.blocks["parameters"]["assay"]["channels"])
        asked, lacking = translate_resources(_read(resources), str(resources), channels)
        found.lacking += lacking
    Assay.model_validate(found.blocks["parameters"]["assay"])
    for block in found.blocks.values():
        for key, value in block.items():
            if key in MODELS:
                MODELS[key].model_validate(value)
    results = {"raw": found.raw, "data": f"results/{name}"}
    files = {"globals": results | {"simulated": f"results/{name}/simulated"}, **found.blocks}

    def write(made: Path) -> None:
        for each, block in files.items():
            text = f"# From {pipeline.name} of pyCyto.\n{as_yaml(block)}"
            (made / f"{each}.yml").write_text(text, encoding="utf-8")
        (made / "catalog.yml").write_text(CATALOG.format(name=name), encoding="utf-8")
        sheet = "fov,condition,replicate,control\nfov1,,,\n"
        (made / "sample_sheet.csv").write_text(sheet, encoding="utf-8")

    write_folder(folder, write)
    click.secho(f"written: conf/{name}/ ({', '.join(sorted(files))})", fg="green")
    if resources is not None:
        text = f"# From {resources.name} of pyCyto.\n{as_yaml(asked)}"
        write_bytes(LocalFileSystem(), str(machine), text.encode())
        click.secho(f"written: conf/resources/{name}.yml", fg="green")
    for each in found.lacking:
        click.echo(f"- {each}")
    cluster = (
        ""
        if resources is None
        else (f" --runner cyto_kedro.runner.SlurmRunner --runner-params resources={name}")
    )
    click.echo(f"Look through it. Next: kedro run --env {name}{cluster}")


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeError) as error:
        raise InputError(f"{path} is not a readable YAML file ({error})") from error


def translate(content: Any, where: str) -> Translated:
    """The blocks that do what `content` says.

    Raises InputError if it is no pipeline of pyCyto, or its channels lie where no pattern reaches.
    """
    channels = content.get("channels") if isinstance(content, dict) else None
    steps = content.get("pipeline") if isinstance(content, dict) else None
    if not isinstance(channels, dict) or not isinstance(steps, dict):
        raise InputError(f"{where}: no pipeline of pyCyto: it has channels and a pipeline of steps")
    paths = {str(name): PurePosixPath(path) for name, path in channels.items() if path}
    if not paths:
        raise InputError(f"{where}: no channel has a path; fill in channels first")
    raw, block = _raw(paths, where)
    found = Translated(raw)
    block |= _view(content.get("image_range") or {}, found.lacking)
    _preprocessing(steps.get("preprocessing") or [], list(paths), found)
    engines = _segmentation(steps.get("segmentation") or [], list(paths), found)
    for stage in ("tracking", "postprocessing"):
        for step in steps.get(stage) or []:
            name = step.get("name")
            found.lacking.append(f"{name}: {_ELSEWHERE.get(name, 'has no counterpart')}")
    roles = {name: guess(name) for name in (*engines, *paths)}
    for name in engines:
        if roles[name] not in ("effector", "target"):
            found.lacking.append(
                f"{name}: whether it is effector or target is not known: is 'other'"
            )
    assay: dict[str, Any] = {"raw": block, "channels": list(paths), "populations": {}}
    for name in engines:
        role = roles[name] if roles[name] in ("effector", "target") else "other"
        assay["populations"][name] = {"role": role, "channels": [name]}
    dead = [name for name in paths if roles[name] == "death" and name not in engines]
    assay["markers"] = {"death": dead[0]} if len(dead) == 1 else {}
    if not assay["markers"]:
        found.lacking.append(
            "which channel dead cells light up in is not known: assay.markers.death"
        )
    assay["block_length"] = 50
    spacing = content.get("spacing") or []
    if spacing and len({float(each) for each in spacing}) == 1:
        assay["pixel_size_um"] = float(spacing[0])
    elif spacing:
        found.lacking.append(f"spacing {spacing}: pixels must be square; set assay.pixel_size_um")
    found.lacking.append("frame interval: pyCyto does not know it; set assay.frame_interval_s")
    tracking = {
        name: tracking_of("effector" if roles[name] == "effector" else "target") for name in engines
    }
    found.blocks |= {
        "parameters": {"assay": assay},
        "parameters_segmentation": {
            "segmentation": engines,
            "subtraction": {"name": "SubtractPopulation"},
        },
        "parameters_tracking": {"tracking": tracking},
    }
    return found


def _raw(paths: dict[str, PurePosixPath], where: str) -> tuple[str, dict[str, Any]]:
    """Folder and pattern of the films; channels differ in one part of their paths."""
    parts = {name: path.parts for name, path in paths.items()}
    some = next(iter(parts.values()))
    differ = [i for i, each in enumerate(zip(*parts.values(), strict=False)) if len(set(each)) > 1]
    differ = differ or [len(some) - 1]
    if len({len(each) for each in parts.values()}) > 1 or len(differ) > 1:
        raise InputError(
            f"{where}: channels lie in folders that have no pattern in common: link or move them so "
            f"that their paths differ in one part; {', '.join(map(str, paths.values()))}"
        )
    at = differ[0]
    words = {name: each[at] for name, each in parts.items()}
    ends = {match[0] if (match := _ENDING.search(word)) else "" for word in words.values()}
    tail = ends.pop() if len(ends) == 1 else ""
    words = {name: word.removesuffix(tail) for name, word in words.items()}
    rest = [part.replace("*", "{frame}") for part in some[at + 1 :]]
    pattern = "/".join(["{channel}" + tail, *rest])
    names = {name: word for name, word in words.items() if name != word}
    return str(PurePosixPath(*some[:at])), {"pattern": pattern} | (
        {"names": names} if names else {}
    )


def _view(said: dict[str, Any], lacking: list[str]) -> dict[str, Any]:
    """`assay.raw.view` of pyCyto's ranges [start, stop, step]; null and -1 are the end."""
    ranges: dict[str, tuple[int, int | None, int]] = {}
    for axis in "txy":
        first, end, every = [*(said.get(axis) or [0, None]), 1][:3]
        ranges[axis] = int(first or 0), None if end in (None, -1) else int(end), int(every or 1)
    view: dict[str, Any] = {}
    start, stop, step = ranges["t"]
    view |= {"first_frame": start} if start else {}
    view |= {"last_frame": stop - 1} if stop is not None else {}
    view |= {"every_frame": step} if step > 1 else {}
    (x0, x1, dx), (y0, y1, dy) = ranges["x"], ranges["y"]
    if x1 is not None and y1 is not None:
        view["crop_px"] = [y0, y1, x0, x1]
    elif x0 or y0 or x1 is not None or y1 is not None:
        lacking.append(f"image_range {said}: a crop wants both ends: set assay.raw.view.crop_px")
    if max(dx, dy) > 1:
        lacking.append(
            "image_range: every n-th pixel has no counterpart; assay.raw.view.bin_px bins"
        )
    return {"view": view} if view else {}


def _channels(said: Any, known: list[str]) -> list[str]:
    return known if said in (None, "all") else [str(each) for each in said]


def _preprocessing(steps: list[dict[str, Any]], known: list[str], found: Translated) -> None:
    made: list[dict[str, Any]] = []
    for step in steps:
        name, args = step.get("name"), step.get("args") or {}
        if name == "ChannelMerge":
            output = step.get("output_channel_name") or args.get("output_channel_name")
            of = step.get("channels") or []
            of = of[0] if of and isinstance(of[0], list) else of
            made.append({"name": name, "args": {"channels": list(of), "output": str(output)}})
            known.append(str(output))
            continue
        of = _channels(step.get("channels"), list(known))
        if name == "PercentileNormalization":
            ends = {"low": float(args.get("lp", 5)), "high": float(args.get("up", 95))}
            made.append({"name": _STRETCH, "args": {"channels": of, **ends}})
        elif name == "GammaCorrection":
            if not any(each["name"] == _STRETCH for each in made):
                made.append({"name": _STRETCH, "args": {"channels": of}})
                found.lacking.append(
                    f"{name} is of images from 0 to 1: {_STRETCH} is put before it"
                )
            if args.get("gain", 1) != 1:
                found.lacking.append(f"{name}: gain has no counterpart; thresholds here need none")
            gamma = float(args.get("gamma", 0.5))
            made.append({"name": "Gamma", "args": {"channels": of, "gamma": gamma}})
        else:
            found.lacking.append(
                f"{name}: has no counterpart; docs/preprocessing.md lists the steps"
            )
    if made:
        block = {"preprocessing": {"measurement": [], "segmentation": made}}
        found.blocks["parameters_preprocessing"] = block


def _segmentation(
    steps: list[dict[str, Any]], known: list[str], found: Translated
) -> dict[str, dict[str, Any]]:
    """Engine of each population, which is called by its channel."""
    engines: dict[str, dict[str, Any]] = {}
    for step in steps:
        name, args = step.get("name"), step.get("args") or {}
        told: dict[str, str] | None = _ENGINES.get(str(name))
        for channel in _channels(step.get("channels"), known):
            if told is None:
                engines[channel] = {"name": "LocalThreshold"}
                why = "its image holds masks: kedro cyto import, or LabelFilms (docs/engines.md)"
                why = (
                    why if name == "ImageToLabel" else "has no counterpart; LocalThreshold instead"
                )
                found.lacking.append(f"{name} of {channel}: {why}")
                continue
            ours = {mine: args[his] for mine, his in told.items() if args.get(his) is not None}
            engines[channel] = {"name": str(name), "args": ours}
        if told is not None:
            unknown = sorted(set(args) - {*told.values(), "verbose"})
            found.lacking += [f"{name}: {each} has no counterpart" for each in unknown]
    if not engines:
        raise InputError("the pipeline segments nothing, so that there is nothing to analyse")
    return engines
