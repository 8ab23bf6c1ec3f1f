"""Figures and overlays in the report: what the page has of each, within its size."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Mapping
from io import BytesIO
from typing import Any

from cyto_kedro.algorithms.reporting.clip_cards import linked, links_alone
from cyto_kedro.errors import InputError
from cyto_kedro.images import Picture

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_VECTOR = 600_000  # characters of SVG in the page, whose marks tell their numbers
OVERLAYS_INSIDE = 2_000_000  # bytes of overlays in the page; where they are more, each is smaller


def figure_card(name: str, given: Picture | bytes, clips: Collection[str] = ()) -> dict[str, Any]:
    """What the page has of a figure; a click on a cell opens its clip, where it is among `clips`.

    Raises
    ------
    InputError
        If it is neither a `Picture` nor PNG bytes.
    """
    figure = _known(name, given)
    svg = linked(figure.svg, clips)
    if 0 < len(svg) <= LARGEST_VECTOR:
        return _card(figure, svg=svg)
    return _card(figure, figure.png, over=links_alone(svg))


def film_cards(overlays: Mapping[str, Picture | bytes]) -> list[dict[str, Any]]:
    """What the page has of overlays on films, by name: WebP, half the size of PNG or less.

    Together they take `OVERLAYS_INSIDE` at most, so that many are smaller than few. Raises InputError
    as `figure_card` does.
    """
    most = OVERLAYS_INSIDE // max(len(overlays), 1)
    pictures = [_known(name, one) for name, one in overlays.items()]
    return [_card(one, _packed(one.png, most), kind="webp") for one in pictures]


def _known(name: str, given: object) -> Picture:
    if isinstance(given, bytes):
        given = Picture(given, name.replace("_", " ").capitalize(), "", name.replace("_", " "))
    if not isinstance(given, Picture) or not given.png.startswith(PNG):
        raise InputError(
            f"report: figure {name!r} is {type(given).__name__}, not a Picture or the bytes of a "
            "PNG file, so it cannot be put in the page; save it as PNG"
        )
    return given


def _card(
    picture: Picture, data: bytes = b"", kind: str = "png", svg: str = "", over: str = ""
) -> dict[str, Any]:
    return {
        "title": picture.title,
        "caption": picture.caption,
        "alt": picture.alt,
        "kind": kind,
        "data": b64encode(data).decode("ascii"),
        "svg": svg,
        "over": over,
        "drawn": bool(picture.numbers),  # of tables: dark on white
    }


def _packed(png: bytes, most: int) -> bytes:
    """As WebP of at most `most` bytes: made smaller where it must be, to a quarter of its side."""
    from PIL import Image

    with Image.open(BytesIO(png)) as image:
        whole = image.convert("RGB")
    scale = 1.0
    while True:
        packed = BytesIO()
        size = [max(round(scale * side), 1) for side in whole.size]
        (whole if scale == 1 else whole.resize(size, Image.Resampling.LANCZOS)).save(
            packed, "WEBP", quality=85, method=2
        )
        found = packed.getvalue()
        if len(found) <= most or scale == 0.25:
            return found
        scale = max(0.95 * scale * (most / len(found)) ** 0.5, 0.25)
