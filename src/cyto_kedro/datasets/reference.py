"""Images that are given beside the films: flat and dark fields of the microscope."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np

from cyto_kedro.datasets.folder import ReadOnlyFolder
from cyto_kedro.datasets.tiff import TiffFrames
from cyto_kedro.datasets.tiff_header import read_header
from cyto_kedro.datasets.urls import find_place
from cyto_kedro.errors import InputError


class ReferenceImagesDataset(ReadOnlyFolder[dict[str, np.ndarray]]):
    """A folder of TIFFs, read only: ``{file name without .tif or .ome.tif: (Y, X) float32}``.

    A file of several planes (frames or depths) is averaged, one plane in memory at a time. A folder
    that is not there holds no images: they are optional.
    """

    holds = "reference images"

    def load(self) -> dict[str, np.ndarray]:
        """All images.

        Raises InputError if a file is not a grey TIFF of one channel, or two have one name.
        """
        fs, folder = find_place(self._folder, **self._options)
        found: dict[str, np.ndarray] = {}
        paths = sorted(map(str, fs.ls(folder, detail=False))) if fs.isdir(folder) else []
        for path in paths:
            name = PurePosixPath(path).name
            if name.startswith(".") or not name.lower().endswith((".tif", ".tiff")):
                continue
            stem = PurePosixPath(name).stem.removesuffix(".ome")
            if stem in found:
                raise InputError(f"{self._folder} holds two images named {stem}; keep one")
            header = read_header(fs, path, path, depth=True)
            if header.shape[1] > 1:
                raise InputError(
                    f"{path} has {header.shape[1]} channels; save one reference image per channel"
                )
            frames = TiffFrames(fs, path, header, 0, "mean")
            total = np.zeros(frames.shape[1:])
            for t in range(frames.shape[0]):
                total += frames.read(t, t + 1)[0]
            found[stem] = (total / frames.shape[0]).astype(np.float32)
        return found
