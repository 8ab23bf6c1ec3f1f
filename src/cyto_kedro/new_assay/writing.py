"""The environment of an assay: YAML, sample sheet and contact sheet, in a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from cyto_kedro.datasets.atomic import write_folder
from cyto_kedro.datasets.name_parts import WELL, well_name
from cyto_kedro.errors import InputError
from cyto_kedro.new_assay.looking import Found
from cyto_kedro.new_assay.roles import Roles

# of the base's tracking, by role
_LARGEST_STEP_UM = {"effector": 15.0, "target": 12.0}
_ROLES = ("effector", "target")


def assay_block(
    found: Found,
    roles: Roles,
    pixel_size_um: float | None = None,
    frame_interval_s: float | None = None,
    raw: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The block ``assay`` that reads what was found.

    `found`, `roles`: the folder, and which channel shows what. `pixel_size_um`, `frame_interval_s`:
    stated by the user; None: as the files say. `raw`: more keys of ``assay.raw``.
    """
    block: dict[str, Any] = {"raw": {"pattern": found.pattern}}
    if not found.by_order and any(ours != theirs for ours, theirs in found.channels.items()):
        block["raw"]["names"] = dict(found.channels)
    if found.exclude:
        block["raw"]["exclude"] = list(found.exclude)
    block["raw"] |= dict(raw or {})
    block["channels"] = list(found.channels)
    block["populations"] = {
        name: {"role": role, "channels": [name]}
        for role, names in zip(_ROLES, (roles.effectors, roles.targets), strict=True)
        for name in names
    }
    block["markers"] = {"death": roles.death} if roles.death else {}
    block["block_length"] = 20
    silent = not all(raw.pixel_size_um for raw in found.raw)
    size = pixel_size_um or (found.beside.pixel_size_um if silent else None)
    step = frame_interval_s or (None if found.timed else found.beside.frame_interval_s)
    if size:
        block["pixel_size_um"] = float(f"{size:.6g}")
    if step:
        block["frame_interval_s"] = float(f"{step:.6g}")
    return block


def sample_sheet(found: Found, plate_map: pd.DataFrame | None = None) -> pd.DataFrame:
    """A row per field: its well and plate by the path, and what the plate map says of them.

    Fields of one well are of one replicate.

    Raises InputError if a field is of no well of the plate map.
    """
    rows: list[dict[str, str]] = []
    lacking: list[str] = []
    for fov, channels in found.fields.items():
        plate, well = channels[0].plate, well_in(channels[0].well, fov)
        row = {"fov": fov, "condition": "", "replicate": "_".join(filter(None, (plate, well)))}
        row |= {"well": well} if well else {}
        row |= {"plate": plate} if plate else {}
        if plate_map is not None:
            said = _said_of(plate_map, fov, well, plate)
            if said is None:
                lacking.append(f"{fov} (well {well})" if well else fov)
            else:
                row |= {name: text for name, text in said.items() if text}
        rows.append(row)
    if lacking:
        raise InputError(
            f"the plate map says nothing of {', '.join(lacking[:20])}: add these wells, or a column fov"
        )
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = pd.DataFrame(rows, columns=columns).fillna("")
    if "control" not in table.columns:
        table.insert(3, "control", "")
    return table


def well_in(well: str, fov: str) -> str:
    """A field's well: by the path, else by its own name where that is or begins with one."""
    if well:
        return well_name(well)
    found = re.match(rf"({WELL})(?=$|[_ -])", fov)
    return well_name(found[1]) if found else ""


def _said_of(plate_map: pd.DataFrame, fov: str, well: str, plate: str) -> dict[str, str] | None:
    if "fov" in plate_map.columns:
        rows = plate_map[plate_map["fov"] == fov]
    else:
        rows = plate_map[plate_map["well"] == well] if well else plate_map.iloc[:0]
        if "plate" in plate_map.columns and plate:
            rows = rows[rows["plate"] == plate]
    return None if rows.empty else {str(k): str(v) for k, v in rows.iloc[0].items()}


def write_environment(
    folder: Path,
    project: Path,
    found: Found,
    assay: Mapping[str, Any],
    sheet: pd.DataFrame | None,
    picture: bytes,
) -> list[str]:
    """Write the environment, whole or not at all; the names of its files.

    `sheet` is None where one lies beside the films.

    Raises InputError if `folder` is there: nothing of a person's is overwritten.
    """
    if folder.exists():
        raise InputError(f"{folder} is there already; take another name, or remove it")
    name = folder.name
    raw = found.folder
    if "://" not in raw:
        path = Path(raw).resolve()
        inside = path.is_relative_to(project.resolve())
        raw = path.relative_to(project.resolve()).as_posix() if inside else path.as_posix()
    populations = assay["populations"]
    text = {
        "globals.yml": "# Where the films are, and where results go.\n"
        + as_yaml(
            {"raw": raw, "data": f"results/{name}", "simulated": f"results/{name}/simulated"}
        ),
        "parameters.yml": f"# Proposed by kedro cyto new from {raw}: {found.layout}.\n"
        + as_yaml({"assay": dict(assay)}),
        "parameters_segmentation.yml": "# docs/engines.md; look at segmentation_overlay first\n"
        + as_yaml(
            {
                "segmentation": {each: engine_of(of["role"]) for each, of in populations.items()},
                "subtraction": {"name": "SubtractPopulation"},
            }
        ),
        "parameters_tracking.yml": "# docs/tracking.md\n"
        + as_yaml(
            {"tracking": {each: tracking_of(of["role"]) for each, of in populations.items()}}
        ),
    }
    if sheet is not None:
        text["catalog.yml"] = CATALOG.format(name=name)

    def write(made: Path) -> None:
        for file, content in text.items():
            (made / file).write_text(content, encoding="utf-8")
        if sheet is not None:
            sheet.to_csv(made / "sample_sheet.csv", index=False, encoding="utf-8")
        (made / "contact_sheet.png").write_bytes(picture)

    write_folder(folder, write)
    return sorted(path.name for path in folder.iterdir())


def engine_of(role: str) -> dict[str, Any]:
    """The engine of a population of a role, as in conf/base."""
    if role != "effector":
        return {"name": "LocalThreshold", "args": {}}
    shape = {"tolerance": 0.035, "core_height": 0.7}
    return {"name": "Nuclei", "args": {**shape, "min_height": 0.05, "haze_height": 0.5}}


def tracking_of(role: str) -> dict[str, Any]:
    """The linker of a population of a role, and the steps after it, as in conf/base."""
    args = {"max_distance_um": _LARGEST_STEP_UM[role], "gap_closing_max_frames": 2}
    join = {"max_distance_um": 4.0, "max_gap_frames": 8, "min_area_ratio": 0.5}
    steps = [
        {"name": "RepairMerges"},
        {"name": "JoinFragments", "args": join},
        {"name": "InterpolateGaps"},
    ]
    return {"name": "LAP", "args": args, "steps": steps}


def as_yaml(content: Mapping[str, Any]) -> str:
    """A file's text."""
    return yaml.safe_dump(
        dict(content), sort_keys=False, default_flow_style=None, allow_unicode=True
    )


#: catalog.yml of an environment `name` that keeps its own sample sheet
CATALOG = """\
# The sample sheet is kept here; one beside the films wins.
sample_sheet:
  type: cyto_kedro.datasets.SampleSheetDataset
  filepath: conf/{name}/sample_sheet.csv
  path: ${{runtime_params:raw, ${{globals:raw}}}}
"""
