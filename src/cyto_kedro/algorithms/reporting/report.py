"""One self-contained HTML report of a run: numbers, figures, warnings, methods, provenance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypedDict

import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.reporting.answer_figures import ANSWER
from cyto_kedro.algorithms.reporting.clip_cards import clip_cards, folder_page
from cyto_kedro.algorithms.reporting.findings import (
    BLANK,
    answers,
    compared,
    headline,
    killed,
    number,
    numbered,
    per_replicate,
    related,
    tested,
    weakened,
)
from cyto_kedro.algorithms.reporting.mask_warnings import cell_widths, worst_masks
from cyto_kedro.algorithms.reporting.picture_cards import figure_card, film_cards
from cyto_kedro.algorithms.reporting.summary import Summary
from cyto_kedro.algorithms.reporting.template import PAGE, SCRIPT, STYLE
from cyto_kedro.core.groups import with_condition
from cyto_kedro.core.style import colours
from cyto_kedro.images import Clip, Picture
from cyto_kedro.schemas import TableOf, or_empty

MOST_CARDS = 6  # conditions; of more there is a table


class Written(TypedDict):
    """The page."""

    html: str


class HtmlReport(Algorithm):
    """Put everything known of a run on one page that needs no network and no other file.

    A figure named ``quality`` stands with the quality warnings. Algorithms shown under Methods are all
    blocks ``{name: ..., args: {...}}`` in the run's ``parameters``.

    Examples
    --------
    >>> from cyto_kedro.schemas import Fates, Fields, filled
    >>> fates = {"fov": "A1", "population": "CancerCell", "track_id": [1, 2], "died": [True, False]}
    >>> fields, fates = filled(Fields, {"fov": ["A1"], "n_frames": 5}), filled(Fates, fates)
    >>> report = HtmlReport(title="Killing")
    >>> page = report(fields=fields, fates=fates, roles={"CancerCell": "target"})["html"]
    >>> "<h1>Killing</h1>" in page, "1 of 2 living targets seen died" in page
    (True, True)
    """

    title: str = Field(default="Cytotoxicity assay", description="heading, if data has none")

    def run(
        self,
        fields: TableOf[schemas.Fields],
        roles: Mapping[str, str],
        by_fov: pd.DataFrame | None = None,
        by_condition: pd.DataFrame | None = None,
        warnings: pd.DataFrame | None = None,
        title: str | None = None,
        sample_sheet: pd.DataFrame | None = None,
        frames: TableOf[schemas.Frames] | None = None,
        track_points: TableOf[schemas.TrackPoints] | None = None,
        motility: TableOf[schemas.Motility] | None = None,
        bouts: TableOf[schemas.Bouts] | None = None,
        fates: TableOf[schemas.Fates] | None = None,
        kills: TableOf[schemas.Kills] | None = None,
        quality: TableOf[schemas.Quality] | None = None,
        comparisons: TableOf[schemas.Comparisons] | None = None,
        replicate_summaries: TableOf[schemas.ReplicateSummaries] | None = None,
        hazards: TableOf[schemas.Hazards] | None = None,
        figures: Mapping[str, Picture | bytes] | None = None,
        overlays: Mapping[str, Picture | bytes] | None = None,
        mask_quality: TableOf[schemas.MaskQuality] | None = None,
        cell_sizes: TableOf[schemas.CellSizes] | None = None,
        clips: Iterable[Clip] = (),
        run: Mapping[str, Any] | None = None,
    ) -> Written:
        """Write the page.

        Parameters
        ----------
        roles
            Population -> role.
        by_fov, by_condition, warnings
            As `Summary` makes them; not given: made here, of the tables that it takes.
        figures, overlays
            By name: pictures, or the bytes of PNG files.
        clips
            Of all fields, which may come one by one: a click on a death in `target_fates`, or in the
            table, opens one.
        run
            The manifest: run_id, command, env, git, packages, parameters, started; ``manifest`` is the
            path it is cited by.

        Raises
        ------
        InputError
            If a figure is neither a `Picture` nor PNG bytes, or a field is not in the sample sheet.
        """
        from jinja2 import Environment, StrictUndefined

        if by_fov is None or by_condition is None or warnings is None:
            parts = None if track_points is None else [track_points]
            made = Summary().run(
                *(fields, roles, frames, parts, motility, bouts, fates, kills, quality),
                sample_sheet=sample_sheet,
                mask_quality=mask_quality,
                cell_sizes=cell_sizes,
            )
            by_fov, by_condition, warnings = made["by_fov"], made["by_condition"], made["warnings"]
        values = or_empty(replicate_summaries, schemas.ReplicateSummaries)
        independent = values.groupby("condition")["cluster"].nunique()  # donors, not their wells
        n = by_condition["condition"].map(independent).fillna(by_condition["replicates"])
        by_condition = by_condition.assign(replicates=n.astype(int))
        shown = cards(by_condition, roles)
        run = run or {}
        params = run.get("parameters")
        filmed, of_field = clip_cards(clips)
        names = {card["name"] for card in filmed}
        pictures = {name: figure_card(name, one, names) for name, one in (figures or {}).items()}
        films = [pictures.pop("quality")] if "quality" in pictures else []
        effects = pictures.pop("effects", None)
        first = [pictures.pop(name) for name in ANSWER if name in pictures]
        first = [one for one in first if one["alt"]]  # of the others there is nothing to see
        drawn = film_cards(overlays or {})
        frames = or_empty(frames, schemas.Frames)
        tests = or_empty(comparisons, schemas.Comparisons)
        apart = tests.get("outcome", pd.Series("", tests.index)) == "control"
        page = Environment(autoescape=True, undefined=StrictUndefined).from_string(PAGE)
        html = page.render(
            title=title or self.title,
            style=STYLE,
            script=SCRIPT,
            subtitle=(
                f"{_n(len(by_fov), 'field')} in {_n(len(by_condition), 'condition')}, "
                f"{_n(int(fields['n_frames'].sum()), 'frame')}. Run {run.get('run_id', 'not recorded')}."
            ),
            populations="Populations: "
            + ", ".join(f"{name} ({role})" for name, role in roles.items())
            + ".",
            fields=grid(_analysed(fields, frames, sample_sheet)),
            headline=[*killed(values, by_condition), *headline(tests, values, by_condition)],
            first=first,
            answers=answers(by_condition),
            cards=shown,
            conditions=_as_table(shown) if len(shown) > MOST_CARDS else None,
            tested=tested(tests) if len(tests) else "",
            effects=[effects] if effects and effects["alt"] else [],
            certain=bool(tests["effect_size"].notna().any()),
            comparisons=_noted(compared(tests[~apart], by_condition)),
            controls=_noted(compared(tests[apart], by_condition)),
            hazards=_noted(related(or_empty(hazards, schemas.Hazards))),
            replicates=grid(per_replicate(values)),
            beware=len(warnings),
            by_fov=grid(
                _per_field(by_fov, roles),
                [folder_page(fov) if of_field[fov] else "" for fov in by_fov["fov"]]
                if of_field
                else (),
            ),
            figures=list(pictures.values()),
            quality=films,
            masks=grid(worst_masks(or_empty(mask_quality, schemas.MaskQuality))),
            widths=grid(cell_widths(or_empty(cell_sizes, schemas.CellSizes))),
            overlays=drawn,
            clips=filmed,
            unlisted=of_field.total() - len(filmed),
            overlaid=len(drawn) < 2 * len(fields),
            warnings=grid(
                warnings.rename(columns={"n_frames": "frames", "first_frame": "first frame"})
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
    """The headline numbers of each condition as lines of text, each with the doubts that weaken it.

    A line is name, value and the numbers of its doubts (``1, 3``; empty: none).
    """
    hues = colours(by_condition["condition"])
    made = []
    for row in by_condition.to_dict("records"):
        unit, time = row["speed_unit"], row["time_unit"]
        weak = weakened(row)
        lines = [
            ("", "fields / replicates", f"{row['fovs']} / {row['replicates']}"),
            ("tracked", "effectors / targets tracked", f"{row['effectors']} / {row['targets']}"),
            ("deaths", "deaths of targets", number(row["deaths"])),
            ("kills", "kills (sum of attributed shares)", number(row["kills"])),
            (
                "kills_per_effector_per_hour",
                "kills per effector per hour",
                number(row["kills_per_effector_per_hour"]),
            ),
            *(("speed", f"mean speed {name}", _with(row[f"speed_{name}"], unit)) for name in roles),
            ("contact_median", "median contact", _with(row["contact_median"], time)),
        ]
        marked = [
            (name, value, ", ".join(str(n) for n, (of, _) in enumerate(weak, 1) if column in of))
            for column, name, value in lines
        ]
        card = {"name": row["condition"], "hue": hues[row["condition"]], "lines": marked}
        made.append({**card, "doubts": [sentence for _, sentence in weak]})
    return made


def _as_table(shown: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """`cards` as a row each, their doubts above it by number."""
    rows = [
        {"condition": card["name"]}
        | {name: value for name, value, _ in card["lines"]}
        | {"beware": "\n".join(card["doubts"])}
        for card in shown
    ]
    return _noted(pd.DataFrame(rows))


def grid(frame: pd.DataFrame, links: Sequence[str] = ()) -> dict[str, list[Any]]:
    """A table as the template wants it: columns (name, number or not) and rows of text.

    `links`: where a click on each row leads, blank for nowhere.
    """
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    return {
        "columns": [
            {"name": str(name), "number": one}
            for name, one in zip(frame.columns, numeric, strict=True)
        ],
        "rows": [[number(v) for v in row] for row in frame.itertuples(index=False, name=None)],
        "links": list(links),
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


def _analysed(
    fields: pd.DataFrame, frames: pd.DataFrame, sheet: pd.DataFrame | None
) -> pd.DataFrame:
    """Field, condition, replicate, what else the sheet says, size and calibration."""
    fields = with_condition(fields, sheet)
    times = frames.dropna(subset=["time_s"]).groupby("fov")["time_s"]
    interval = times.agg(lambda t: t.sort_values().diff().dropna().median()) / 60
    out = fields[["fov", "condition", "replicate"]].rename(columns={"fov": "field"})
    out["frames"] = fields["n_frames"].astype(int)
    out["size (px)"] = fields["width_px"].astype(str) + " × " + fields["height_px"].astype(str)
    out["µm per px"] = fields["pixel_size_um"].astype(float)
    out["min per frame (median)"] = fields["fov"].map(interval).astype(float)
    out["film (min)"] = fields["fov"].map((times.max() - times.min()) / 60).astype(float)
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
        "lost": "tracks lost in view",
        "contacts_unknown": "contacts begun unseen",
        "contacts_cut": "contacts still on when last seen",
        "touches_untracked": "touches of untracked cells",
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
