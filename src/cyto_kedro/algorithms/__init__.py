"""Layer 2: plain Python algorithms, arrays and tables in, arrays and tables out.

Nothing here knows of Kedro, files, partitions or schedulers (the import contract holds that).
"""

from cyto_kedro.algorithms.base import Algorithm, length_px

__all__ = ["Algorithm", "length_px"]
