"""What pyCyto's jobs ask of SLURM, by stage, as a file of ``conf/resources``.

Settings lie under the name of a stage, as a mapping or as a list of steps with ``name`` and
``channels``. Keys are sbatch's (``mem``, ``cpus-per-task``, ``gres``, …) or the usual other names of
them. What has no counterpart here, or a value that SLURM would not take, is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from cyto_kedro.errors import InputError
from cyto_kedro.runner.resources import Resources

# stage of pyCyto -> our pipelines
STAGES = {
    "default": (),
    "file_io": ("ingestion",),
    "preprocessing": ("preprocessing",),
    "segmentation": ("segmentation",),
    "label_to_sparse": ("tabulation",),
    "tabulation": ("tabulation",),
    "tracking": ("tracking",),
    "contact": ("contacts",),
    "analysis": ("contacts", "networks"),
    "postprocessing": ("contacts", "networks"),
}
# other names of the keys of `Resources`
_ALIASES = {
    "memory": "mem",
    "cpus": "cpus_per_task",
    "cores": "cpus_per_task",
    "n_cpus": "cpus_per_task",
    "time_limit": "time",
    "walltime": "time",
    "queue": "partition",
    "array_parallelism": "max_parallel",
}
_GPUS = ("gpu", "gpus", "n_gpus")
_STEP = ("name", "channels", "resources", "args")


def translate_resources(
    content: Any, where: str, channels: tuple[str, ...] = ()
) -> tuple[dict[str, Any], list[str]]:
    """The content of a file of ``conf/resources``, and what has no counterpart.

    `channels`: of the pipeline; a step of segmentation that names some becomes ``segment[channel]``.

    Raises InputError if it names no stage of pyCyto.

    Examples
    --------
    >>> asked = {"segmentation": {"memory": "16G", "gpus": 1}}
    >>> translate_resources(asked, "resources.yaml")[0]
    {'pipelines': {'segmentation': {'mem': '16G', 'gres': 'gpu:1'}}}
    """
    stages = content.get("pipeline", content) if isinstance(content, Mapping) else None
    if not isinstance(stages, Mapping) or not set(stages) & set(STAGES):
        raise InputError(
            f"{where}: no resources of pyCyto: it has settings under names of stages, such as "
            f"{', '.join(list(STAGES)[1:5])}"
        )
    found: dict[str, Any] = {}
    lacking: list[str] = []
    for stage, settings in stages.items():
        if stage not in STAGES:
            lacking.append(f"resources of {stage}: has no counterpart")
            continue
        for step in settings if isinstance(settings, list) else [settings]:
            _place(found, str(stage), step, channels, lacking)
    return found, lacking


def _place(
    found: dict[str, Any], stage: str, step: Any, channels: tuple[str, ...], lacking: list[str]
) -> None:
    if not isinstance(step, Mapping):
        lacking.append(f"resources of {stage}: {step!r} is no mapping of settings")
        return
    said = {key: value for key, value in step.items() if key not in _STEP}
    asked = _asked({**said, **(step.get("resources") or {})}, stage, lacking)
    of = step.get("channels")
    named = channels if of == "all" else [str(each) for each in of or ()]
    if stage == "segmentation" and named and of != "all":
        for channel in named:
            found.setdefault("nodes", {})[f"segment[{channel}]"] = asked
    elif stage == "default":
        found["default"] = asked
    else:
        for pipeline in STAGES[stage]:  # of several steps, what is asked for last
            found.setdefault("pipelines", {}).setdefault(pipeline, {}).update(asked)


def _asked(settings: Mapping[str, Any], stage: str, lacking: list[str]) -> dict[str, Any]:
    """`settings` under our names, each of them one that holds."""
    asked: dict[str, Any] = {}
    for key, value in settings.items():
        name = str(key).lstrip("-").replace("-", "_").lower()
        name = _ALIASES.get(name, name)
        if value is None or (name in _GPUS and not value):
            continue
        if name in _GPUS:
            name, value = "gres", value if "gpu" in str(value) else f"gpu:{int(value)}"
        if name == "mem":
            value = str(value)
        try:
            Resources.model_validate({name: value})
        except ValidationError:
            lacking.append(f"resources of {stage}: {key}: {value} has no counterpart")
        else:
            asked[name] = value
    return asked
