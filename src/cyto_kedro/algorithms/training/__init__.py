"""Algorithms of the training stage: they learn engines from masks that a person looked at.

``from cyto_kedro.algorithms.training import …`` imports a class when it is asked for.
"""

from cyto_kedro.core.exports import lazily

__getattr__, __dir__ = lazily(__name__)
