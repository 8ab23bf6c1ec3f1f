"""What a person sees on the terminal when a run fails: the message, not two screens of frames."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import TracebackType

import kedro
from kedro.config import MissingConfigException
from kedro.io import DatasetError
from kedro.validation.exceptions import ParameterValidationError

from cyto_kedro.errors import CytoError

EXPECTED = (CytoError, ParameterValidationError)
# Kedro's own refusals: of the catalog, the configuration, of names on the command line
KEDRO = (DatasetError, MissingConfigException)
_KEDRO_ROOM = str(Path(kedro.__file__).parent)


def expected(error: BaseException | None) -> BaseException | None:
    """The first error of the chain that was raised on purpose (Kedro wraps what datasets raise).

    Ours first; else one of Kedro's own, or a ValueError that Kedro raised itself (an unknown node,
    tag or dataset among its options).
    """
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    ours = next((each for each in chain if isinstance(each, EXPECTED)), None)
    return ours or next((each for each in chain if _of_kedro(each)), None)


def _of_kedro(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    raised = bool(frames) and frames[-1].filename.startswith(_KEDRO_ROOM)
    return isinstance(error, KEDRO) or (raised and isinstance(error, ValueError))


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
