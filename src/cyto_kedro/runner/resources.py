"""What a node needs of a machine: ``conf/resources/<name>.yml``, typed and checked before a run."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from kedro.config import MissingConfigException, OmegaConfigLoader
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cyto_kedro.errors import ConfigError, unknown

_MEM = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", re.IGNORECASE)
_UNITS = {"": 1.0, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}
_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_SELECTOR = re.compile(r"(?P<node>[^\[\]]+)(?:\[(?P<part>[^\[\]]+)\])?")


def megabytes(text: str) -> float:
    """Memory such as ``4G`` or ``512M`` in MiB (a bare number is MiB, as SLURM reads it)."""
    match = _MEM.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise ValueError(f"{text!r} is no amount of memory such as 512M or 4G")
    return float(match[1]) * _UNITS[match[2].upper()]


def seconds(text: str) -> int:
    """A time limit as SLURM writes it (``MM``, ``MM:SS``, ``HH:MM:SS``, ``D-HH:MM:SS``), in s."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no time limit such as 90 (minutes), 1:30:00 or 2-00:00:00")
    days, first, second, third = (int(part) if part else None for part in match.groups())
    if days is not None:
        hours, minutes, rest = first, second or 0, third or 0
    elif third is not None:
        hours, minutes, rest = first, second or 0, third
    else:
        hours, minutes, rest = 0, first, second or 0  # type: ignore[assignment]
    total = (((days or 0) * 24 + (hours or 0)) * 60 + (minutes or 0)) * 60 + rest
    if total <= 0:
        raise ValueError("a time limit must be more than zero")
    return total


def clock(total_s: float) -> str:
    """Seconds as ``D-HH:MM:SS``, rounded up to whole minutes (SLURM's grain)."""
    minutes = math.ceil(total_s / 60)
    return f"{minutes // 1440}-{minutes % 1440 // 60:02d}:{minutes % 60:02d}:00"


class Resources(BaseModel):
    """What the tasks of one node (or of some of its partitions) ask for.

    Text fields that end on the submission script are single lines; nothing of them is read by a
    shell but `setup`, which is shell by purpose.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    partition: str | None = Field(default=None, description="partition (queue) of the cluster")
    account: str | None = Field(default=None, description="account that is charged")
    qos: str | None = Field(default=None, description="quality of service")
    cpus_per_task: int = Field(default=1, ge=1, description="cores; also the number of threads")
    mem: str = Field(default="2G", description="memory of a task, such as 512M or 4G")
    gres: str | None = Field(default=None, description="generic resources, such as gpu:1")
    time: str = Field(default="1:00:00", description="time limit of a task")
    constraint: str | None = Field(default=None, description="features that a node must have")
    batch_size: int | Literal["auto"] = Field(
        default="auto", description="groups per task; auto gives each slot about four tasks"
    )
    max_parallel: int | None = Field(default=None, ge=1, description="tasks running at once")
    setup: tuple[str, ...] = Field(
        default=(), description="shell lines before Python: module load, source venv"
    )
    container: tuple[str, ...] = Field(
        default=(), description="words put before Python: [apptainer, exec, image.sif]"
    )
    python: str | None = Field(default=None, description="Python of the tasks; else the driver's")
    environment: dict[str, str] = Field(default_factory=dict, description="variables to export")
    options: tuple[str, ...] = Field(default=(), description="extra sbatch options, one an item")
    scratch: str | None = Field(
        default=None, description="node-local folder for temporary files, such as /tmp"
    )
    light: bool | None = Field(
        default=None, description="run in the driver (default: nodes without partitions do)"
    )
    attempts: int = Field(default=3, ge=1, description="tries when memory or time was too small")
    restarts: int = Field(default=5, ge=0, description="tries more after node failure, preemption")
    mem_factor: float = Field(default=2.0, ge=1, description="more memory at each further try")
    time_factor: float = Field(default=2.0, ge=1, description="more time at each further try")

    @field_validator("mem")
    @classmethod
    def _mem(cls, value: str) -> str:
        megabytes(value)
        return value

    @field_validator("time", mode="before")
    @classmethod
    def _time(cls, value: Any) -> str:
        # YAML 1.1 reads an unquoted 1:30:00 as the base-60 number 5400
        text = clock(value) if isinstance(value, int) and value > 1440 else str(value)
        seconds(text)
        return text

    @field_validator("batch_size")
    @classmethod
    def _batch(cls, value: Any) -> Any:
        if isinstance(value, int) and value < 1:
            raise ValueError("batch_size must be at least 1, or auto")
        return value

    @field_validator("partition", "account", "qos", "gres", "constraint", "python", "scratch")
    @classmethod
    def _line(cls, value: str | None) -> str | None:
        if value is not None and (not value.strip() or re.search(r"[\x00-\x1f]", value)):
            raise ValueError(f"{value!r} must be one line of text")
        return value

    @field_validator("options", "setup", "container")
    @classmethod
    def _lines(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if re.search(r"[\x00\r\n]", each):
                raise ValueError(f"{each!r} must be one line; write a list of lines")
        return value

    @field_validator("environment", mode="before")
    @classmethod
    def _environment(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            for name in value:
                if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(name)):
                    raise ValueError(f"{name!r} cannot be the name of an environment variable")
            return {str(key): str(text) for key, text in value.items()}
        return value

    @property
    def mem_mb(self) -> float:
        """Memory in MiB."""
        return megabytes(self.mem)

    @property
    def time_s(self) -> int:
        """Time limit in seconds."""
        return seconds(self.time)

    def more(
        self,
        *,
        mem: bool = False,
        time: bool = False,
        limits: tuple[float | None, float | None] = (None, None),
    ) -> Self:
        """The same with more memory or more time, as far as `limits` (MiB, s) reach."""
        update: dict[str, Any] = {}
        if mem:
            most = math.ceil(self.mem_mb * self.mem_factor)
            most = most if limits[0] is None else min(most, math.floor(limits[0]))
            update["mem"] = f"{max(most, math.ceil(self.mem_mb))}M"
        if time:
            longest = self.time_s * self.time_factor
            longest = longest if limits[1] is None else min(longest, limits[1])
            update["time"] = clock(max(longest, self.time_s))
        return self.model_copy(update=update)

    def threads(self) -> dict[str, str]:
        """Variables that hold numerical libraries to the cores that were asked for."""
        return {name: str(self.cpus_per_task) for name in THREAD_VARIABLES}


def setup_lines(setup: Iterable[str]) -> list[str]:
    """Lines of a shell script that run `setup`, and stop at the first one that fails, saying which."""
    return [
        f"{{ {line}\n}} || {{ echo {shlex.quote(f'setup failed: {line}')} >&2; exit {SETUP_FAILED}; }}"
        for line in setup
    ]


SETUP_FAILED = 97  # exit code of a task whose setup failed

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "DASK_NUM_WORKERS",
)


class Limits(BaseModel):
    """The most that a task can get, where the cluster cannot be asked."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    mem: str | None = Field(default=None, description="memory of the largest node, such as 120G")
    time: str | None = Field(default=None, description="longest time limit, in quotes")

    @field_validator("mem")
    @classmethod
    def _mem(cls, value: str | None) -> str | None:
        if value is not None:
            megabytes(value)
        return value

    @field_validator("time", mode="before")
    @classmethod
    def _time(cls, value: Any) -> str | None:
        return None if value is None else Resources(time=value).time


class Machine(BaseModel):
    """What holds for the whole machine, whichever node runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    cores: int | None = Field(default=None, ge=1, description="local runs: cores (else all)")
    memory: str | None = Field(default=None, description="local runs: memory (else 80 % of it)")
    cluster: dict[str, Any] | None = Field(
        default=None, description="DaskRunner: a class of dask_jobqueue, as type, and its arguments"
    )
    max_jobs: int = Field(default=1000, ge=1, description="tasks submitted and unfinished at once")
    max_array_size: int | None = Field(
        default=None, ge=1, description="tasks of one array (else asked of the cluster)"
    )
    poll_s: float = Field(default=1.0, gt=0, description="shortest time between status calls")
    poll_max_s: float = Field(default=30.0, gt=0, description="longest time between them")
    output_wait_s: float = Field(
        default=60.0, ge=0, description="how long a shared file system may hide a finished task"
    )
    submit_wait_s: float = Field(
        default=24 * 3600.0, ge=0, description="how long to go on asking when sbatch is refused"
    )
    limits: Limits = Field(
        default=Limits(), description="the most a task can get (else asked of sinfo)"
    )
    accounting: bool | None = Field(
        default=None, description="whether sacct works (else it is tried once)"
    )

    @field_validator("memory")
    @classmethod
    def _memory(cls, value: str | None) -> str | None:
        if value is not None:
            megabytes(value)
        return value


class ResourceFile(BaseModel):
    """One file of ``conf/resources``: the machine, the defaults, and what differs from them.

    The most exact entry wins, field by field: ``nodes: segment[TCell]``, then ``nodes: segment``,
    ``tags``, ``pipelines``, ``default``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    machine: Machine = Machine()
    default: dict[str, Any] = Field(default_factory=dict)
    pipelines: dict[str, dict[str, Any]] = Field(default_factory=dict)
    tags: dict[str, dict[str, Any]] = Field(default_factory=dict)
    nodes: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def of(
        self,
        node: str,
        group: Mapping[str, str] | None = None,
        tags: Iterable[str] = (),
        pipelines: Iterable[str] = (),
    ) -> Resources:
        """What `node` asks for on the partition `group`."""
        merged = dict(self.default)
        for name in sorted(pipelines):
            merged |= self.pipelines.get(name, {})
        for name in sorted(tags):
            merged |= self.tags.get(name, {})
        merged |= self.nodes.get(node, {})
        values = set((group or {}).values())
        for selector in self.nodes:
            name, part = split_selector(selector)
            if name == node and part is not None and set(part.split("/")) <= values:
                merged |= self.nodes[selector]
        return Resources.model_validate(merged)


def split_selector(selector: str) -> tuple[str, str | None]:
    """``segment[TCell]`` as node and partition; the partition is None where there is none."""
    match = _SELECTOR.fullmatch(selector)
    if match is None:
        raise ConfigError(f"resources: {selector!r} is neither a node nor node[partition]")
    return match["node"], match["part"]


def read_resources(folder: Path, name: str) -> ResourceFile:
    """Read ``<folder>/<name>.yml`` and check all of it.

    Raises ConfigError if there is no such file, or it holds an unknown key (the nearest valid one
    is named) or a value that cannot work.
    """
    if not re.fullmatch(r"[\w.-]+", name):
        raise ConfigError(f"resources={name!r}: give the name of a file in {folder}, without .yml")
    path = folder / f"{name}.yml"
    if not path.is_file():
        known = [each.stem for each in folder.glob("*.yml")]
        raise ConfigError(f"{folder}: {unknown('resources', name, known)}")
    loader = OmegaConfigLoader(
        conf_source=str(folder),
        base_env="",
        default_run_env="",
        config_patterns={"resources": [path.name]},
    )
    try:
        content = loader["resources"]
    except MissingConfigException as error:
        raise ConfigError(f"{path}: {error}") from error
    return check_resources(content, str(path))


def check_resources(content: Any, where: str) -> ResourceFile:
    """`content` as a `ResourceFile`, every entry of it checked."""
    file = _model(ResourceFile, content or {}, where)
    for section in ("pipelines", "tags", "nodes"):
        for name, entry in getattr(file, section).items():
            if section == "nodes":
                split_selector(name)
            _model(Resources, entry, f"{where}: {section}: {name}")
    _model(Resources, file.default, f"{where}: default")
    return file


def _model(kind: type[BaseModel], content: Any, where: str) -> Any:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        lines = []
        for each in error.errors():
            keys = [str(part) for part in each["loc"]]
            if each["type"] == "extra_forbidden":
                holder = Machine if keys[:1] == ["machine"] and len(keys) > 1 else kind
                lines.append(unknown("key", keys[-1], holder.model_fields))
            else:
                lines.append(f"{'.'.join(keys)}: {each['msg'].removeprefix('Value error, ')}")
        raise ConfigError(f"{where}: " + "; ".join(lines)) from error
