"""Cards, fields and hazards as the page shows them, counted once more from the tables below them."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxTimeVaryingFitter, KaplanMeierFitter

from cyto_kedro.algorithms.comparison.contact import ContactHazards
from cyto_kedro.algorithms.reporting.report import HtmlReport
from cyto_kedro.algorithms.reporting.shots import clip_id
from cyto_kedro.core.groups import design
from cyto_kedro.images import Clip

MINUTES = 2.0  # a frame of the made-up assay
CELL = ["fov", "population", "track_id"]


@pytest.fixture(scope="module")
def page(assay: dict) -> str:
    sheet = design(assay["sample_sheet"])
    inputs = {name: assay[name] for name in ("fates", "bouts", "frames")}
    hazards = ContactHazards()(**inputs, design=sheet, populations=assay["roles"])["hazards"]
    shown = {k: v for k, v in assay.items() if k in HtmlReport.contract().inputs}
    return str(HtmlReport()({**shown, "hazards": hazards})["html"])


def words(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html)).strip()


def table(page: str, caption: str) -> pd.DataFrame:
    """A table of the page as text, by the label of its region."""
    whole = page[page.index(f'aria-label="{caption}"') :]
    whole = whole[: whole.index("</table>")]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", r, re.S) for r in whole.split("<tr>")[1:]]
    text = [[words(cell) for cell in row] for row in rows]
    return pd.DataFrame(text[1:], columns=text[0])


def card(page: str, number: int) -> dict[str, str]:
    """Lines of a card without the marks of doubt."""
    whole = page.split('<div class="card"')[number + 1]
    pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", re.sub(r"<sup.*?</sup>", "", whole), re.S)
    return {words(name): words(value) for name, value in pairs}


def said(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else f"{value:.3g}"


def shows(text: str, value: float) -> bool:
    """Whether `text` is `value` in three digits, whichever way a half was rounded."""
    return abs(float(text.split()[0]) - value) <= 0.501 * 10 ** (np.floor(np.log10(value)) - 2)


def counted(assay: dict[str, Any], fov: str) -> dict[str, float]:
    """A field's numbers off points, deaths, kills and bouts alone."""
    points = assay["track_points"].query("fov == @fov")
    alive = np.zeros(40)
    found: dict[str, float] = {}
    for population, mine in points.groupby("population"):
        found[f"n {population}"] = mine["track_id"].nunique()
        step = mine.sort_values(["track_id", "frame"]).groupby("track_id")[["x_um", "y_um"]].diff()
        each = np.hypot(step["x_um"], step["y_um"]).groupby(mine["track_id"]).mean() / MINUTES
        found[f"speed {population}"] = each.mean()
        if population == "TCell":
            alive += np.bincount(mine["frame"], minlength=40)
    found["hours"] = np.trapezoid(alive, dx=MINUTES / 60)
    found["deaths"] = (assay["deaths"]["fov"] == fov).sum()
    found["kills"] = assay["kills"].query("fov == @fov")["share"].sum()
    return found


def median_contact(assay: dict[str, Any], fovs: list[str]) -> float:
    bouts = assay["bouts"]
    mine = bouts[bouts["fov"].isin(fovs) & ~bouts["censored_start"]]
    fit = KaplanMeierFitter().fit(mine["duration_min"], ~mine["censored_end"])
    return float(fit.median_survival_time_)


def test_numbers_per_field(assay: dict, page: str) -> None:
    rows = table(page, "Numbers per field").set_index("field")
    assert rows.index.tolist() == ["A1", "A2", "B1", "B2"]
    for fov, row in rows.iterrows():
        mine = counted(assay, str(fov))
        assert row["effectors"] == said(mine["n TCell"])
        assert row["targets"] == said(mine["n CancerCell"])
        assert row["deaths"] == said(mine["deaths"]) and row["kills"] == said(mine["kills"])
        assert shows(row["effector-hours"], mine["hours"])
        assert shows(row["kills per effector per hour"], mine["kills"] / mine["hours"])
        assert shows(row["speed TCell (µm/min)"], mine["speed TCell"])
        assert shows(row["speed CancerCell (µm/min)"], mine["speed CancerCell"])
        assert row["median contact (min)"] == said(median_contact(assay, [str(fov)]))


def test_numbers_of_the_cards(assay: dict, page: str) -> None:
    for number, fovs in enumerate((["A1", "A2"], ["B1", "B2"])):
        lines, each = card(page, number), pd.DataFrame([counted(assay, fov) for fov in fovs])
        total, mean = each.sum(), each.mean()
        assert lines["fields / replicates"] == "2 / 2"
        tracked = f"{said(total['n TCell'])} / {said(total['n CancerCell'])}"
        assert lines["effectors / targets tracked"] == tracked
        assert lines["deaths of targets"] == said(total["deaths"])
        assert lines["kills (sum of attributed shares)"] == said(total["kills"])
        assert shows(lines["kills per effector per hour"], total["kills"] / total["hours"])
        for name in ("TCell", "CancerCell"):
            assert shows(lines[f"mean speed {name}"], mean[f"speed {name}"])
        assert lines["median contact"] == said(median_contact(assay, fovs)) + " min"


def steps(assay: dict[str, Any]) -> pd.DataFrame:
    """A row for each living target and frame interval, and whether it had been touched before."""
    fates, bouts = assay["fates"], assay["bouts"]
    first = bouts.groupby(["fov", "track_id_b"])["start_frame"].min()
    rows = []
    for cell in fates[~fates["dead_at_first_sight"]].to_dict("records"):
        touched = first.get((cell["fov"], cell["track_id"]), np.inf)
        if cell["population"] == "TCell":
            touched = np.inf
        last = int(cell["exit_min"] / MINUTES)
        for frame in range(int(cell["entry_min"] / MINUTES), last):
            row = {"id": "/".join(str(cell[name]) for name in CELL), "touched": frame >= touched}
            row |= {"start": frame, "stop": frame + 1, "population": cell["population"]}
            row |= {"fov": cell["fov"], "event": cell["died"] and frame + 1 == last}
            rows.append(row)
    found = pd.DataFrame(rows)
    return found.assign(treated=found["fov"].str.startswith("B")).astype(
        {"touched": float, "treated": float, "event": bool}
    )


def test_hazard_ratios_are_lifelines_fit_of_single_frames(assay: dict, page: str) -> None:
    rows = table(page, "Hazard ratios")
    targets = steps(assay).query("population == 'CancerCell'")

    def ratios(
        data: pd.DataFrame, terms: list[str], strata: list[str] | None = None
    ) -> list[float]:
        columns = ["id", "start", "stop", "event", *terms, *(strata or [])]
        fit = CoxTimeVaryingFitter().fit(
            data[columns], event_col="event", id_col="id", start_col="start", strata=strata
        )
        return [float(np.exp(fit.params_[term])) for term in terms]

    expected = {
        ("contact", "CAR-T <high>"): ratios(targets.query("treated == 1"), ["touched"]),
        ("contact", "(all)"): ratios(targets, ["touched"], ["treated"]),
        ("condition", "(all)"): ratios(targets, ["treated"]),
        ("condition + contact", "(all)"): ratios(targets, ["treated", "touched"]),
    }
    for (model, of), ratio in expected.items():
        mine = rows[
            (rows["model"] == model) & (rows["of"] == of) & (rows["population"] == "CancerCell")
        ]
        shown = [each.split(" (")[0] for each in mine["hazard ratio (95 %)"]]
        assert all(map(shows, shown, ratio)) and len(shown) == len(ratio), (model, of, shown, ratio)
        cells = targets if of == "(all)" else targets[targets["treated"] == (of != "control")]
        counts = f"{int(cells['event'].sum())} / {cells['id'].nunique()}"
        assert set(mine["deaths / cells"]) == {counts}


def test_a_field_leads_to_its_clips(assay: dict) -> None:
    shown = {k: v for k, v in assay.items() if k in HtmlReport.contract().inputs}
    one = Clip(b"RIFF", clip_id("B1", "CancerCell", 1), "t", "c", "B1", "kill", 3, "CancerCell", 1)
    html = str(HtmlReport()({**shown, "clips": [one]})["html"])
    rows = html[html.index('aria-label="Numbers per field"') :].split("</table>")[0]
    assert re.findall(r'<td><a href="([^"]+)">([^<]+)</a></td>', rows) == [("clips/B1.html", "B1")]
    assert table(html, "Numbers per field")["field"].tolist() == ["A1", "A2", "B1", "B2"]
