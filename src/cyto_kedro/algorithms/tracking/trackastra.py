"""Linking by Trackastra: a transformer that associates cells (Gallusser & Weigert, ECCV 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.tracking.common import Detections, Linker
from cyto_kedro.errors import InputError, lacking


class Trackastra(Linker):
    """Link with a Trackastra model, which looks at masks and images.

    Weights are never downloaded. The package unpacks a model that it is asked for by name into
    ``<user data>/trackastra/models/<name>``; `model` is that name, or the path of such a folder.

    Inputs, outputs and errors are those of `Linker`; the whole film, its labels and one channel's
    image, is held in memory. Besides, MissingExtraError if trackastra is not installed, InputError
    if the model is not there (it says where it was looked for) or there are no images.

    Examples
    --------
    >>> Trackastra(model="general_2d").needs()[:3]
    ('cells', 'label', 'image')
    """

    model: str = Field(
        description="folder of a model (config.yaml, model.pt, train_config.yaml), or the name of "
        "one that the package has unpacked, e.g. general_2d"
    )
    mode: Literal["greedy", "greedy_nodiv"] = Field(
        "greedy", description="with or without division"
    )
    max_distance_px: int = Field(256, gt=0, description="largest step, pixels")

    @property
    def mask_lag(self) -> int:
        return 1

    @property
    def reads_images(self) -> bool:
        return True

    def link(self, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
        image, label = detections.image, detections.label
        if isinstance(image, Mapping):
            image = next(iter(image.values())) if len(image) == 1 else None
        if image is None or label is None:
            raise InputError(
                f"{detections.name}: Trackastra looks at an image and masks ('image', 'label'); it "
                "was not given one of each"
            )
        network = _load(str(_folder(self.model)))
        graph, _ = network.track(
            np.asarray(image), np.asarray(label), mode=self.mode, max_distance=self.max_distance_px
        )
        nodes = graph.nodes(data=True)
        keys = {name: (int(node["time"]), int(node["label"])) for name, node in nodes}
        rows = detections.cells[["frame", "label"]].itertuples(index=False, name=None)
        row = {key: number for number, key in enumerate(rows)}
        pairs = [(row.get(keys[a]), row.get(keys[b])) for a, b in graph.edges]
        links = np.array([p for p in pairs if None not in p], np.int64).reshape(-1, 2)
        return links[:, 0], links[:, 1]


def _folder(model: str) -> Path:
    """Folder of `model`. Raises MissingExtraError, InputError: See `Trackastra`."""
    try:
        from platformdirs import user_data_dir
        from trackastra.model import Trackastra as _  # noqa: F401
    except ImportError as error:
        raise lacking("Trackastra", "trackastra", error) from error
    named = Path(model).expanduser()
    kept = Path(user_data_dir("trackastra")) / "models" / model
    wanted = ("model.pt", "train_config.yaml", "config.yaml")
    for folder in (named, kept):
        if all((folder / name).is_file() for name in wanted):
            return folder.resolve()
    raise InputError(
        f"Trackastra model {model!r}: no folder with {', '.join(wanted)} at {named} nor at {kept}. "
        "Nothing is downloaded: give the path of a model's folder, or unpack its archive there "
        "(the environment variable XDG_DATA_HOME moves the second place on Linux)"
    )


@cache
def _load(folder: str) -> Any:
    """The network, loaded once per process; on a GPU where one can be seen."""
    from trackastra.model import Trackastra as Network

    return Network.from_folder(Path(folder), device="automatic")
