"""One self-contained HTML report of a run: numbers, figures, warnings, methods, provenance."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.reporting.findings import (
    BLANK,
    answers,
    compared,
    number,
    numbered,
    per_replicate,
    related,
)
from cyto_kedro.algorithms.reporting.style import colours
from cyto_kedro.algorithms.reporting.summary import Summary, table
from cyto_kedro.algorithms.reporting.template import PAGE, STYLE
from cyto_kedro.core.groups import with_condition
from cyto_kedro.errors import InputError
from cyto_kedro.images import Picture

PNG = b"\x89PNG\r\n\x1a\n"


class HtmlReport(Algorithm):
    """Put everything known of a run on one page that needs no network and no other file.

    Reads ``fields``, ``roles`` (population -> role) and, each if there is one: ``title``,
    ``sample_sheet``, ``by_fov``, ``by_condition`` and ``warnings`` as `summary.Summary` returns them
    (absent: made here from the tables that it reads),
    ``comparisons``, ``replicate_summaries``, ``hazards`` (`schemas`),
    ``figures`` {name: `style.Picture` or PNG bytes}, ``overlays`` {name: the same}, ``run`` (the
    manifest: run_id, command, env, git, packages, parameters, started; ``manifest`` is the path it is
    cited by). A figure named ``quality`` stands with the quality warnings. Algorithms shown under
    Methods are all blocks ``{name: ..., args: {...}}`` in the run's ``parameters``.

    Returns ``html`` (str).

    Raises
    ------
    InputError
        If a figure is neither a `Picture` nor PNG bytes, or a field is not in the sample sheet.
    """

    title: str = Field(default="Cytotoxicity assay", description="heading, if data has none")

    def __call__(self, data: Data) -> Data:
        from jinja2 import Environment, StrictUndefined

        roles = data["roles"]
        run: Mapping[str, Any] = data.get("run") or {}
        params = run.get("parameters")
        summary = data if "by_fov" in data else Summary()(data)
        by_fov, by_condition = summary["by_fov"], summary["by_condition"]
        pictures = {name: _picture(name, one) for name, one in (data.get("figures") or {}).items()}
        quality = [pictures.pop("quality")] if "quality" in pictures else []
        overlays = [_picture(name, one) for name, one in (data.get("overlays") or {}).items()]
        frames = int(table(data, "fields")["n_frames"].sum())
        page = Environment(autoescape=True, undefined=StrictUndefined).from_string(PAGE)
        html = page.render(
            title=data.get("title") or self.title,
            style=STYLE,
            subtitle=(
                f"{_n(len(by_fov), 'field')} in {_n(len(by_condition), 'condition')}, "
                f"{_n(frames, 'frame')}. Run {run.get('run_id', 'not recorded')}."
            ),
            populations="Populations: "
            + ", ".join(f"{name} ({role})" for name, role in roles.items())
            + ".",
            fields=grid(_analysed(data)),
            answers=answers(by_condition),
            cards=cards(by_condition, roles),
            comparisons=_noted(compared(table(data, "comparisons"))),
            hazards=_noted(related(table(data, "hazards"))),
            replicates=grid(per_replicate(table(data, "replicate_summaries"))),
            beware=len(summary["warnings"]),
            by_fov=grid(_per_field(by_fov, roles)),
            figures=list(pictures.values()),
            quality=quality,
            overlays=overlays,
            warnings=grid(
                summary["warnings"].rename(
                    columns={"n_frames": "frames", "first_frame": "first frame"}
                )
            ),
            methods=grid(pd.DataFrame(specs(params or {}), columns=["for", "algorithm", "with"])),
            origin=grid(_origin(run)),
            packages=_packages(run.get("packages")),
            params=_json(params) if params else "",
        )
        return {"html": html}


def specs(params: object, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Every ``{name: ..., args: {...}}`` in nested parameters: (where, name, arguments)."""
    if isinstance(params, Mapping):
        if isinstance(params.get("name"), str) and isinstance(params.get("args", {}), Mapping):
            args = params.get("args") or {}
            said = ", ".join(f"{key} = {_json(value, None)}" for key, value in args.items())
            yield path, params["name"], said or "defaults"
            return
        for key, value in params.items():
            yield from specs(value, f"{path}.{key}" if path else str(key))
    elif isinstance(params, Sequence) and not isinstance(params, str | bytes):
        for index, value in enumerate(params):
            yield from specs(value, f"{path}[{index}]")


def cards(by_condition: pd.DataFrame, roles: Mapping[str, str]) -> list[dict[str, Any]]:
    """The headline numbers of each condition as lines of text."""
    hues = colours(by_condition["condition"])
    made = []
    for row in by_condition.to_dict("records"):
        unit, time = row["speed_unit"], row["time_unit"]
        lines = [
            ("fields / replicates", f"{row['fovs']} / {row['replicates']}"),
            ("effectors / targets tracked", f"{row['effectors']} / {row['targets']}"),
            ("deaths of targets", number(row["deaths"])),
            ("kills (attributed)", number(row["kills"])),
            ("kills per effector per hour", number(row["kills_per_effector_per_hour"])),
            *((f"mean speed {name}", _with(row[f"speed_{name}"], unit)) for name in roles),
            ("median contact", _with(row["contact_median"], time)),
        ]
        made.append({"name": row["condition"], "hue": hues[row["condition"]], "lines": lines})
    return made


def grid(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """A table as the template wants it: columns (name, number or not) and rows of text."""
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    return {
        "columns": [
            {"name": str(name), "number": one}
            for name, one in zip(frame.columns, numeric, strict=True)
        ],
        "rows": [[number(v) for v in row] for row in frame.itertuples(index=False, name=None)],
    }


def _noted(found: pd.DataFrame) -> dict[str, list[Any]]:
    """`grid` of a table whose warnings stand above it, by number."""
    found, notes = numbered(found)
    return {**grid(found), "notes": notes}


def _with(value: float, unit: str) -> str:
    text = number(value)
    return text if text == BLANK else f"{text} {unit}"


def _n(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _picture(name: str, given: object) -> dict[str, str]:
    if isinstance(given, bytes):
        given = Picture(given, name.replace("_", " ").capitalize(), "", name.replace("_", " "))
    if not isinstance(given, Picture) or not given.png.startswith(PNG):
        raise InputError(
            f"report: figure {name!r} is {type(given).__name__}, not a Picture or the bytes of a "
            "PNG file, so it cannot be put in the page; save it as PNG"
        )
    return {
        "title": given.title,
        "caption": given.caption,
        "alt": given.alt,
        "data": base64.b64encode(given.png).decode("ascii"),
    }


def _analysed(data: Mapping[str, Any]) -> pd.DataFrame:
    """Field, condition, replicate, what else the sheet says, size and calibration."""
    fields = with_condition(table(data, "fields"), data.get("sample_sheet"))
    times = table(data, "frames").dropna(subset=["time_s"]).groupby("fov")["time_s"]
    interval = times.agg(lambda t: t.sort_values().diff().dropna().median()) / 60
    out = fields[["fov", "condition", "replicate"]].rename(columns={"fov": "field"})
    out["frames"] = fields["n_frames"].astype(int)
    out["size (px)"] = fields["width_px"].astype(str) + " × " + fields["height_px"].astype(str)
    out["µm per px"] = fields["pixel_size_um"].astype(float)
    out["min per frame (median)"] = fields["fov"].map(interval).astype(float)
    out["film (min)"] = fields["fov"].map((times.max() - times.min()) / 60).astype(float)
    sheet = data.get("sample_sheet")
    if sheet is not None:
        more = [c for c in sheet.columns if c not in ("fov", "condition", "replicate")]
        for column in more:
            if (sheet[column].notna() & (sheet[column] != "")).any():
                out[str(column)] = fields["fov"].map(sheet.set_index("fov")[column]).astype(object)
    return out


def _per_field(by_fov: pd.DataFrame, roles: Mapping[str, str]) -> pd.DataFrame:
    speed, time = "px/frame", "frames"
    if len(by_fov):
        speed, time = by_fov["speed_unit"].iloc[0], by_fov["time_unit"].iloc[0]
    names = {
        "fov": "field",
        "condition": "condition",
        "replicate": "replicate",
        "effectors": "effectors",
        "targets": "targets",
        "dead_at_first_sight": "dead at first sight",
        "deaths": "deaths",
        "kills": "kills",
        "effector_hours": "effector-hours",
        "kills_per_effector_per_hour": "kills per effector per hour",
        "contact_median": f"median contact ({time})",
        **{f"speed_{name}": f"speed {name} ({speed})" for name in roles},
    }
    return by_fov[list(names)].rename(columns=names)


def _origin(run: Mapping[str, Any]) -> pd.DataFrame:
    git = run.get("git")
    if isinstance(git, Mapping):
        git = ", ".join(f"{key} {value}" for key, value in git.items())
    rows = {
        "run": run.get("run_id"),
        "manifest": run.get("manifest"),
        "started": run.get("started"),
        "command": run.get("command"),
        "environment": run.get("env"),
        "git": git,
    }
    said = [(name, " ".join(v) if isinstance(v, list | tuple) else v) for name, v in rows.items()]
    return pd.DataFrame(
        [(name, BLANK if value in (None, "") else str(value)) for name, value in said],
        columns=["what", "value"],
    )


def _packages(packages: object) -> str:
    if isinstance(packages, Mapping):
        return "\n".join(f"{name} {version}" for name, version in sorted(packages.items()))
    return ""


def _json(value: object, indent: int | None = 2) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, default=str)
