"""The look of figures is `core.style`; its names as the report's modules use them."""

from cyto_kedro.core.style import FAINT as FAINT
from cyto_kedro.core.style import FILM_COLOURS as FILM_COLOURS
from cyto_kedro.core.style import INK as INK
from cyto_kedro.core.style import PALETTE as PALETTE
from cyto_kedro.core.style import ROLE_COLOURS as ROLE_COLOURS
from cyto_kedro.core.style import STROKES as STROKES
from cyto_kedro.core.style import colours as colours
from cyto_kedro.core.style import figure as figure
from cyto_kedro.core.style import png as png
from cyto_kedro.core.style import rgb_png as rgb_png
from cyto_kedro.core.style import strokes as strokes
from cyto_kedro.core.style import styled as styled
