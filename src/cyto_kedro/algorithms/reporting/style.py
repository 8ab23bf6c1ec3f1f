"""The look of figures is `core.style`; its names as the report's modules use them."""

__all__ = [
    "FAINT",
    "FILM_COLOURS",
    "INK",
    "PALETTE",
    "ROLE_COLOURS",
    "STROKES",
    "colours",
    "figure",
    "png",
    "rgb_png",
    "strokes",
    "styled",
]
