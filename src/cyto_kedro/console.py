"""What a person sees on the terminal when a run fails: the message, not two screens of frames."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import TracebackType

from kedro.validation.exceptions import ParameterValidationError

from cyto_kedro.errors import CytoError

EXPECTED = (CytoError, ParameterValidationError)


def expected(error: BaseException | None) -> BaseException | None:
    """The first error of the chain that was raised on purpose (Kedro wraps what datasets raise)."""
    while error is not None:
        if isinstance(error, EXPECTED):
            return error
        error = error.__cause__ or error.__context__
    return None


def write_traceback(folder: Path, error: BaseException) -> Path:
    """Keep the whole traceback beside the run's manifest."""
    path = folder / "traceback.txt"
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    path.write_text(text, encoding="utf-8")
    return path


def plain_errors() -> None:
    """Print an expected error by its message; leave all others to the hook that was there.

    The exit code stays non-zero. Notebooks are not touched: IPython has handlers of its own.
    """
    before = sys.excepthook
    if getattr(before, "plain", False):
        return

    def hook(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
        known = expected(error)
        if known is None:
            before(kind, error, frames)
        else:
            sys.stderr.write(f"\nError: {known}\n")

    hook.plain = True  # type: ignore[attr-defined]
    sys.excepthook = hook
