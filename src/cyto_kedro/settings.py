"""Kedro's settings of this project."""

from cyto_kedro.hooks import CheckHooks, FurtherHooks, LedgerHooks
from cyto_kedro.runner.context import ContextHooks
from cyto_kedro.runner.status import RunStatusHooks

HOOKS = (CheckHooks(), LedgerHooks(), FurtherHooks(), ContextHooks(), RunStatusHooks())

CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "local"}
