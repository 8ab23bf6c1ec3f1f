"""Algorithms of the segmentation stage; YAML names them by class name.

``from cyto_kedro.algorithms.segmentation import …`` imports a class when it is asked for.
"""

from cyto_kedro.core.exports import lazily

__getattr__, __dir__ = lazily(__name__)
