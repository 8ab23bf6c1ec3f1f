"""The errors of cyto_kedro: one root, so that a caller can catch all of ours and nothing else."""

from __future__ import annotations

import unicodedata
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


def lacking(name: str, extra: str, error: ImportError, more: str = "") -> MissingExtraError:
    """What to raise where `name` needs packages of an extra that are not installed."""
    return MissingExtraError(
        f"{name} needs packages that are not installed ({error}): pip install "
        f'"cyto_kedro[{extra}]"{more}'
    )


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


def together(errors: Sequence[CytoError], where: str) -> InputError | None:
    """One error that says all of `errors`, so that they can be mended at once; None of none.

    Parameters
    ----------
    errors
        In the order in which they are to be read; those that say the same are said once.
    where
        What they are about, such as ``the films in /data/plate7``.
    """
    most = 20  # are written out
    said = list(dict.fromkeys(str(each) for each in errors))
    if not said:
        return None
    if len(said) == 1:
        return InputError(said[0])
    more = [f"and {len(said) - most} more"] if len(said) > most else []
    lines = "\n".join(f"- {each}" for each in [*said[:most], *more])
    return InputError(f"{len(said)} things are wrong with {where}:\n{lines}")


def unknown(what: str, name: str, choices: Iterable[str]) -> str:
    """Say that `name` is not a known `what`, with the nearest match and all choices."""
    valid = sorted(choices)
    return f"unknown {what} {name!r}.{_nearest(name, valid)} Valid: {', '.join(valid) or '(none)'}."


def missing(what: str, name: str, given: Iterable[str]) -> str:
    """Say that a needed `what`, `name`, is not among `given`, with what it may have been meant by."""
    there = sorted(given)
    return (
        f"{what} {name!r} is missing.{_nearest(name, there)} There: {', '.join(there) or '(none)'}."
    )


def nearest(name: str, choices: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The choice that `name` may have been meant for; None where none is near."""
    folded = {str(each).lower(): str(each) for each in choices}
    near = get_close_matches(str(name).lower(), folded, n=1, cutoff=cutoff)
    return folded[near[0]] if near else None


def _nearest(name: str, choices: Iterable[str]) -> str:
    near = nearest(name, choices)
    if near is None:
        return ""
    if unicodedata.normalize("NFKC", near) == unicodedata.normalize("NFKC", str(name)):
        return f" It looks like {near!r} but is written with other Unicode signs: type it again."
    return f" Did you mean {near!r}?"
