"""The film of a field with what was found in it, to play and to show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypedDict

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.reporting import captions
from cyto_kedro.algorithms.reporting.drawing import (
    composite,
    film_limits,
    montage,
    resize,
    segmentation_overlay,
    track_overlay,
)
from cyto_kedro.algorithms.reporting.moving import ffmpeg, mp4, webp
from cyto_kedro.algorithms.reporting.overlays import (
    channel_colours,
    check_shapes,
    dead_labels,
    time_stamp,
)
from cyto_kedro.algorithms.reporting.plots import Roles
from cyto_kedro.core.contract import Images, Labels
from cyto_kedro.core.style import rgb_png
from cyto_kedro.errors import InputError, MissingExtraError
from cyto_kedro.images import Picture
from cyto_kedro.schemas import (
    Contacts,
    Deaths,
    Frames,
    Kills,
    TableOf,
    TrackPoints,
    Viability,
    or_empty,
)

POSTER = 4  # frames of the picture beside the film


class Filmed(TypedDict):
    """The film, and four of its frames as a picture."""

    film: Picture


class FieldFilm(Algorithm):
    """A field's film with outlines, paths, contacts, deaths, kills, scale bar and clock.

    MP4 (H.264) where the program ffmpeg is on the machine, or ``imageio-ffmpeg`` is installed; animated
    WebP elsewhere. Frames are drawn, and written, one at a time. Excluded ones are left out.

    Examples
    --------
    >>> from cyto_kedro.schemas import TrackPoints, empty
    >>> film, label = {"T": np.zeros((2, 64, 64))}, {"T": np.zeros((2, 64, 64), int)}
    >>> made = FieldFilm(format="webp", side_px=64)(fov="A1", image=film, label=label,
    ...     roles={"T": "target"}, track_points=empty(TrackPoints))["film"]
    >>> made.movie[8:12]
    b'WEBP'
    """

    side_px: int = Field(default=560, ge=64, description="the shorter side, about, in px")
    per_second: float = Field(default=8.0, gt=0, le=60, description="frames shown in a second")
    format: Literal["auto", "mp4", "webp"] = Field(
        default="auto", description="auto: mp4 where there is ffmpeg, else webp"
    )
    quality: int = Field(default=60, ge=1, le=100, description="of webp")

    def run(
        self,
        fov: str,
        image: Images,
        label: Labels,
        roles: Roles,
        track_points: TableOf[TrackPoints],
        contacts: TableOf[Contacts] | None = None,
        deaths: TableOf[Deaths] | None = None,
        kills: TableOf[Kills] | None = None,
        viability: TableOf[Viability] | None = None,
        frames: TableOf[Frames] | None = None,
        channel_roles: Mapping[str, str] | None = None,
        pixel_size_um: float | None = None,
        excluded: Sequence[int] = (),
    ) -> Filmed:
        """Draw the film; all tables are of this field, arrays of its whole film.

        Raises
        ------
        InputError
            If images and labels differ in shape, or all frames are excluded.
        ConfigError
            If a channel or population has a role that does not exist.
        MissingExtraError
            If the format is ``mp4`` and there is no ffmpeg.
        """
        shown = [t for t in range(check_shapes(image, label)) if t not in set(excluded)]
        if not shown:
            raise InputError(f"field {fov}: all of its frames are excluded, so there is no film")
        program = None if self.format == "webp" else ffmpeg()
        if self.format == "mp4" and program is None:
            raise MissingExtraError(
                "format: mp4 needs the program ffmpeg: install it, or pip install "
                '"cyto_kedro[films]", or take format: webp'
            )
        tints = channel_colours(image, roles, channel_roles or {})
        chosen = [shown[i] for i in np.linspace(0, len(shown) - 1, POSTER).round().astype(int)]
        limits = film_limits(image, chosen)
        kept: dict[int, np.ndarray] = {}

        def drawn() -> Iterator[np.ndarray]:
            for t in shown:
                planes = {name: np.asarray(stack[t]) for name, stack in image.items()}
                masks = {name: np.asarray(stack[t]) for name, stack in label.items()}
                big, scale = resize(composite(planes, tints, limits), self.side_px)
                rgb = track_overlay(
                    segmentation_overlay(big, masks, roles, scale, dead_labels(viability, t)),
                    *(track_points, t, roles),
                    scale=scale,
                    deaths=deaths,
                    kills=kills,
                    contacts=or_empty(contacts, Contacts),
                    pixel_size_um=pixel_size_um,
                    stamp=time_stamp(frames, t),
                )
                if t in chosen:
                    kept[t] = rgb
                yield rgb

        if program is not None:
            movie = mp4(drawn(), self.per_second, program)
        else:
            movie = webp(drawn(), len(shown), round(1000 / self.per_second), self.quality)
        poster = rgb_png(montage([kept[t] for t in dict.fromkeys(chosen)]))
        title, caption, alt = captions.FILM
        return {"film": Picture(poster, f"{fov}: {title}", caption, alt, movie=movie)}
