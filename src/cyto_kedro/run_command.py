"""``kedro run`` of this project: Kedro's own command, with this project's runner by default.

All options are Kedro's. Under the runners of `cyto_kedro.runner` a run is incremental, like make: what
is current is skipped, and what a named pipeline needs and is missing or stale is made first.
``--all`` makes what was named again. Kedro's runners, asked for by ``--runner``, run everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline
from kedro.utils import load_obj

DEFAULT = "cyto_kedro.runner.PartitionRunner"
SLICES = (
    *("tags", "node_names", "to_nodes", "from_nodes", "from_inputs", "to_outputs", "namespaces"),
)
_ALL = click.Option(
    ["--all", "everything"],
    is_flag=True,
    help="Make what was named again, even what is current.",
)


def _run(everything: bool, **given: Any) -> Any:
    """Run what is not current of the pipelines, and of what they need."""
    from cyto_kedro.runner.base import BatchRunner, refused

    given["runner"] = given["runner"] or DEFAULT
    if said := refused(given["runner"], given["is_async"]):
        raise click.UsageError(said)
    if everything and given["only_missing_outputs"]:
        raise click.UsageError("--all and --only-missing-outputs ask for opposite things: give one")
    if issubclass(load_obj(given["runner"], "kedro.runner"), BatchRunner):
        names = given["pipelines"] or ([given["pipeline"]] if given["pipeline"] else [])
        given["only_missing_outputs"] = not everything
        if names and not any(given[each] for each in SLICES):
            found = with_needed(names)
            if everything and found["to_nodes"]:  # what they need is made only where it is stale
                given["only_missing_outputs"] = True
                given["runner_params"] = {**given["runner_params"], "again": found["to_nodes"]}
            given |= found
    assert kedro_run.callback is not None
    return kedro_run.callback(**given)


def with_needed(names: Sequence[str]) -> dict[str, Any]:
    """Options of Kedro's run for the pipelines `names` and for all that they need of others.

    An unknown name is left to Kedro, which says so.
    """
    known = [name for name in names if name in pipelines]
    whole = sum((pipelines[name] for name in ("__default__", *known)), Pipeline([]))
    wanted = sorted({node.name for name in known for node in pipelines[name].nodes})
    needed = {node.name for node in whole.to_nodes(*wanted).nodes} if wanted else set()
    holding = [
        name
        for name, each in pipelines.items()
        if name not in ("__default__", *names) and needed & {node.name for node in each.nodes}
    ]
    more = [] if len(known) < len(names) or "__default__" in names else holding
    return {
        "pipeline": None,
        "pipelines": [*names, *more],
        "to_nodes": wanted if more else [],
    }


run = click.Command(
    "run",
    callback=_run,
    params=[*kedro_run.params, _ALL],
    help=f"{kedro_run.help or ''} What is current is skipped (--all: made again), what a named "
    "pipeline needs is made first.".strip(),
)
