"""Whatever is not an image, label, table or graph: states and models, as safe pickles."""

from __future__ import annotations

import json
from typing import Any

from cyto_kedro.datasets.atomic import FileDataset
from cyto_kedro.kedro_private import JSONPreview


class ObjectDataset(FileDataset[Any, Any]):
    """Plain containers of numbers, text and NumPy arrays, and graphs, in one pickle.

    Nothing else is saved and nothing else is loaded: a pickle that asks for more is refused with
    `UnsafePickleError`, not run. See `cyto_kedro.datasets.safe_pickle`.
    """

    def load(self) -> Any:
        """The object.

        Raises UnsafePickleError, naming the file and what the pickle asks for. Raises InputError if
        the file is not a whole pickle.
        """
        with self._read() as file:
            content = file.read()
        from cyto_kedro.datasets import safe_pickle  # NetworkX with it, which few commands need

        return safe_pickle.loads(content, self.location)

    def save(self, data: Any) -> None:
        """Write the object. Raises InputError if it holds what could not be loaded again."""
        from cyto_kedro.datasets import safe_pickle

        self._write_bytes(safe_pickle.dumps(data))

    def preview(self) -> JSONPreview:
        """An outline for kedro-viz: keys, values, shapes of arrays."""
        return JSONPreview(json.dumps(outline(self.load())))


def outline(data: Any, depth: int = 3) -> Any:
    """`data` cut down to what JSON can show: arrays as their shape, long lists as their length."""
    if isinstance(data, dict) and depth:
        return {str(key): outline(value, depth - 1) for key, value in list(data.items())[:50]}
    if isinstance(data, (list, tuple)) and len(data) <= 20 and depth:
        return [outline(value, depth - 1) for value in data]
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    if hasattr(data, "shape") and data.shape:
        return f"array {data.shape} {data.dtype}"
    return repr(data) if hasattr(data, "item") else f"{type(data).__name__} of {len(data)}"
