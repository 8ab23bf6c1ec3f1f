"""Kedro's settings of this project."""

from cyto_kedro.hooks import CheckHooks, LedgerHooks

HOOKS = (CheckHooks(), LedgerHooks())

CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "local"}
