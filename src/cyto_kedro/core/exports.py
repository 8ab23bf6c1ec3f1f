"""Public classes of a package, imported when they are asked for: ``from …segmentation import Otsu``."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cyto_kedro.errors import unknown

# a class of a module: its statement begins the line (parsing all modules takes ten times as long)
_CLASS = re.compile(r"^class ([A-Za-z]\w*)", re.MULTILINE)


@cache
def public_classes(package: str) -> Mapping[str, str]:
    """Name of every public class defined in a module of `package` -> the module, nothing imported.

    Examples
    --------
    >>> public_classes("cyto_kedro.core")["Clock"]
    'cyto_kedro.core.clock'
    """
    spec = find_spec(package)
    found = {}
    for folder in (spec and spec.submodule_search_locations) or ():
        for file in sorted(Path(folder).glob("*.py")):
            for name in _CLASS.findall(file.read_text("utf-8")):
                found[name] = f"{package}.{file.stem}"
    return found


def public_class(package: str, name: str) -> Any:
    """The class `name` of `package`.

    Raises AttributeError if no module of the package defines it: names the nearest match.
    """
    known = public_classes(package)
    if name not in known:
        raise AttributeError(f"{package}: {unknown('public name', name, known)}")
    return getattr(importlib.import_module(known[name]), name)


def lazily(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package that exports its `public_classes`."""

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *public_classes(package)})

    return partial(public_class, package), names
