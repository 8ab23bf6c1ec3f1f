"""An image stack together with what is known of its pixels and times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cyto_kedro.statements import Statement


@dataclass(frozen=True)
class ImageInfo:
    """What a file says of an image beside its pixels."""

    #: side of a (square) pixel in micrometres; None if unknown
    pixel_size_um: float | None = None
    #: time of each frame in seconds; None if unknown
    time_s: tuple[float, ...] | None = None
    #: channel names in file order; empty if unnamed
    channels: tuple[str, ...] = ()
    #: what the file says of pixel size and frame interval and where, also what cannot be true
    said: tuple[Statement, ...] = field(default=(), compare=False, repr=False)
    #: what else in the file is not as it should be, one sentence each
    doubts: tuple[str, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Image:
    """Pixels, (Y, X), (T, Y, X) or (T, C, Y, X), NumPy or Dask, and their `ImageInfo`."""

    array: Any
    pixel_size_um: float | None = None
    time_s: tuple[float, ...] | None = None
    channels: tuple[str, ...] = ()

    @property
    def info(self) -> ImageInfo:
        """All but the pixels."""
        return ImageInfo(self.pixel_size_um, self.time_s, tuple(self.channels))


@dataclass(frozen=True)
class Picture:
    """A finished picture and the words that go with it."""

    #: the bytes of a PNG file
    png: bytes
    #: title, caption, alt: heading; what is shown and how it was computed; the same for someone who
    #: cannot see it (blank: nothing is shown but the reason)
    title: str
    caption: str
    alt: str
    #: the same as a vector figure, whose marks tell their numbers under the pointer; blank: none
    svg: str = ""
    #: what is drawn, as CSV; blank: none
    numbers: str = ""
    #: the figure as a PDF file with its text as text; blank: none
    pdf: bytes = b""
    #: what the picture is a few frames of: an MP4 or animated WebP file; blank: none
    movie: bytes = b""

    def fingerprint(self) -> dict[str, Any]:
        """What the ledger hashes."""
        return vars(self)


@dataclass(frozen=True)
class Clip:
    """A short moving picture of one event, and what it shows."""

    #: the bytes of an animated WebP file
    webp: bytes
    #: one word for the page: `algorithms.reporting.clips.clip_id`
    name: str
    #: title and caption: what happens to whom; which frames, how sure
    title: str
    caption: str
    fov: str
    #: ``kill``, ``death`` or ``contact``, and its frame (of a contact: its first)
    event: str
    frame: int
    #: the target, and its partner (blank and 0: none)
    population: str
    track_id: int
    by_population: str = ""
    by_track_id: int = 0
    #: how much of the answer hangs on it, 0 to 1
    weight: float = 0.0
