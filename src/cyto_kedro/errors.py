"""The errors of cyto_kedro: one root, so that a caller can catch all of ours and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class CytoError(Exception):
    """Root of every error raised on purpose by cyto_kedro."""


class InputError(CytoError, ValueError):
    """Files, tables or images given by the user that cannot be analysed as they are."""


class ConfigError(CytoError, ValueError):
    """A parameter that names something unknown or has a value that cannot work."""


class MissingExtraError(CytoError, ImportError):
    """An engine was asked for whose package is not installed."""


class UnsafePickleError(CytoError):
    """A pickle that asks for something other than graphs, arrays and plain containers."""


class PartitionError(CytoError):
    """A planned partition that is missing, unreadable, or not of the plan."""


class GroupsFailedError(CytoError):
    """Some groups of a lifted node failed; the others were saved.

    Attributes
    ----------
    failures
        Each failed group with its exception.
    """

    def __init__(
        self, message: str, failures: Sequence[tuple[dict[str, str], Exception]] = ()
    ) -> None:
        super().__init__(message)
        self.failures = tuple(failures)


class RunFailedError(CytoError, RuntimeError):
    """A run of which some nodes failed; what is finished stays."""


class RunStoppedError(CytoError):
    """A run that a person stopped, or that may not start because another one holds its outputs."""


def unknown(what: str, name: str, choices: Iterable[str]) -> str:
    """Say that `name` is not a known `what`, with the nearest match and all choices."""
    valid = sorted(choices)
    near = get_close_matches(str(name), valid, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {what} {name!r}.{hint} Valid: {', '.join(valid) or '(none)'}."
