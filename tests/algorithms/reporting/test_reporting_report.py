"""Figures show the numbers; the report is one file, escaped, and says what it knows."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO, StringIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from cyto_kedro import schemas
from cyto_kedro.algorithms.comparison.testing import ReplicateTests
from cyto_kedro.algorithms.reporting.answer_figures import AnswerFigures
from cyto_kedro.algorithms.reporting.contact_figures import ContactFigures
from cyto_kedro.algorithms.reporting.effect_figures import effect_rows
from cyto_kedro.algorithms.reporting.findings import (
    compared,
    number,
    numbered,
    per_replicate,
    related,
)
from cyto_kedro.algorithms.reporting.killing_figures import KillingFigures
from cyto_kedro.algorithms.reporting.motion_figures import MotionFigures
from cyto_kedro.algorithms.reporting.picture_cards import (
    LARGEST_VECTOR,
    OVERLAYS_INSIDE,
    film_cards,
)
from cyto_kedro.algorithms.reporting.quality_figures import QualityFigures
from cyto_kedro.algorithms.reporting.report import HtmlReport, specs
from cyto_kedro.algorithms.reporting.template import SCRIPT
from cyto_kedro.core.style import rgb_png
from cyto_kedro.errors import InputError
from cyto_kedro.images import Picture

RUN = {
    "run_id": "R1",
    "manifest": "runs/R1/manifest.json",
    "command": ["kedro", "run"],
    "git": {"commit": "abc123"},
    "packages": {"numpy": "2.4"},
    "parameters": {
        "segmentation": {
            "TCell": {"name": "Otsu", "args": {"sigma_um": 0.5}},
            "CancerCell": {"name": "Watershed"},
        },
        "preprocessing": {"steps": [{"name": "Drift", "args": {}}]},
        "assay": {"name": 3},
    },
}


class Page(HTMLParser):
    """Collects tags, what they load, and the text."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text, self.open = "", []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def pictures(assay: dict) -> dict[str, Picture]:
    made: dict[str, Picture] = {}
    for topic in (KillingFigures, MotionFigures, QualityFigures):
        made |= topic(dpi=50)(assay)["figures"]
    return made


def test_report_is_one_well_formed_file(assay: dict, pictures: dict) -> None:
    data = {**assay, "figures": pictures, "overlays": {"tracks": pictures["speeds"]}, "run": RUN}
    html = HtmlReport()(data)["html"]
    page = Page(html)
    assert page.open == [] and html.count("<script") == 1 and SCRIPT in html
    for tag, attrs in page.tags:
        assert tag not in ("link", "iframe", "object")
        assert tag != "script" or not attrs  # the one that sorts and filters tables
        for name in ("src", "href"):
            assert attrs.get(name, "#").startswith(("#", "data:"))
        assert tag != "img" or attrs["alt"]
    assert not re.search(r"https?://(?!www\.w3\.org/)|url\((?!#)|@import", html)
    assert 'Arial,"Liberation Sans"' in html  # the style sheet itself is not escaped
    images = [a["src"] for tag, a in page.tags if tag == "img"]
    vectors = [one for one in pictures.values() if one.svg]
    assert [src.partition(",")[0] for src in images] == ["data:image/webp;base64"]
    assert html.count("<svg") == len(vectors) and pictures["kills"].svg in html
    assert all(one.caption in page.text for one in pictures.values())  # or why there is none
    bitmap = replace(pictures["kills"], svg="x" * (LARGEST_VECTOR + 1))
    html = HtmlReport()({**assay, "figures": {"kills": bitmap}})["html"]
    images = [a["src"] for tag, a in Page(html).tags if tag == "img"]
    first = base64.b64decode(images[0].removeprefix("data:image/png;base64,"))
    assert first == pictures["kills"].png
    anchors = {a["href"] for tag, a in page.tags if tag == "a"}
    assert anchors <= {"#" + a["id"] for _, a in page.tags if "id" in a}


def test_many_overlays_are_smaller_so_that_the_page_is_not_larger() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (300, 450, 3), dtype=np.uint8)
    overlay = Picture(rgb_png(noise), "t", "c", "a")
    sides = []
    for many in (2, 24, 48):
        cards = film_cards({f"A{i}": overlay for i in range(many)})
        packed = [base64.b64decode(card["data"]) for card in cards]
        assert sum(map(len, packed)) <= OVERLAYS_INSIDE
        sides.append(Image.open(BytesIO(packed[-1])).size)
    assert sides[0] == (450, 300) and sides[0] > sides[1] > sides[2] >= (112, 75)
    assert all(width == pytest.approx(1.5 * height, abs=1) for width, height in sides)


def test_report_says_the_numbers_and_where_they_are_from(assay: dict) -> None:
    text = Page(HtmlReport()({**assay, "run": RUN})["html"]).text
    assert "4 fields in 2 conditions, 160 frames. Run R1." in text
    total = len(assay["deaths"][assay["deaths"]["fov"].isin(["B1", "B2"])])
    assert f"deaths of targets{total}" in text
    for said in ("runs/R1/manifest.json", "kedro run", "commit abc123", "numpy 2.4"):
        assert said in text
    assert "sigma_um = 0.5" in text and "Watershed" in text and "focus differs" in text


def test_names_are_text_not_markup(assay: dict) -> None:
    evil = "<b>x</b>\"'&<script>alert(1)</script>"
    swap = {"A1": evil}
    data = {
        name: one.replace({"fov": swap}) if hasattr(one, "columns") else one
        for name, one in assay.items()
    }
    html = HtmlReport()({**data, "title": evil, "run": {"command": evil}})["html"]
    page = Page(html.replace(f"<script>{SCRIPT}</script>", ""))
    assert not {"b", "script"} & {tag for tag, _ in page.tags}
    assert page.text.count(evil) >= 4


def test_report_of_an_empty_or_uncalibrated_assay(uncalibrated: dict) -> None:
    text = Page(HtmlReport()(uncalibrated)["html"]).text
    assert "pixel size unknown" in text and "px/frame" in text and "µm/min" not in text
    empty = {"fields": schemas.empty(schemas.Fields), "roles": uncalibrated["roles"]}
    assert "0 fields in 0 conditions" in Page(HtmlReport()(empty)["html"]).text


def test_a_figure_that_is_no_png_is_refused(assay: dict) -> None:
    with pytest.raises(InputError, match="'speeds'"):
        HtmlReport()({**assay, "figures": {"speeds": b"GIF89a"}})


def test_specs_and_numbers() -> None:
    assert list(specs(RUN["parameters"])) == [
        ("segmentation.TCell", "Otsu", "sigma_um = 0.5"),
        ("segmentation.CancerCell", "Watershed", "defaults"),
        ("preprocessing.steps[0]", "Drift", "defaults"),
    ]
    values = (None, float("nan"), 3, 3.0, 0.12345, 12345.6, np.float64(2.5), "a-b", True)
    assert [number(v) for v in values] == [
        "–",
        "–",
        "3",
        "3",
        "0.123",
        "12346",
        "2.5",
        "a-b",
        "True",
    ]
    near = (999.4, 999.5, -999.7, 1000.4)  # never 1 × 10³
    assert [number(v) for v in near] == ["999", "1000", "−1000", "1000"]
    small = (-3, np.int64(-3), -0.5, float("-inf"), 1.234e-5, -2e-7)
    assert [number(v) for v in small] == ["−3", "−3", "−0.5", "−∞", "1.23 × 10⁻⁵", "−2 × 10⁻⁷"]


def test_the_report_opens_with_the_answer(assay: dict) -> None:
    page = Page(HtmlReport()({**assay, "run": RUN})["html"])
    fates = assay["fates"].query("population == 'CancerCell' and fov in ('A1', 'A2')")
    living = fates[~fates["dead_at_first_sight"]]
    assert f"{living['died'].sum()} of {len(living)} living targets seen died" in page.text
    heads = [page.text.index(name) for name in ("The answer, by condition", "Conditions compared")]
    assert heads == sorted(heads) and heads[1] < page.text.index("What was analysed")
    assert "nothing was compared" in page.text


def test_comparisons_stand_with_their_warnings(assay: dict) -> None:
    row = {
        "measure": "mean_speed",
        "population": "TCell",
        "unit": "µm/min",
        "reference": "control",
        "condition": "CAR-T <high>",
        "paired": False,
        "n_reference": 2,
        "n_condition": 1,
        "mean_reference": 1.5,
        "mean_condition": 2.0,
        "difference": 0.5,
        "low": -0.25,
        "high": 1.25,
        "test": "",
        "note": "too few <replicates>",
    }
    rows = [row, {**row, "population": "CancerCell"}, {**row, "measure": "kills", "note": ""}]
    missing = dict.fromkeys(schemas.dtypes(schemas.Comparisons), np.nan)
    made = schemas.conform(schemas.Comparisons, pd.DataFrame([{**missing, **r} for r in rows]))
    text = Page(HtmlReport()({**assay, "comparisons": made})["html"]).text
    assert text.count("too few <replicates>") == 1 and "Beware" in text
    assert "mean speed (µm/min)" in text and "0.5 (−0.25 to 1.25)" in text and "1 / 2" in text
    table, notes = numbered(compared(made))
    assert notes == ["too few <replicates>"] and table["beware"].tolist() == ["1", "1", ""]


def test_values_of_replicates_stand_side_by_side() -> None:
    one = {"population": "T", "measure": "mean_speed", "unit": "µm/min"}
    rows = pd.DataFrame(
        [
            {**one, "condition": "a", "replicate": "1", "value": 1.0},
            {**one, "condition": "a", "replicate": "2", "value": 3.0},
            {**one, "condition": "b", "replicate": "1", "value": 5.0},
        ]
    )
    wide = per_replicate(rows)
    assert wide.columns.tolist() == ["measure", "population", "a, 1", "a, 2", "b, 1"]
    assert wide.iloc[0].tolist() == ["mean speed (µm/min)", "T", 1.0, 3.0, 5.0]
    assert per_replicate(schemas.empty(schemas.ReplicateSummaries)).empty
    assert related(schemas.empty(schemas.Hazards)).empty


def effects(n: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Comparisons of one primary and one exploratory measure, and the values they rest on."""
    rows = [
        {"measure": m, "condition": c, "replicate": str(r), "value": v + 0.1 * r + 0.01 * r * r}
        for m in ("straightness", "survival")
        for c, v in (("vehicle", 0.8), ("drug", 0.3))
        for r in range(n)
    ]
    values = pd.DataFrame(rows).assign(population="CancerCell", unit="share", n_cells=10, n_fovs=1)
    values = schemas.filled(schemas.ReplicateSummaries, values.assign(cluster=values["replicate"]))
    sheet = pd.DataFrame({"condition": ["vehicle", "drug"]})
    found = ReplicateTests()(
        replicate_summaries=values,
        design=sheet,
        reference="vehicle",
        paired=False,
        primary=["survival"],
        populations={"CancerCell": "target"},
    )
    return found["comparisons"], values


def test_effects_stand_before_a_table_that_is_folded_away(assay: dict) -> None:
    tests, values = effects()
    rows = effect_rows(tests, values)
    assert rows["outcome"].tolist() == ["primary", "exploratory"]
    row = tests[tests["measure"] == "survival"].iloc[0]
    assert (rows.loc[0, "low"], rows.loc[0, "high"]) == (row["effect_low"], row["effect_high"])
    assert "n = 30 and 30 cells of 3 and 3 replicates" in rows.loc[0, "text"]
    tables = {"comparisons": tests, "replicate_summaries": values}
    drawn = AnswerFigures(dpi=50)(tables)["figures"]
    html = HtmlReport()({**assay, **tables, "figures": drawn})["html"]
    text = Page(html).text
    assert "Primary outcome: cytotoxicity (survival of targets)" in text
    forest = drawn["effects"]
    assert len(pd.read_csv(StringIO(forest.numbers))) == 2
    assert forest.svg in html and rows.loc[1, "text"] in forest.svg
    assert "Welch t" in text and "unpaired" in text and "Holm" in text and "exploratory" in text
    figure, folded = html.index("Effects of the conditions"), html.index("All 2 comparisons")
    assert figure < folded and html.rindex("<details>", 0, folded) > figure


def test_one_replicate_has_no_effects_and_the_report_says_why(assay: dict) -> None:
    tests, values = effects(n=1)
    assert effect_rows(tests, values).empty
    text = Page(
        HtmlReport()({**assay, "comparisons": tests, "replicate_summaries": values})["html"]
    )
    assert "each condition needs two replicates" in text.text


def test_stills_have_a_report(assay: dict) -> None:
    """One frame: nothing moves, dies or is watched."""
    cut = {
        name: table[table["frame"] == 0] if "frame" in getattr(table, "columns", ()) else table
        for name, table in assay.items()
        if name not in ("motility", "bouts", "kills", "deaths", "comparisons", "hazards")
    }
    cut["fields"] = assay["fields"].assign(n_frames=1)
    cut["fates"] = assay["fates"].assign(
        first_frame=0, last_frame=0, died=False, death_frame=pd.NA, entry_min=0.0, exit_min=0.0
    )
    cut["fates"] = schemas.conform(schemas.Fates, cut["fates"])
    figures = {}
    for topic in (KillingFigures, ContactFigures, MotionFigures, QualityFigures):
        figures |= topic(dpi=40)(cut)["figures"]
    text = Page(HtmlReport()({**cut, "figures": figures})["html"]).text
    assert "4 fields in 2 conditions, 4 frames" in text
    assert "24 effectors and 30 targets found, 2 targets dead; stills show no dying" in text
    assert "kills per effector and hour" not in text


def test_films_stand_in_the_page_in_less_room_and_look_the_same(assay: dict) -> None:
    rng = np.random.default_rng(0)
    grey = ndimage.gaussian_filter(rng.normal(size=(300, 400)), 8)
    grey = np.clip(128 + 900 * grey + 4 * rng.normal(size=grey.shape), 0, 255).astype(np.uint8)
    film = rgb_png(np.repeat(grey[..., None], 3, axis=2))
    html = HtmlReport()({**assay, "overlays": {"A1 tracks": film}})["html"]
    (source,) = [a["src"] for tag, a in Page(html).tags if tag == "img"]
    packed = base64.b64decode(source.removeprefix("data:image/webp;base64,"))
    assert len(packed) < len(film) / 4
    with Image.open(BytesIO(packed)) as shown:
        off = np.asarray(shown.convert("L"), dtype=float) - grey
    assert np.sqrt(np.mean(off**2)) < 5 and abs(off.mean()) < 1
