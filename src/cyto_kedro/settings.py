"""Kedro's settings of this project."""

from cyto_kedro.hooks import CheckHooks, LedgerHooks
from cyto_kedro.runner.context import ContextHooks
from cyto_kedro.runner.holding import LeaseHooks

# the last is asked first, but for CheckHooks: a run that may not write leaves no manifest
HOOKS = (CheckHooks(), LedgerHooks(), LeaseHooks(), ContextHooks())

CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "local"}
