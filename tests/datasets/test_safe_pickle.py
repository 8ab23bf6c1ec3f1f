"""Pickles: what comes back, and that hostile ones are refused before anything runs."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import OrderedDict
from functools import partial
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from cyto_kedro.datasets import safe_pickle
from cyto_kedro.errors import InputError, UnsafePickleError

ARRAYS = [
    np.arange(6.0),
    np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    np.arange(12).reshape(3, 4)[:, ::2],
    np.asfortranarray(np.ones((2, 3), np.float32)),
    np.array(3.0),
    np.array(["a", "bcd"]),
    np.array([1, 2], ">u2"),
    np.zeros((0, 4), bool),
]


class Call:
    """A pickle of this calls `function(*arguments)` as it loads."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def graph(cls=nx.DiGraph):
    made = cls(name="contact")
    made.add_node(("TCell", 1), x_px=np.float64(2.5), shape=np.arange(4.0), dead=np.bool_(True))
    made.add_edge(("TCell", 1), ("CancerCell", 2), frames=np.int64(3), bouts=[(0, 4)])
    list(made.nodes), list(made.edges), made.adj, made.degree  # views that NetworkX caches
    return made


@pytest.mark.parametrize("protocol", [None, 2, 3, 4, 5])
@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_arrays_come_back(array, protocol):
    content = safe_pickle.dumps(array) if protocol is None else pickle.dumps(array, protocol)
    back = safe_pickle.loads(content, "here")
    np.testing.assert_array_equal(back, array, strict=protocol is None)
    # NumPy brings foreign bytes in the machine's own order
    assert back.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
    assert back.flags.writeable
    np.testing.assert_array_equal(safe_pickle.loads(safe_pickle.dumps(back), "here"), array)


@pytest.mark.parametrize("protocol", [None, 2, 4, 5])
@pytest.mark.parametrize("cls", safe_pickle.GRAPHS)
def test_graphs_come_back(cls, protocol):
    made = graph(cls)
    content = safe_pickle.dumps(made) if protocol is None else pickle.dumps(made, protocol)
    back = safe_pickle.loads(content, "here")
    assert type(back) is cls
    assert back.graph == made.graph and list(back.edges(data=True)) == list(made.edges(data=True))
    cell = back.nodes["TCell", 1]
    assert cell["x_px"] == 2.5 and cell["dead"]
    np.testing.assert_array_equal(cell["shape"], np.arange(4.0))
    back.add_edge("a", "b")
    assert ("a", "b") in back.edges and ("a", "b") not in made.edges


def test_plain_pickle_reads_ours():
    """The files are ordinary pickles to a program that trusts them."""
    back = pickle.loads(safe_pickle.dumps({"g": graph(), "a": ARRAYS[1]}))
    assert nx.utils.edges_equal(back["g"].edges, graph().edges)
    np.testing.assert_array_equal(back["a"], ARRAYS[1])


def test_containers_come_back():
    data = {"a": [1, 2.5, None, True], "b": ({1, 2}, frozenset("x")), "c": b"x", 3: "é", "d": 1j}
    data["o"] = OrderedDict(z=1, a=2)
    assert safe_pickle.loads(safe_pickle.dumps(data), "here") == data


def hostile(target: Path):
    """Pickles that would make `target`, each by a way that has been used in the wild."""
    import os

    code = f"open({str(target)!r}, 'w').close()"
    return {
        "os.system": Call(os.system, f"touch {target}"),
        "subprocess": Call(subprocess.check_call, [sys.executable, "-c", code]),
        "eval": Call(eval, f"open({str(target)!r}, 'w')"),
        "exec": Call(exec, code),
        "getattr": Call(getattr, Path(target), "touch"),
        "partial": Call(partial, exec, code),
        "numpy runstring": Call(np.testing._private.utils.runstring, code, {}),
        "numpy load": Call(np.load, str(target)),
        "open": Call(open, str(target), "w"),
        "networkx write": Call(nx.write_edgelist, nx.Graph(), str(target)),
        "in a graph": nx.Graph(note=Call(os.system, f"touch {target}")),
        "in a list": [1, {"a": Call(os.system, f"touch {target}")}],
    }


@pytest.mark.parametrize("name", sorted(hostile(Path("x"))))
@pytest.mark.parametrize("protocol", [2, 4])
def test_hostile_pickles_are_refused_not_run(tmp_path, name, protocol):
    target = tmp_path / "made"
    content = pickle.dumps(hostile(target)[name], protocol)
    with pytest.raises(UnsafePickleError, match=r"^bad\.pkl asks for \S+\.\S+, which could run"):
        safe_pickle.loads(content, "bad.pkl")
    assert not target.exists()


def test_the_hostile_pickles_do_work_on_a_plain_loader(tmp_path):
    """Else the test above would prove nothing."""
    target = tmp_path / "made"
    pickle.loads(pickle.dumps(hostile(target)["in a graph"]))
    assert target.exists()


def named(module, name):
    """Opcodes that push a name."""
    parts = (b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return b"\x80\x04" + b"".join(parts) + b"\x93"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("networkx.classes.digraph", "DiGraph.add_edge"),
        ("networkx.classes.graph", "deepcopy"),
        ("numpy", "memmap"),
        ("collections", "OrderedDict.update"),
    ],
)
def test_names_by_hand(module, name):
    with pytest.raises(UnsafePickleError, match=f"asks for {module}.{name}"):
        safe_pickle.loads(named(module, name) + b".", "here")
    with pytest.raises(UnsafePickleError, match=r"asks for os\.system"):
        safe_pickle.loads(b"cos\nsystem\n(S'true'\ntR.", "here")


def test_classes_of_this_process_cannot_be_altered():
    """BUILD on a class sets its attributes; ours stay as they are."""
    before = nx.Graph.add_node
    text = named("networkx.classes.graph", "Graph") + b"N}\x8c\x08add_node\x8c\x04evils\x86b."
    safe_pickle.loads(text, "here")
    assert nx.Graph.add_node is before
    assert nx.Graph().number_of_nodes() == 0


@pytest.mark.parametrize("dtype", ["O", "f8,O", "M8[s]"])
def test_arrays_of_objects_are_refused(dtype):
    array = np.zeros(2, dtype)
    with pytest.raises(InputError, match="cannot be stored"):
        safe_pickle.dumps(array)
    with pytest.raises(UnsafePickleError):
        safe_pickle.loads(pickle.dumps(array, 4), "here")


def test_a_forged_dtype_is_refused():
    """A dtype whose state says "objects, but take my bytes for them" must not reach NumPy."""
    state = (3, "|", None, ("f",), {"f": (np.dtype("O"), 0)}, 8, 1, 0)

    class Forged:
        def __reduce__(self):
            return np.dtype, ("V8", False, True), state

    class Array:
        def __reduce__(self):
            build = (1, (1,), Forged(), False, b"\x41" * 8)
            return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), build

    with pytest.raises(UnsafePickleError):
        safe_pickle.loads(pickle.dumps(Array(), 4), "here")


@pytest.mark.parametrize("data", [lambda: 0, object(), Path("x"), print, {"f": len}, slice(1)])
def test_what_could_not_be_loaded_is_not_saved(data):
    with pytest.raises(InputError, match="cannot be stored"):
        safe_pickle.dumps(data)


@pytest.mark.parametrize("cut", [0, 1, 10, 60, -1])
def test_a_pickle_cut_short_is_named(cut):
    content = safe_pickle.dumps(graph())[:cut]
    with pytest.raises(InputError, match=r"^here\.pkl is not a whole pickle"):
        safe_pickle.loads(content, "here.pkl")
