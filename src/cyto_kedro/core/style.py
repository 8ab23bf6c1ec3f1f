"""One look for every figure and overlay: colours, fonts, sizes, and how a picture is written.

Colours are those of Okabe and Ito (2008, *Color Universal Design*), which stay apart for people
with colour-blindness. On the dark ground of a film the same hues are used, lighter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#999933")
# of more than eight conditions, as a plate has
HUES = (*PALETTE, "#882255", "#44AA99", "#8C564B", "#6A3D9A")
FILM_COLOURS = {
    "effector": "#2FD08C",
    "target": "#5AA0FF",
    "other": "#F0C040",
    "death": "#FF6A1A",
    "grey": "#FFFFFF",
}
# on white, by role; what is dead is marked by its shape too
ROLE_COLOURS = {"effector": "#009E73", "target": "#0072B2", "other": "#999933", "death": "#D55E00"}
STROKES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (1.5, 1)), (0, (7, 1.5, 1.5, 1.5)))
INK, FAINT = "#222222", "#6E6E6E"
#: of what is drawn to be clicked on, not to be seen (a colour that is wholly clear is not drawn)
HIT = (1.0, 1.0, 1.0, 0.004)
_SAID = "said:"
#: marks up to which an SVG has a shape for each; of more, groups of over so many are images
MOST_SHAPES, FEW_SHAPES, DENSE_DPI = 3_000, 100, 200

_RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same text on every machine
    "font.size": 10,
    "text.parse_math": False,  # a field may be called a$b$
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.9,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
}


@contextmanager
def styled() -> Iterator[None]:
    """Inside, matplotlib draws in the project's style; outside nothing changes."""
    import matplotlib

    with matplotlib.rc_context(_RC):
        yield


def figure(width_in: float, height_in: float) -> Figure:
    """An empty figure, in inches, that no global state of pyplot knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(made)
    return made


def pixel_figure(width: int, height: int) -> Figure:
    """An empty figure of so many pixels, for `drawn_on`: nothing in it is laid out."""
    # a trifle more than the pixels, since 29 / 100 * 100 is under 29
    made = figure((width + 1e-6) / 100, (height + 1e-6) / 100)
    made.set_layout_engine("none")
    made.set_dpi(100)
    return made


def drawn_on(fig: Figure, ground: np.ndarray | None = None) -> np.ndarray:
    """The pixels (Y, X, 3) of a `pixel_figure`, uint8, drawn on those of `ground` where it is given.

    As an image in the figure these would be resampled, in 20 ms.
    """
    renderer = fig.canvas.get_renderer()  # type: ignore[attr-defined]
    canvas = np.asarray(renderer.buffer_rgba())
    if ground is not None:
        fig.patch.set_visible(False)
        canvas[..., :3], canvas[..., 3] = ground, 255
    fig.draw(renderer)
    return canvas[..., :3].copy()


def png(fig: Figure, dpi: int = 144) -> bytes:
    """Write `fig` as PNG. The bytes hold no date or version, so equal figures give equal bytes."""
    buffer, before = BytesIO(), fig.dpi
    with styled():
        try:
            fig.dpi = dpi
            fig.canvas.print_png(buffer, metadata={"Software": None})  # type: ignore[attr-defined]
        finally:
            fig.dpi = before
    return buffer.getvalue()


def say(words: str) -> str:
    """A gid for an artist that says `words` when pointed at in the SVG (`svg`)."""
    return _SAID + " ".join(words.split())


@contextmanager
def _dense_as_pixels(fig: Figure) -> Iterator[None]:
    """Inside, groups of many marks are an image each, if there are more than `MOST_SHAPES` in all.

    Those that are all links stay shapes.
    """
    from matplotlib.collections import Collection

    def size(marks: Collection) -> int:
        return max(len(np.atleast_2d(marks.get_offsets())), len(marks.get_paths()))

    found: Any = fig.findobj(Collection)
    drawn = [each for each in found if not all(each.get_urls() or [None])]
    many = sum(map(size, drawn)) > MOST_SHAPES
    dense = [each for each in drawn if many and size(each) > FEW_SHAPES]
    dpi = fig.dpi
    try:
        fig.dpi = DENSE_DPI if dense else dpi
        for each in dense:
            each.set_rasterized(True)
        yield
    finally:
        fig.dpi = dpi
        for each in dense:
            each.set_rasterized(False)


def svg(fig: Figure, name: str, width_mm: float | None = None) -> str:
    """Write `fig` as an SVG element that may stand in a page beside others.

    Text is drawn as outlines, the same on every machine; of more than `MOST_SHAPES` marks, groups
    are images. `name`: begins every id in it, so that those of two figures differ.
    `width_mm`: as in `pdf`.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer, canvas, dpi = BytesIO(), fig.canvas, fig.dpi
    salt: Any = {"svg.hashsalt": name, "svg.fonttype": "path"}
    with styled(), matplotlib.rc_context(salt), _dense_as_pixels(fig):
        try:
            FigureCanvasSVG(fig).print_svg(buffer, metadata={"Date": None, "Creator": None})
        finally:
            fig.set_canvas(canvas)
            fig.dpi = dpi
    text = buffer.getvalue().decode()
    text = re.sub("<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    if width_mm is not None:
        width, height = fig.get_size_inches()
        size = f'width="{width_mm:g}mm" height="{width_mm * height / width:.4g}mm"'
        text = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', size, text, count=1)
    number = count()
    text = re.sub(
        rf"<g id=([\"']){_SAID}(.*?)\1>",
        lambda mark: f'<g id="said{next(number)}"><title>{mark[2]}</title>',
        text,
    )
    return re.sub(r'((?:\bid="|href="#(?!clip-)|url\(#))', rf"\g<1>{name}-", text)


def pdf(fig: Figure, title: str, width_mm: float | None = None) -> bytes:
    """Write `fig` as PDF whose text is text, in an embedded font (TrueType); no date is in the bytes.

    `width_mm`: all of it is drawn larger or smaller, text too, to be that wide; None: as it is.
    """
    import matplotlib
    from matplotlib.backends.backend_pdf import Op, PdfFile, RendererPdf

    buffer, dpi = BytesIO(), fig.dpi
    width, height = fig.get_size_inches()
    scale = 1.0 if width_mm is None else width_mm / 25.4 / width
    about = {"Title": title, "CreationDate": None, "Creator": None, "Producer": None}
    with styled(), matplotlib.rc_context({"pdf.fonttype": 42}):
        file = PdfFile(buffer, metadata=about)
        try:
            fig.dpi = 72  # a PDF is measured in points
            file.newPage(width * scale, height * scale)
            file.width, file.height = (
                width,
                height,
            )  # lines are cut off there, before they are scaled
            file.output(scale, 0, 0, scale, 0, 0, Op.concat_matrix)
            renderer = RendererPdf(file, 300, height, width)
            fig.draw(renderer)
            renderer.finalize()
            file.finalize()
        finally:
            fig.dpi = dpi
            file.close()
    return buffer.getvalue()


def rgb_png(rgb: np.ndarray) -> bytes:
    """Write an RGB uint8 image (Y, X, 3) as PNG."""
    from PIL import Image

    buffer = BytesIO()
    # of films, level 3 is packed as small as by `optimize`, in a fifth of the time
    Image.fromarray(np.ascontiguousarray(rgb)).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name, by order of first appearance; they repeat after twelve."""
    return {name: HUES[i % len(HUES)] for i, name in enumerate(dict.fromkeys(names))}


def strokes(names: Iterable[str]) -> dict[str, Any]:
    """A line style for each name, so that curves are told apart in grey too; repeats after four.

    Names of one colour (`colours`) have different ones, up to four times as many.
    """
    n, m = len(HUES), len(STROKES)
    return {name: STROKES[(i + i // n) % m] for i, name in enumerate(dict.fromkeys(names))}
