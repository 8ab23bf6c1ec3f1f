"""Finished pictures as PNG files that carry their own words, and text files such as the report.

Beside ``kills.png`` stand ``kills.svg`` and ``kills.pdf``, the same as a vector figure, and
``kills.csv``, its numbers. Beside four frames of a film stands the film, ``A1.mp4`` or ``A1.webp``; it
is not read again.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from cyto_kedro.datasets.atomic import FileDataset, write_bytes
from cyto_kedro.errors import InputError
from cyto_kedro.images import Picture
from cyto_kedro.kedro_private import HTMLPreview, ImagePreview

SIGNATURE = b"\x89PNG\r\n\x1a\n"
WORDS = ("title", "caption", "alt")
BESIDE = {"svg": ".svg", "numbers": ".csv", "pdf": ".pdf"}


class PictureDataset(FileDataset[Picture, Picture | None]):
    """A `Picture` in one PNG file; title, caption and alternative text are PNG text chunks.

    Parameters
    ----------
    optional
        Load None where there is no file: what the report shows if it was made.
    """

    def __init__(self, *, optional: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.optional = optional

    def save(self, data: Picture) -> None:
        """Write the picture with its words."""
        self._write_bytes(with_words(data.png, {name: getattr(data, name) for name in WORDS}))
        for name, ending in BESIDE.items():
            path, content = self._beside(ending), getattr(data, name)
            if content:
                write_bytes(self._fs, path, content if name == "pdf" else content.encode())
            elif self._fs.isfile(path):  # of an older picture
                self._fs.rm_file(path)

        if data.movie:
            ending = ".webp" if data.movie[8:12] == b"WEBP" else ".mp4"
            write_bytes(self._fs, self._beside(ending), data.movie)

    def _beside(self, ending: str) -> str:
        return str(self._filepath.with_suffix(ending))

    def load(self) -> Picture | None:
        """Read the picture and its words. Raises InputError if the file is not a PNG."""
        from PIL import Image as Pillow
        from PIL import UnidentifiedImageError

        if self.optional and not self._exists():
            return None
        with self._read() as file:
            content = file.read()
        try:
            with Pillow.open(BytesIO(content)) as image:
                found: dict[str, Any] = {name: str(image.info.get(name, "")) for name in WORDS}
        except UnidentifiedImageError as error:
            raise InputError(
                f"{self.location} is not a picture; run the reporting again"
            ) from error
        for name, ending in BESIDE.items():
            if self._fs.isfile(self._beside(ending)):
                content_beside = self._fs.cat_file(self._beside(ending))
                found[name] = content_beside if name == "pdf" else content_beside.decode()
        return Picture(png=content, **found)

    def preview(self) -> ImagePreview:
        """The picture itself."""
        self._require()
        picture = self.load()
        assert picture is not None
        return ImagePreview(b64encode(picture.png).decode())


def with_words(png: bytes, words: Mapping[str, str]) -> bytes:
    """A PNG with `words` as its text chunks, in place of those it had; its pixels stay as packed.

    Raises
    ------
    InputError
        If it is no whole PNG.
    """
    from PIL.PngImagePlugin import PngInfo, putchunk

    text, made, kind, start = PngInfo(), BytesIO(), b"", len(SIGNATURE)
    for name, value in words.items():
        text.add_itxt(name, value)
    made.write(SIGNATURE)
    while start + 12 <= len(png):  # a chunk: length, kind, data, check sum
        stop = start + 12 + int.from_bytes(png[start : start + 4])
        kind = png[start + 4 : start + 8]
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            made.write(png[start:stop])
        if kind == b"IHDR":
            for chunk in text.chunks:
                putchunk(made, *chunk[:2])
        start = stop
    if not png.startswith(SIGNATURE) or kind != b"IEND" or start != len(png):
        raise InputError(f"what was drawn ({len(png)} bytes) is no whole PNG picture")
    return made.getvalue()


class TextDataset(FileDataset[str, str]):
    """UTF-8 text in one file, written whole or not at all; an HTML page previews as itself."""

    def save(self, data: str) -> None:
        """Write the text."""
        content = data.encode()
        self._write(lambda file: file.write(content) and None)

    def load(self) -> str:
        """Read the text."""
        with self._read() as file:
            return file.read().decode()

    def preview(self) -> HTMLPreview:
        """The page."""
        return HTMLPreview(self.load())
