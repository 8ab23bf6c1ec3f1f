"""Tables of a simulated plate: 96 wells, 12 conditions, two E:T ratios, six doses, three donors.

Not a test. Targets die at a rate that rises with dose and E:T ratio and differs between donors; their
tracks and fates are drawn directly, without films. As a program it writes the report, to look at:
``python tests/algorithms/reporting/plate_tables.py plate.html``.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.comparison.cytotoxicity import Cytotoxicity
from cyto_kedro.algorithms.comparison.dose_response import DoseResponse
from cyto_kedro.algorithms.comparison.replicates import ReplicateValues
from cyto_kedro.algorithms.comparison.testing import ReplicateTests
from cyto_kedro.algorithms.reporting.answer_figures import AnswerFigures
from cyto_kedro.algorithms.reporting.report import HtmlReport
from cyto_kedro.core.groups import design

ROLES = {"TCell": "effector", "CancerCell": "target"}
DOSES = {0: (0,), 1: (0, 1, 3, 10, 30, 100), 5: (0, 3, 10, 30, 100)}
FRAMES, INTERVAL_MIN, TARGETS, EC50 = 25, 10.0, 20, 8.0
DONORS = {"D1": 0.8, "D2": 1.0, "D3": 1.3}


def sheet(wells: int = 96) -> pd.DataFrame:
    """A row per well; conditions in columns of a plate, donors in its rows; more or fewer wells are
    more plates, or rows of one; a dozen at least."""
    conditions = [(et, dose) for et, doses in DOSES.items() for dose in doses]
    rows = []
    for plate, column, row in product(
        range(-(-wells // 96)), range(12), range(min(wells // 12, 8))
    ):
        et, dose = conditions[column]
        name = f"E:T {et}, {dose} nM" if et else "no T cells"
        well, donor = f"{chr(65 + row)}{column + 1:02d}", f"D{row % 3 + 1}"
        label = f"P{plate + 1}"
        rows.append((f"{label}_{well}", name, well, donor, et, dose, not et, well, label))
    names = ["fov", "condition", "replicate", "donor", "et_ratio", "dose", "control"]
    table = pd.DataFrame(rows[:wells], columns=[*names, "well", "plate"])
    return table.assign(dose_unit="nM", treatment="")


def tables(seed: int = 0, n_wells: int = 96) -> dict[str, Any]:
    """Fields, frames, fates, track points and empty tables of the rest."""
    rng = np.random.default_rng(seed)
    wells = sheet(n_wells)
    points, fates = [], []
    for well in wells.to_dict("records"):
        occupied = well["dose"] / (well["dose"] + EC50)
        rate = 0.02 + well["et_ratio"] * DONORS[well["donor"]] * (0.04 + 0.25 * occupied)
        death = np.ceil(rng.exponential(60 / rate, TARGETS) / INTERVAL_MIN).astype(int)
        for track, frame in enumerate(death, start=1):
            died = frame < FRAMES
            last = FRAMES - 1
            end = (frame if died else last) * INTERVAL_MIN
            fates.append(
                (well["fov"], "CancerCell", track, died, frame if died else None, 0.0, end)
            )
            points += [(well["fov"], "CancerCell", track, at) for at in range(FRAMES)]
    columns = ["fov", "population", "track_id", "died", "death_frame", "entry_min", "exit_min"]
    made = pd.DataFrame(fates, columns=columns).assign(
        last_frame=FRAMES - 1, end_reason="film_end", dead_at_first_sight=False
    )
    track = pd.DataFrame(points, columns=["fov", "population", "track_id", "frame"])
    times = pd.DataFrame(
        [(fov, at, 60 * INTERVAL_MIN * at, False) for fov in wells["fov"] for at in range(FRAMES)],
        columns=["fov", "frame", "time_s", "excluded"],
    )
    fields = wells.assign(n_frames=FRAMES, height_px=100, width_px=100, pixel_size_um=0.65)
    empty = {n: schemas.empty(schemas.TABLES[n]) for n in ("motility", "bouts", "kills")}
    return {
        "fields": schemas.conform(schemas.Fields, fields.assign(remarks="")),
        "frames": times,
        "fates": schemas.filled(schemas.Fates, made),
        "track_points": schemas.filled(schemas.TrackPoints, track.assign(x_px=1.0, y_px=1.0)),
        **empty,
    }


def compared(data: dict[str, Any]) -> dict[str, Any]:
    """The tables of the comparison stage."""
    about = {**data, "design": design(data["fields"]), "populations": ROLES}
    made = Cytotoxicity()(about)
    values = [ReplicateValues()(about)["replicate_summaries"], made.pop("replicate_summaries")]
    summaries = schemas.conform(schemas.ReplicateSummaries, pd.concat(values))
    tests = ReplicateTests(permutations=99)(
        replicate_summaries=summaries,
        design=about["design"],
        primary=("survival",),
        populations=ROLES,
    )
    fits = DoseResponse()(field_killing=made["field_killing"], design=about["design"])
    return {**made, **fits, **tests, "replicate_summaries": summaries}


def page(data: dict[str, Any], made: dict[str, Any]) -> str:
    """The report."""
    figures = AnswerFigures()(**made, sample_sheet=data["fields"])["figures"]
    shown = {name: made[name] for name in ("comparisons", "replicate_summaries")}
    report = HtmlReport(title="A plate")(
        **data, **shown, roles=ROLES, sample_sheet=sheet(), figures=figures
    )
    return str(report["html"])


if __name__ == "__main__":
    assay = tables()
    Path(sys.argv[1]).write_text(page(assay, compared(assay)), encoding="utf-8")
