"""``python -m cyto_kedro``: ``kedro run`` for an installed package, in any folder.

``python -m cyto_kedro --conf-source conf-cyto_kedro.tar.gz`` analyses the sample; every option of
``kedro run`` holds. Films, results and ``runs/`` are where `globals.yml` says, from this folder.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession

PACKAGE = "cyto_kedro"


def main(words: Sequence[str] | None = None) -> Any:
    """Run what `words` (default: the command line) ask for."""
    configure_project(PACKAGE)
    run: Any = find_run_command(PACKAGE)
    given = list(sys.argv[1:] if words is None else words)
    make_sample(run.make_context(f"python -m {PACKAGE}", list(given)).params)
    return run.main(given, prog_name=f"python -m {PACKAGE}", standalone_mode=words is None)


def make_sample(options: dict[str, Any]) -> None:
    """Simulate the sample's films where a run is to read them and they are not there.

    Only where the configuration says that films are read where the simulation writes them, so
    never in place of films of yours.
    """
    project, common = Path.cwd(), {"env": options["env"], "conf_source": options["conf_source"]}
    params = options["params"] or {}
    session: Any = KedroSession.create(project, **common, runtime_params=params)
    places = dict(session.load_context().config_loader["globals"]) | params
    folder = project / str(places.get("raw"))
    if places.get("raw") != places.get("simulated") or folder.exists():
        return
    click.secho(f"No films in {folder}: the sample is simulated there first.", fg="green")
    session = KedroSession.create(project, **common, runtime_params=params)
    session.run(pipeline_names=["simulation"])


if __name__ == "__main__":
    main()
