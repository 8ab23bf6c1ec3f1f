"""One picture of a folder of films: a thumbnail per channel and field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np

from cyto_kedro.datasets.previews import grey
from cyto_kedro.datasets.raw import RawChannel, open_raw

MOST_FIELDS = 8
SIDE = 220  # px of a thumbnail
LABEL = 16  # px of the line above it


def contact_sheet(fields: Mapping[str, Sequence[RawChannel]], channels: Sequence[str]) -> bytes:
    """PNG: a row per field (eight, spread over all), a column per channel, each film's middle frame.

    Every thumbnail is stretched by itself, so brightness is not to be compared.
    """
    from PIL import Image, ImageDraw

    names = list(fields)
    chosen = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, MOST_FIELDS).astype(int))]
    size = len(channels) * (SIDE + 4), len(chosen) * (SIDE + LABEL + 4)
    sheet = Image.new("L", size, 255)
    draw = ImageDraw.Draw(sheet)
    for row, fov in enumerate(chosen):
        for raw in fields[fov]:
            x, y = channels.index(raw.channel) * (SIDE + 4), row * (SIDE + LABEL + 4)
            frame = raw.n_frames // 2
            step = max(1, -(-max(raw.height, raw.width) // SIDE))
            pixels = np.asarray(open_raw(raw)[frame])[::step, ::step]
            draw.text((x + 2, y + 2), f"{fov}  {raw.channel}  frame {frame}"[: SIDE // 6], fill=0)
            sheet.paste(Image.fromarray(grey(pixels)), (x, y + LABEL))
    file = BytesIO()
    sheet.save(file, format="PNG")
    return file.getvalue()
