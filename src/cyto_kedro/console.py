"""What a person sees on the terminal when a run fails: the message, not two screens of frames."""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import click
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


def said(error: BaseException) -> str:
    """The message without what pydantic adds for programmers: types, whole inputs, addresses."""
    lines = str(error).splitlines()
    kept = (each for each in lines if "https://errors.pydantic.dev" not in each)
    return "\n".join(re.sub(r" \[type=\w+, input_value=.*\]$", "", each) for each in kept)


def _of_kedro(error: BaseException) -> bool:
    """Whether Kedro itself refused something, as far as the frame that raised it tells."""
    if isinstance(error, KEDRO):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or not frames[-1].filename.startswith(_KEDRO_ROOM):
        return False
    last = frames[-1]  # what it made of the options: --runner Foo, --runner-params resorces=local
    option = last.name == "load_obj" or last.filename.startswith(f"{_KEDRO_ROOM}/framework/cli")
    return isinstance(error, ValueError) or (option and isinstance(error, Exception))


def write_traceback(folder: Path, error: BaseException) -> Path:
    """Keep the whole traceback beside the run's manifest."""
    path = folder / "traceback.txt"
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    path.write_text(text, encoding="utf-8")
    return path


def next_step(argv: Sequence[str], said: str = "") -> str:
    """The one command that comes after a run that stopped; nothing where it was `said`, or no run.

    Examples
    --------
    >>> next_step(["/usr/bin/kedro", "run", "--all", "--env", "night 2"])
    "What is finished stays. Mend the cause, then go on with: kedro run --env 'night 2'\\n"
    """
    if list(argv[1:2]) != ["run"]:
        return ""
    from cyto_kedro.runner.report import going_on, resume_command

    again = resume_command(True, argv)
    return "" if again in said else f"{going_on(again)}\n"


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
            text = said(known)
            sys.stderr.write(f"\nError: {text}\n{next_step(sys.argv, text)}")

    hook.plain = True  # type: ignore[attr-defined]
    sys.excepthook = hook


class PlainCommand(click.Command):
    """A command whose refusals are said in a sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if (known := expected(error)) is None:
                raise
            raise click.ClickException(said(known)) from error


def quiet_loading() -> None:
    """No line for each dataset that is loaded, as conf/logging.yml says.

    Kedro looks for that file in the folder it was started in: in a notebook's, and where a wheel runs,
    there is none.
    """
    if "KEDRO_LOGGING_CONFIG" not in os.environ and not Path("conf/logging.yml").is_file():
        logging.getLogger("kedro.io").setLevel(logging.WARNING)
