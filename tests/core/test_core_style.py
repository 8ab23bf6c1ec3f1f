"""Vector figures: their size, their text, what they say when pointed at."""

from __future__ import annotations

import re
import zlib

import numpy as np
import pytest
from matplotlib.figure import Figure

from cyto_kedro.core.style import colours, figure, pdf, png, say, strokes, styled, svg


@pytest.fixture
def drawn() -> Figure:
    with styled():
        fig = figure(6.0, 3.0)
        ax = fig.add_subplot()
        ax.set(title="Kills & more", xlabel="time (min)")
        ax.plot([0, 1], [0, 1], gid=say('A & <B>, "1":\n3 targets'))
        ax.plot([0, 1], [1, 0], gid=say("C"))
    return fig


def contents(file: bytes) -> str:
    """The drawing commands of a PDF."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", file, re.DOTALL)
    texts = []
    for each in streams:
        try:
            texts.append(zlib.decompress(each).decode("latin-1"))
        except zlib.error:
            texts.append(each.decode("latin-1"))
    return "\n".join(texts)


def test_pdf_is_as_wide_as_asked_and_its_text_is_text_in_an_embedded_font(drawn: Figure) -> None:
    made = pdf(drawn, "Kills", 88.0)
    box = [float(each) for each in re.search(rb"/MediaBox \[([^]]+)\]", made)[1].split()]
    assert box[2:] == pytest.approx([88 * 72 / 25.4, 44 * 72 / 25.4], abs=0.01)
    assert (b"/FontFile2" in made and b"/Type0" in made) or b"/TrueType" in made
    assert b"/Type3" not in made
    text = contents(made)
    scale = 88 / 25.4 / 6
    assert re.search(rf"{scale:.4f}\d* 0 0 {scale:.4f}\d* 0 0 cm", text)  # all is drawn smaller
    assert "Tj" in text or "TJ" in text
    assert made == pdf(drawn, "Kills", 88.0) and b"Date" not in made
    assert re.search(rb"/MediaBox \[\s*0 0 432 216", pdf(drawn, "Kills"))  # as drawn: 6 by 3 inches


@pytest.mark.parametrize("width_mm", [60.0, 300.0])
def test_a_pdf_of_any_width_has_all_lines_of_the_figure(drawn: Figure, width_mm: float) -> None:
    def lines(file: bytes) -> list[str]:
        return [
            line for line in contents(file).splitlines() if re.search(r" (m|l|c|re W n)\b", line)
        ]

    whole = lines(pdf(drawn, "Kills"))
    assert lines(pdf(drawn, "Kills", width_mm)) == whole and len(whole) > 20


def test_a_pdf_leaves_the_figure_as_it_was(drawn: Figure) -> None:
    before = png(drawn, 60)
    pdf(drawn, "Kills", 180.0)
    assert png(drawn, 60) == before


def test_svg_has_its_width_and_says_what_its_marks_are(drawn: Figure) -> None:
    made = svg(drawn, "kills", 180.0)
    assert made.startswith("<svg") and 'width="180mm" height="90mm"' in made
    said = re.findall(r'<g id="(kills-said\d)"><title>([^<]*)</title>', made)
    assert said == [
        ("kills-said0", 'A &amp; &lt;B&gt;, "1": 3 targets'),
        ("kills-said1", "C"),
    ]
    assert 'viewBox="0 0 432 216"' in made and 'width="432pt"' in svg(drawn, "kills")


def test_twelve_conditions_have_a_colour_each_and_more_a_stroke_of_their_own() -> None:
    names = [f"c{i}" for i in range(40)]
    hues, lines = colours(names), strokes(names)
    assert len({hues[name] for name in names[:12]}) == 12
    assert len({(hues[name], str(lines[name])) for name in names}) == 40


@pytest.mark.parametrize("n", [2_900, 2_901, 60_000])
def test_marks_too_many_to_be_told_apart_are_an_image_and_links_stay(n: int) -> None:
    fig = figure(4, 3)
    ax = fig.subplots()
    points = np.random.default_rng(1).random((2, n))
    dots = ax.scatter(*points, s=2)
    few = ax.scatter(*points[:, :100], s=9)
    lines = ax.hlines(np.arange(2_100), 0, 1, urls=[f"#clip-{each}" for each in range(2_100)])
    ax.set_title("words")
    before, text = fig.dpi, svg(fig, "dense")
    assert text.count("<image") == (n > 2_900)
    assert (text.count("<use") > 2_900) == (n <= 2_900)
    assert text.count('href="#clip-') == 2_100
    assert len(text) < 2_500_000
    assert (
        not dots.get_rasterized()
        and not few.get_rasterized()
        and not lines.get_rasterized()
        and fig.dpi == before
    )
