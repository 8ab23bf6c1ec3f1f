"""Lift a function of one group to a Kedro node over all groups of the plan.

An author writes ``f(group, ..., manifest, params)`` for one group and gets a generator node that
Kedro saves one result at a time: memory holds one group, whatever runner drives it. What each input
becomes for a group is decided by what it is (`narrow`): partitions are cut down to the group's own,
tables to its field's rows, parameter models to its population's part.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_type_hints

import pandas as pd

from cyto_kedro.errors import ConfigError, GroupsFailedError, unknown
from cyto_kedro.partitions import Grain, Partitions, Plan, parse_grain, partition_id, select

log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 5.0

Used = Callable[[Mapping[str, Any], Mapping[str, str]], Collection[str]]


@dataclass(frozen=True)
class Lifted:
    """How a node was lifted; runners and the ledger read it from the node's function."""

    func: Callable[..., Any]
    by: Grain
    outs: tuple[Grain, ...]
    only: tuple[Mapping[str, str], ...] | None = None
    wide: Mapping[str, str] = field(default_factory=dict)
    used: Used | None = None
    looking: Used | None = None

    def groups(self, plan: Plan) -> list[dict[str, str]]:
        """The groups that this node runs."""
        return plan.groups(self.by) if self.only is None else [dict(group) for group in self.only]

    def needed(self, inputs: Mapping[str, Any], group: Mapping[str, str]) -> dict[str, Any]:
        """Those of a node's inputs that a group uses: all, unless `used` says less."""
        names = inputs.keys() if self.used is None else self.used(inputs, group)
        return {name: value for name, value in inputs.items() if name in names}

    def seen(
        self, name: str, group: Mapping[str, str], inputs: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """The keys that input `name` is cut down to: all of `group`'s, of a wide one all but one.

        `inputs` of the node say whose frames are seen beside the group's (`looking`); else nobody's.
        """
        open_keys = {self.wide.get(name)}
        if self.looking is not None and name in self.looking(inputs or {}, group):
            open_keys |= {"block", "tile"}
        return {key: group[key] for key in group if key not in open_keys}


@dataclass(frozen=True)
class ByField:
    """A table of many fields, sorted once: each group's rows are then found without a look at all."""

    table: pd.DataFrame
    rows: Mapping[Any, Any]

    def for_group(self, group: Mapping[str, str]) -> pd.DataFrame:
        """The rows of the group's field; all where the group has none."""
        if "fov" not in group:
            return self.table
        return self.table.iloc[self.rows.get(group["fov"], [])].reset_index(drop=True)

    def fingerprint(self) -> pd.DataFrame:
        """What the ledger hashes."""
        return self.table


def by_field(value: Any) -> Any:
    """`value`, a table with a column ``fov`` as `ByField`: done once before a loop over groups."""
    if isinstance(value, pd.DataFrame) and "fov" in value.columns:
        return ByField(value, value.groupby("fov", sort=False).indices)
    return value


def narrow(value: Any, plan: Plan, group: Mapping[str, str]) -> Any:
    """What an input is for one group.

    Partitions become the group's own (loaded, or a lazy `Selection` where the group leaves keys
    open); a table with a ``fov`` column becomes the rows of the group's field; an object with
    ``for_group`` (parameters by population, the manifest) its part; anything else stays whole.
    """
    if isinstance(value, Partitions):
        return select(value, plan, group)
    value = by_field(value)
    if hasattr(value, "for_group"):
        return value.for_group(group)
    return value


def lift(
    func: Callable[..., Any],
    *,
    by: str | Sequence[str],
    out: str | Sequence[str] | None = None,
    wide: Sequence[str] | Mapping[str, str] = (),
    used: Used | None = None,
    looking: Used | None = None,
) -> Callable[..., Any]:
    """Make a generator node function of `func`, which works on one group.

    Parameters
    ----------
    func
        ``func(group, ..., manifest, ...)``: `group` is ``{key: value}``; the other arguments are the
        node's inputs, narrowed to the group. It must take `manifest`, the plan. It returns the
        group's result, or a tuple with one result per output.
    by
        The grain of a group, such as ``"fov/block"``.
    out
        Grain of each output (default: `by`). An output finer than `by` by one key is returned as
        ``{value of that key: result}``.
    wide
        Inputs of which a group sees all blocks of its field, unopened, because it needs frames of
        its neighbours (a halo). They are named alike in `func` and in the catalog. A mapping says
        which key each is wide in: ``{"labels": "population"}`` for those of all populations.
    used
        Which of the inputs, by name, a group uses: ``used(inputs, group)``. Others are not opened, and
        not part of what a result depends on; `func` gets None for them.

    Returns
    -------
    callable
        A generator function with `func`'s signature less `group`, and its type hints (Kedro reads
        them to validate parameters). It yields ``{partition id: result}``, or a tuple of these,
        emptied when the next is asked for; it goes on past a group that fails, and raises one
        `GroupsFailedError` at the end.
    """
    keys = parse_grain(by)
    wide = wide if isinstance(wide, Mapping) else dict.fromkeys(wide, "block")
    outs = (out,) if isinstance(out, str) else tuple(out) if out else (by,)
    of_outs = tuple(parse_grain(each) for each in outs)
    spec = Lifted(func, keys, of_outs, wide=wide, used=used, looking=looking)
    return _generator(spec)


def restrict(lifted: Callable[..., Any], only: Sequence[Mapping[str, str]]) -> Callable[..., Any]:
    """The same node over the groups `only`: what a runner gives to one batch."""
    return _generator(replace(spec_of(lifted), only=tuple(only)))


def is_lifted(func: Callable[..., Any]) -> bool:
    """Whether a node's function was made by `lift`."""
    return isinstance(getattr(func, "lifted", None), Lifted)


def spec_of(func: Callable[..., Any]) -> Lifted:
    """The `Lifted` of a node's function."""
    spec = getattr(func, "lifted", None)
    if not isinstance(spec, Lifted):
        raise ConfigError(f"{getattr(func, '__name__', func)!r} was not made by lift")
    return spec


def _generator(spec: Lifted) -> Callable[..., Any]:
    func = spec.func
    parameters = list(inspect.signature(func).parameters.values())
    names = [parameter.name for parameter in parameters]
    for name in spec.wide:
        if name not in names:
            raise ConfigError(f"lift: {func.__name__}: wide: {unknown('argument', name, names)}")
    if names[:1] != ["group"] or "manifest" not in names:
        raise ConfigError(f"lift: {func.__name__} must take `group` first, and `manifest`")
    name = func.__name__

    # A generator function, not a wrapper around one: Kedro tells them by the code's own flag.
    def run(*args: Any, **kwargs: Any) -> Iterator[Any]:
        given = signature.bind(*args, **kwargs).arguments
        inputs = {name: by_field(value) for name, value in given.items()}
        plan = inputs["manifest"]
        groups = spec.groups(plan)
        failures: list[tuple[dict[str, str], Exception]] = []
        progress = Progress(name, len(groups))
        opened = [value for value in inputs.values() if isinstance(value, Partitions)]
        for group in groups:
            for each in opened:
                each.forget()
            where = "/".join(group.values())
            try:
                narrowed = {
                    key: narrow(value, plan, spec.seen(key, group, inputs))
                    for key, value in spec.needed(inputs, group).items()
                }
                result = func(group, **{**dict.fromkeys(inputs), **narrowed})
                del narrowed
                chunk = _keyed(spec, group, result)
            except Exception as error:
                log.error("%s [%s] failed: %s", name, where, error, exc_info=log.isEnabledFor(10))
                failures.append((group, error))
                continue
            yield chunk
            if isinstance(chunk, tuple):
                # saved by now: Kedro takes tuples apart by itertools.tee, which holds up to 57
                # of them, blocks of a film with all their pixels
                for part in chunk:
                    part.clear()
            del chunk, result
            progress.done(where)
        if failures:
            lines = "\n".join(
                f"  {'/'.join(group.values())}: {type(e).__name__}: {e}" for group, e in failures
            )
            raise GroupsFailedError(
                f"{name}: {len(failures)} of {len(groups)} groups failed; the other "
                f"{len(groups) - len(failures)} are saved.\n{lines}",
                failures,
            ) from failures[0][1]

    signature = inspect.Signature(parameters[1:])
    hints = get_type_hints(func)
    run.__name__ = run.__qualname__ = name
    run.__module__ = func.__module__
    run.__doc__ = func.__doc__
    run.__annotations__ = {key: hints[key] for key in names[1:] if key in hints}
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.lifted = spec  # type: ignore[attr-defined]
    return run


def _keyed(spec: Lifted, group: Mapping[str, str], result: Any) -> Any:
    """Put partition ids on a group's result: ``{id: data}`` for each output."""
    results = result if len(spec.outs) > 1 else (result,)
    chunks = []
    for grain, each in zip(spec.outs, results, strict=True):
        finer = [key for key in grain if key not in group]
        if not finer:
            chunks.append({partition_id(grain, group): each})
        else:
            chunks.append(
                {partition_id(grain, {**group, finer[0]: key}): data for key, data in each.items()}
            )
    return tuple(chunks) if len(chunks) > 1 else chunks[0]


class Progress:
    """Logs how many groups of a node are done and how long the rest will take."""

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total, self._count = name, total, 0
        self._start = self._last = time.monotonic()

    def done(self, where: str) -> None:
        """Count one group; logs at most every few seconds, and the last one."""
        self._count += 1
        now = time.monotonic()
        if self._count < self._total and now - self._last < PROGRESS_EVERY_S:
            return
        self._last = now
        spent = now - self._start
        left = spent / self._count * (self._total - self._count)
        tail = f"about {left:.0f} s left" if self._count < self._total else f"{spent:.1f} s"
        log.info("%s: %d of %d (%s), %s", self._name, self._count, self._total, where, tail)
