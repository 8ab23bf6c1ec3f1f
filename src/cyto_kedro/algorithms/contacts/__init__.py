"""Algorithms of the contacts stage; YAML names them by class name.

``from cyto_kedro.algorithms.contacts import …`` imports a class when it is asked for.
"""

from typing import Any

from cyto_kedro.core.exports import public_class, public_classes


def __getattr__(name: str) -> Any:
    return public_class(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *public_classes(__name__)})
