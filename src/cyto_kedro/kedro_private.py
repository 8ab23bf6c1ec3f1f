"""Every name of Kedro, kedro-viz and OmegaConf that is not public and that we need: here alone.

``tests/test_kedro_private.py`` fails where a new version has moved one of them.
"""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from kedro_datasets._typing import HTMLPreview, ImagePreview, JSONPreview, TablePreview

#: Behind the address of kedro-viz: no datasets, until they are ticked in the list on the left.
BOXES = "?types=nodes"

__all__ = [
    "BOXES",
    "HTMLPreview",
    "ImagePreview",
    "JSONPreview",
    "TablePreview",
    "add_hook",
    "catalog_for",
    "forget_last_run",
    "given_names",
    "open_at_boxes",
    "open_context",
    "read_quickly",
    "with_func",
]


def open_context(
    run_id: str,
    project: Path,
    package: str | None,
    conf_source: str,
    env: str | None,
    params: Mapping[str, Any],
) -> tuple[Any, Any]:
    """Context and hooks of a session with the id of another that is running.

    `KedroSession.create` makes an id of its own and asks git, which 1,000 tasks at once on a shared
    disk should not; and a session gives its catalog only to a run of its own.
    """
    from kedro.framework.session import KedroSession

    session = KedroSession(
        session_id=run_id, package_name=package, project_path=project, conf_source=conf_source
    )
    session._store.update({"session_id": run_id, "env": env, "runtime_params": dict(params)})
    return session.load_context(), session._hook_manager


def read_quickly() -> None:
    """Let a session read its configuration in half the time, with equal values.

    OmegaConf parses YAML by libyaml, where PyYAML has it, and each ``${...}`` once, not at every use.
    What is not installed is looked for once: Kedro looks for ibis for each of 500 parameters, and for
    pandera's Polars and PySpark for each dataset.
    """
    import yaml
    from omegaconf import _utils, base

    plain, of_c = _utils.get_yaml_loader(), getattr(yaml, "CSafeLoader", None)
    if of_c is not None and not issubclass(plain, of_c.__base__):
        made = type("OmegaConfLoader", (of_c.__base__, plain), {"__init__": of_c.__init__})
        _utils.get_yaml_loader = lambda: made
    if not hasattr(base.parse, "cache_info"):
        base.parse = _utils.parse = lru_cache(4096)(base.parse)
    containers = {f"pandera.api.{of}.container": of for of in ("polars", "pyspark")}
    for name, of in {"ibis": "ibis", **containers}.items():
        if find_spec(of) is None:
            cast("dict[str, None]", sys.modules).setdefault(name, None)


def add_hook(session: Any, hook: object) -> None:
    """A hook for this session's run alone: Kedro takes those of the settings, for every session."""
    session._hook_manager.register(hook)


def catalog_for(context: Any, pipeline: str, run_id: str) -> Any:
    """A catalog of `context` whose parameters are the models that the nodes of `pipeline` read."""
    context._pipelines_to_validate = [pipeline]
    return context._get_catalog(save_version=run_id)


def with_func(node: Any, func: Callable[..., Any]) -> Any:
    """`node` with another function: all else stays, its name too."""
    return node._copy(func=func)


def given_names(node: Any) -> tuple[Any, Any]:
    """Inputs and outputs of `node` in the form they were given in (text, list or dict)."""
    return node._inputs, node._outputs


def forget_last_run() -> None:
    """Let kedro-viz's hook, one for all sessions of a process, begin anew.

    It records a run of the whole analysis, and would go on with whichever runs come after it (in a
    notebook): a part of the analysis, or one of a runner that it cannot follow.
    """
    module = sys.modules.get("kedro_viz.integrations.kedro.run_hooks")
    if module is not None:  # its plugin is at work
        module.pipeline_run_hook.__init__()


def open_at_boxes() -> None:
    """Let ``kedro viz run`` open the browser on the boxes alone: with all datasets nothing can be read.

    kedro-viz takes that from the address only.
    """
    from kedro_viz.launchers import utils

    def start(host: str, port: int) -> None:
        if utils._is_localhost(host):
            webbrowser.open_new(f"http://{host}:{port}/{BOXES}")

    utils._start_browser = start
