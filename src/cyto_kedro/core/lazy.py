"""Names that a package exports without importing the modules they live in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(
    package: str, modules: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package that exports names of `modules`.

    A module is imported when one of its names is asked for first.

    Parameters
    ----------
    package
        Its ``__name__``.
    modules
        Module -> names in it.

    Examples
    --------
    >>> get, names, _ = lazily("cyto_kedro.core", {"clock": ("Clock",)})
    >>> get("Clock").__name__, names()
    ('Clock', ['Clock'])
    """
    home = {name: module for module, names in modules.items() for name in names}

    def __getattr__(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    def __dir__() -> list[str]:
        return sorted(home)

    return __getattr__, __dir__, sorted(home)
