"""Layer 2: plain Python algorithms, arrays and tables in, arrays and tables out.

Nothing here knows of Kedro, files, partitions or schedulers (the import contract holds that).
``algorithms("segmentation")``, or ``algorithms.available("segmentation")``, lists what there is.
"""

import sys
from types import ModuleType

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.listing import Listing, available

__all__ = ["Algorithm", "available"]


class _Package(ModuleType):
    """A package that can be asked what it holds."""

    def __call__(self, stage: str | None = None) -> Listing:
        return available(stage)


sys.modules[__name__].__class__ = _Package
