"""Kedro's settings of this project."""

# ruff: noqa: E402 - what all other modules are imported under comes before them

import os

from cyto_kedro.process import collect_rarely

collect_rarely()

from cyto_kedro.hooks import CheckHooks, FurtherHooks
from cyto_kedro.kedro_private import read_quickly
from cyto_kedro.ledger_hooks import LedgerHooks
from cyto_kedro.runner.context import ContextHooks
from cyto_kedro.runner.holding import LeaseHooks
from cyto_kedro.runner.status import RunStatusHooks

# a clone has .telemetry for it, a folder that a wheel runs in has nothing
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "true")

# the later is asked first, but for CheckHooks: a run that may not write leaves no manifest
HOOKS = (
    CheckHooks(),
    LedgerHooks(),
    LeaseHooks(),
    FurtherHooks(),
    ContextHooks(),
    RunStatusHooks(),
)

read_quickly()
CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "local"}
