"""Pickles of graphs, arrays and plain containers, and of nothing else.

A pickle is a program: it may call whatever it can name. Here names are looked up in one table
(`ADMITTED`), which holds passive classes only; any other name raises `UnsafePickleError` before
it is imported. NumPy arrays and dtypes are rebuilt by functions of ours, because the state of a
pickled dtype can be forged so that NumPy takes plain bytes for object pointers (see
``arraydescr_setstate`` in NumPy's descriptor.c); dtypes of objects and records are
therefore refused too.

Dumping admits exactly what loading does, so that nothing is written that could not be read again.
"""

from __future__ import annotations

import copyreg
import pickle
from collections import OrderedDict
from io import BytesIO
from typing import Any

import networkx as nx
import numpy as np
from networkx.classes import coreviews, reportviews

from cyto_kedro.errors import InputError, UnsafePickleError

GRAPHS = (nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph)
_GRAPH_STATE = ("graph", "_node", "_adj", "_succ", "_pred")
# truth values, whole numbers, floats, complex, bytes, text
KINDS = "biufcSU"
# graphs pickled by others may carry the views NetworkX had cached in them
_VIEWS = [getattr(reportviews, name) for name in reportviews.__all__]
_VIEWS += [coreviews.AtlasView, coreviews.AdjacencyView, coreviews.MultiAdjacencyView]


class _Dtype:
    """Stands for a dtype while a pickle loads; only its kind, size and byte order are used."""

    def __init__(self, spec: str, *_: Any) -> None:
        self._spec = spec
        self._order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._order = state[1]

    def resolve(self) -> np.dtype[Any]:
        """The dtype; raises `UnsafePickleError` unless it is of numbers, text or bytes."""
        dtype = np.dtype(str(self._spec))
        if dtype.kind not in KINDS:
            raise UnsafePickleError(f"asks for an array of {self._spec!r}")
        return dtype.newbyteorder(">") if self._order == ">" else dtype


class _Array(np.ndarray):
    """An array of a foreign pickle, filled by its state."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, dtype, fortran, content = state
        super().__setstate__((version, shape, dtype.resolve(), fortran, content))


def _reconstruct(*_: Any) -> np.ndarray:
    return np.ndarray.__new__(_Array, (0,), np.uint8)


def _frombuffer(
    content: Any, dtype: _Dtype, shape: Any, order: Any, axis_order: Any = None
) -> np.ndarray:
    flat = np.frombuffer(content, dtype.resolve())
    if order == "K":
        # transposed arrays, as NumPy 2.3 and later writes them
        return flat.reshape(shape).transpose(axis_order).copy()
    # a copy, as arrays over bytes cannot be written to
    return flat.reshape(shape, order=order).copy()


def _scalar(dtype: _Dtype, content: bytes) -> Any:
    return np.frombuffer(content, dtype.resolve())[0]


def _latin1(text: str, *_: Any) -> bytes:
    # bytes in pickles of protocol 2
    return text.encode("latin1")


# types written in C, which nothing can alter
_PLAIN = (set, frozenset, bytes, bytearray, complex, OrderedDict)
_STATEFUL = {(cls.__module__, cls.__qualname__): cls for cls in (*GRAPHS, *_VIEWS)}
_MAKERS: dict[tuple[str, str], Any] = {("numpy", "dtype"): _Dtype, ("_codecs", "encode"): _latin1}
for _core in ("numpy._core", "numpy.core"):
    _MAKERS[f"{_core}.numeric", "_frombuffer"] = _frombuffer
    _MAKERS[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _MAKERS[f"{_core}.multiarray", "scalar"] = _scalar
ADMITTED: dict[tuple[str, str], Any] = {
    **{(cls.__module__, cls.__qualname__): cls for cls in _PLAIN},
    # only ever handed to `_reconstruct`, which ignores it
    ("numpy", "ndarray"): "ndarray",
    **_STATEFUL,
    **_MAKERS,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        key = (module.replace("__builtin__", "builtins"), name)
        if key not in ADMITTED:
            raise UnsafePickleError(f"asks for {module}.{name}")
        found = ADMITTED[key]
        # A pickle may also set attributes on what it names: it gets throwaway stand-ins, so that
        # the classes of this process stay as they are.
        if key in _STATEFUL:
            return type(name, (), {"__new__": lambda _, *args: found.__new__(found)})
        return (lambda *args: found(*args)) if key in _MAKERS else found


class _Pickler(pickle.Pickler):
    """Refuses what `_Unpickler` would; called for all but the simplest builtins."""

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind in (np.ndarray, _Array) and obj.dtype.kind in KINDS:
            return np.asarray(obj, order="C").view(np.ndarray).__reduce_ex__(5)
        if kind in GRAPHS:
            state = {name: obj.__dict__[name] for name in _GRAPH_STATE if name in obj.__dict__}
            # without the views NetworkX caches in the graph
            return copyreg.__newobj__, (kind,), {**state, "__networkx_cache__": {}}  # type: ignore[attr-defined]
        named = (getattr(obj, "__module__", ""), getattr(obj, "__qualname__", ""))
        scalar = isinstance(obj, np.generic) and obj.dtype.kind in KINDS
        if scalar or isinstance(obj, np.dtype) or kind in _PLAIN or named in ADMITTED:
            return NotImplemented
        what = f"an array of {obj.dtype}" if isinstance(obj, np.ndarray) else f"{kind.__name__}"
        raise InputError(
            f"{what} cannot be stored: graphs, arrays of numbers or text, and plain containers "
            "can. Turn it into these (a table has its own dataset; a model its model_dump())."
        )


def dumps(data: Any) -> bytes:
    """Pickle `data`. Raises InputError if it holds what `loads` would refuse."""
    buffer = BytesIO()
    _Pickler(buffer, protocol=5).dump(data)
    return buffer.getvalue()


def loads(content: bytes, location: str) -> Any:
    """Unpickle `content`, which was read from `location`.

    Raises UnsafePickleError, naming the file and what it asks for. Raises InputError if it is not a
    whole pickle.
    """
    try:
        return _Unpickler(BytesIO(content)).load()
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f"{location} {error}, which could run code on this machine; only graphs, arrays and "
            "plain containers are loaded. If you trust its origin, open it elsewhere and save it "
            "as these."
        ) from error
    except (
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        OverflowError,
        MemoryError,
    ) as error:
        raise InputError(
            f"{location} is not a whole pickle ({error}). Delete it and run the pipeline that "
            "writes it, or supply it again."
        ) from error
