"""See every cell of a field in napari, correct it by eye, and know where to look first.

What is shown and what an edit makes are pure functions of arrays and tables (`layers`, `mask_edits`,
`track_edits`); `window` alone knows napari.
"""

from __future__ import annotations

from typing import Any


def view_field(catalog: Any, fov: str, frame: int | None = None, **options: Any) -> Any:
    """Open a field in napari, from a notebook: `cyto_kedro.viewing.window.open_window`."""
    from cyto_kedro.viewing.window import open_window

    return open_window(catalog, fov, frame=frame, **options)
