"""What a person at a prompt sees of partitions, and asks of all of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from cyto_kedro.errors import InputError, unknown

if TYPE_CHECKING:
    import pandas as pd

MOST_COUNTED = 500  # partitions whose rows are counted to be shown


class Shown:
    """Shows itself, and reads its partitions as one; for `Partitions`, whose names it uses."""

    source: Any

    def ids(self, **keys: str) -> list[str]:
        """Ids of the partitions that are there: those planned, where the plan is known.

        Parameters
        ----------
        keys
            Of the grain: ``ids(fov="A1", population="TCell")``.

        Raises
        ------
        InputError
            If a key is not of the grain, or no partition has these values.
        """
        grain, plan = self.source.grain, getattr(self.source, "plan", None)
        for key in keys:
            if key not in grain:
                raise InputError(f"{self.source.name}: {unknown('key', key, grain)}")
        found = self.source.list_ids() if plan is None else _there(self.source, plan)
        wanted = [each for each in found if keys.items() <= self._named(each).items()]
        if keys and found and not wanted:
            for key, value in keys.items():
                known = sorted({self._named(each)[key] for each in found})
                if value not in known:
                    raise InputError(f"{self.source.name}: {unknown(key, value, known)}")
        if not wanted:
            raise InputError(
                f"{self.source.name}: no partition is there yet; run the pipeline that makes it"
            )
        return wanted

    def to_pandas(self, **keys: str) -> pd.DataFrame:
        """All rows of a table, or those of some partitions: ``to_pandas(fov="A1")``.

        Raises
        ------
        InputError
            If no such partition is there, or it is no table.
        """
        import pandas as pd

        parts = [self[each]() for each in self.ids(**keys)]  # type: ignore[index]
        if not isinstance(parts[0], pd.DataFrame):
            raise InputError(
                f"{self.source.name} is no table; {self.source.name}.to_dask() opens its films"
            )
        rows = [each for each in parts if len(each)]
        return pd.concat(rows, ignore_index=True) if rows else parts[0]

    def to_dask(self, **keys: str) -> Any:
        """A table as a Dask table, a partition each; images and labels as Dask films (T, Y, X).

        Where `keys` leave several films, ``{"A1/TCell": film}``.

        Raises
        ------
        InputError
            If no such partition is there, or it is neither a table nor pixels.
        """
        import dask.array as da
        import dask.dataframe as dd
        import pandas as pd

        ids = self.ids(**keys)
        grain, opened = self.source.grain, getattr(self.source, "lazy", None)
        first = self[ids[0]]() if opened is None else opened(ids[0])  # type: ignore[index]
        if isinstance(first, pd.DataFrame):
            return dd.from_map(lambda each: self[each](), ids, meta=first.iloc[:0])  # type: ignore[index]
        if getattr(first, "ndim", 0) < 3:
            raise InputError(f"{self.source.name} holds neither tables nor films: open it by id")
        films: dict[str, list[Any]] = {}
        for each in ids:
            named = self._named(each)
            name = "/".join(named[key] for key in grain if key != "block")
            part = self[each]() if opened is None else opened(each)  # type: ignore[index]
            films.setdefault(name, []).append(da.asarray(part))
        whole = {name: da.concatenate(parts) for name, parts in films.items()}
        return whole if len(whole) > 1 else next(iter(whole.values()))

    def _named(self, identity: str) -> dict[str, str]:
        return dict(zip(self.source.grain, identity.split("/"), strict=True))

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        name, grain = self.source.name, self.source.grain
        try:
            ids = self.ids()
        except Exception as error:  # noqa: BLE001 - shown, not raised: a prompt has to answer
            yield f"{name}, partitions {'/'.join(grain)}: {error}".splitlines()[0]
            return
        glance: Any = getattr(self.source, "glance", lambda _: None)
        first = glance(ids[0])
        rows = ""
        if isinstance(first, Mapping) and len(ids) <= MOST_COUNTED:
            rows = f", {sum(glance(each)['rows'] for each in ids):,} rows"
        yield f"{name}: {len(ids)} partitions {'/'.join(grain)}{rows}"
        for key in grain:
            yield f"  {key}: {_few(sorted({self._named(each)[key] for each in ids}))}"
        if isinstance(first, Mapping):
            yield f"  columns: {', '.join(first['columns'])}"
            yield f"one: {name}[{ids[0]!r}]()   all: {name}.to_pandas(), {name}.to_dask()"
            yield f"some: {name}.to_pandas({grain[0]}={ids[0].split('/')[0]!r})"
        elif first is not None:
            yield f"  first: {first}"
            yield f"one: {name}[{ids[0]!r}]()   films: {name}.to_dask()"
        else:
            yield f"one: {name}[{ids[0]!r}]()"


def _there(source: Any, plan: Any) -> list[str]:
    planned: list[str] = plan.ids(source.grain)
    found = set(source.list_ids())
    return [each for each in planned if each in found]


def _few(values: list[str]) -> str:
    most = 6
    shown = ", ".join(islice(values, most))
    return shown if len(values) <= most else f"{shown}, … {values[-1]} ({len(values)})"
