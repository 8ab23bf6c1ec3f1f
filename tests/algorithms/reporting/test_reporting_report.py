"""Figures show the numbers; the report is one file, escaped, and says what it knows."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting import figures
from cyto_kedro.algorithms.reporting.figures import Figures
from cyto_kedro.algorithms.reporting.report import HtmlReport, number, specs
from cyto_kedro.algorithms.reporting.style import colours
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
    return Figures(dpi=50)(assay)["figures"]


def test_report_is_one_well_formed_file(assay: dict, pictures: dict) -> None:
    data = {**assay, "figures": pictures, "overlays": {"tracks": pictures["speeds"]}, "run": RUN}
    html = HtmlReport()(data)["html"]
    page = Page(html)
    assert page.open == []
    for tag, attrs in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href"):
            assert attrs.get(name, "#").startswith(("#", "data:"))
        assert tag != "img" or attrs["alt"]
    assert not re.search(r"https?://|url\(|@import", html)
    assert 'Arial,"Liberation Sans"' in html  # the style sheet itself is not escaped
    images = [a["src"] for tag, a in page.tags if tag == "img"]
    assert len(images) == 6
    first = base64.b64decode(images[0].removeprefix("data:image/png;base64,"))
    assert first == pictures["survival"].png
    anchors = {a["href"] for tag, a in page.tags if tag == "a"}
    assert anchors <= {"#" + a["id"] for _, a in page.tags if "id" in a}


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
    page = Page(HtmlReport()({**data, "title": evil, "run": {"command": evil}})["html"])
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
    values = (None, float("nan"), 3, 3.0, 0.12345, 12345.6, np.float64(2.5), "a", True)
    assert [number(v) for v in values] == ["–", "–", "3", "3", "0.123", "12346", "2.5", "a", "True"]


def test_figures_draw_the_estimates(assay: dict) -> None:
    sheet, roles = assay["sample_sheet"], assay["roles"]
    hues = colours(["control", "CAR-T <high>"])
    axes = figures.survival(assay["fates"], sheet, roles).axes
    lines = [line for line in axes[0].lines if line.get_color() == hues["CAR-T <high>"]]
    thick = max(lines, key=lambda line: line.get_linewidth())
    fates = assay["fates"].query("population == 'CancerCell' and fov in ('B1', 'B2')")
    fates = fates[~fates["dead_at_first_sight"]]
    share = 100.0
    for t in sorted(fates.loc[fates["died"], "exit_min"].unique()):
        risk = ((fates["entry_min"] < t) & (t <= fates["exit_min"])).sum()
        share *= 1 - (fates["died"] & (fates["exit_min"] == t)).sum() / risk
    assert thick.get_ydata()[-1] == pytest.approx(share)
    assert len(lines) == 3 and axes[0].get_xlabel().endswith("(min)")  # pooled, two replicates
    tables = (assay["kills"], assay["deaths"], assay["frames"])
    kills = figures.cumulative_kills(*tables, sheet, roles).axes[0]
    ends = [line.get_ydata()[-1] for line in kills.lines if len(line.get_ydata())]
    assert len(assay["kills"].query("fov in ('B1', 'B2')")) / 2 in ends
    dots = figures.speeds(assay["motility"], sheet, roles).axes[0].collections
    assert sum(len(d.get_offsets()) for d in dots if hasattr(d, "get_sizes")) >= 48 + 4


def test_figures_without_data_time_or_motion(uncalibrated: dict, assay: dict) -> None:
    roles = assay["roles"]
    none = Figures(dpi=40)({"roles": roles})["figures"]
    assert {p.png[:4] for p in none.values()} == {b"\x89PNG"} and len(none) == 5
    sheet = uncalibrated["sample_sheet"]
    axes = figures.survival(uncalibrated["fates"], sheet, roles).axes[0]
    assert axes.get_xlabel().endswith("(frames)")
    axes = figures.speeds(uncalibrated["motility"], sheet, roles).axes[0]
    assert axes.get_ylabel() == "mean speed (px/frame)"
    still = assay["quality"].query("frame == 0")
    assert figures.quality(still).axes
    one = assay["fates"].query("population == 'CancerCell'").iloc[:1]
    assert figures.survival(one, None, roles).axes
    odd = assay["sample_sheet"].assign(condition="a$b$ {x}")
    assert figures.survival(assay["fates"], odd, roles).axes
