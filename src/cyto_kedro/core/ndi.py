"""SciPy's image filters, imported when the first is used: ``from cyto_kedro.core import ndi``.

All engines and steps use them, every command imports all engines, and few commands filter an image.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    import scipy

    return getattr(scipy.ndimage, name)
