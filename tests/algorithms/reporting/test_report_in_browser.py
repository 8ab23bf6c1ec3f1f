"""The report as a reader uses it: tables sorted and filtered, clips opened, by mouse in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
from browser import CHROMIUM, Page, opened
from PIL import Image
from plate_tables import ROLES, tables

from cyto_kedro.algorithms.reporting.killing_figures import KillingFigures
from cyto_kedro.algorithms.reporting.report import HtmlReport
from cyto_kedro.algorithms.reporting.shots import clip_id
from cyto_kedro.images import Clip

pytest.importorskip("websocket", reason="websocket-client is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian's package chromium)"),
]
FIELDS = "document.querySelector('[aria-label=\"Numbers per field\"]')"
TABLE = f"{FIELDS}.querySelector('table')"


def column(number: int) -> str:
    """The texts of the rows that are shown, as JavaScript."""
    return (
        f"[...{TABLE}.tBodies[0].rows].filter(r => r.offsetHeight)"
        f".map(r => r.cells[{number}].textContent)"
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The report of 24 wells, two of whose dead cells have a clip."""
    data = tables(n_wells=24)
    given = {name: data[name] for name in ("fates", "bouts", "frames")}
    figures = KillingFigures()(**given, sample_sheet=data["fields"], roles=ROLES)["figures"]
    webp = BytesIO()
    Image.fromarray(np.full((240, 240, 3), 90, np.uint8)).save(webp, "WEBP")
    dead = data["fates"][data["fates"]["died"]].iloc[[0, 40]]
    clips = [
        Clip(
            webp=webp.getvalue(),
            name=clip_id(row.fov, row.population, row.track_id),
            title=f"{row.population} {row.track_id} of {row.fov}",
            caption="a kill",
            fov=row.fov,
            event="kill",
            frame=int(row.death_frame),
            population=row.population,
            track_id=int(row.track_id),
            weight=0.9,
        )
        for row in dead.itertuples()
    ]
    html = HtmlReport()(
        **data,
        roles=ROLES,
        sample_sheet=data["fields"],
        figures={"target_fates": figures["target_fates"]},
        clips=clips,
    )["html"]
    folder = tmp_path_factory.mktemp("page")
    (folder / "report.html").write_text(html, encoding="utf-8")
    with opened(folder / "report.html", folder / "profile") as found:
        found.js("document.querySelectorAll('details').forEach(each => { each.open = true })")
        yield found


def test_a_click_on_a_head_sorts(page: Page) -> None:
    heads = page.js(f"[...{TABLE}.tHead.rows[0].cells].map(c => c.textContent)")
    deaths = heads.index("deaths")
    before = [float(text) for text in page.js(column(deaths))]
    assert len(before) == 24 and before != sorted(before)
    head = f"{TABLE}.tHead.rows[0].cells[{deaths}]"
    page.click(head)
    assert [float(text) for text in page.js(column(deaths))] == sorted(before)
    assert page.js(f"{head}.getAttribute('aria-sort')") == "ascending"
    page.click(head)
    assert [float(text) for text in page.js(column(deaths))] == sorted(before, reverse=True)


def test_words_typed_above_a_table_filter_it(page: Page) -> None:
    box = f"{FIELDS}.previousElementSibling"
    page.click(box)
    page.type("e:t 5 B")
    found = page.js(column(0))
    assert 0 < len(found) < 24 and all("_B" in fov for fov in found)
    page.js(f"{box}.value = ''; {box}.oninput()")
    assert len(page.js(column(0))) == 24


def shown(page: Page) -> str:
    """The heading of the clip that is open; its picture is there."""
    clip = "document.querySelector('.clip:target')"
    assert page.js(f"{clip}.querySelector('img').decode().then(() => true)")
    assert page.js(f"getComputedStyle({clip}).display") == "block"
    return str(page.js(f"{clip}.querySelector('h3').textContent"))


def test_a_click_on_a_row_or_on_a_cell_of_the_figure_opens_its_clip(page: Page) -> None:
    assert page.js("document.querySelector('.clip:target')") is None
    rows = "document.querySelector('#clips tbody').rows"
    first, second = page.js(f"[...{rows}].map(r => r.cells[1].textContent)")
    page.click(f"{rows}[1].cells[3]")
    assert shown(page).endswith(f" of {second}")
    page.click("document.querySelector('.clip:target .close')")
    assert page.js("document.querySelector('.clip:target')") is None
    name = page.js("document.querySelector('.clip').id")
    page.click(f"document.querySelector('svg a[*|href=\"#{name}\"] path')")
    assert shown(page).endswith(f" of {first}")
