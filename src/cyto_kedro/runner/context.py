"""What a runner must know of the session it runs in: Kedro makes the runner before the session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

from cyto_kedro.errors import ConfigError


@dataclass(frozen=True)
class RunContext:
    """The session that a run belongs to: what a worker needs to start the same one."""

    project: Path
    conf_source: Path
    env: str | None
    runtime_params: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return self.project / "runs"


class ContextHooks:
    """Keeps the session's `RunContext` for the runner."""

    def __init__(self) -> None:
        self.context: RunContext | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep what a worker's session has to repeat."""
        loader = context.config_loader
        self.context = RunContext(
            project=Path(context.project_path),
            conf_source=Path(loader.conf_source).absolute(),
            env=context.env,
            runtime_params=dict(loader.runtime_params or {}),
            parameters=dict(loader["parameters"]),
        )


def context_of(hook_manager: Any) -> RunContext:
    """The `RunContext` that `ContextHooks` kept.

    Raises ConfigError if the project's settings do not register `ContextHooks`.
    """
    for plugin in hook_manager.get_plugins():
        if isinstance(plugin, ContextHooks) and plugin.context is not None:
            return plugin.context
    raise ConfigError(
        "the runner does not know its session, so it could not start workers with the same "
        "environment and parameters: add cyto_kedro.runner.context.ContextHooks() to HOOKS in "
        "settings.py"
    )
