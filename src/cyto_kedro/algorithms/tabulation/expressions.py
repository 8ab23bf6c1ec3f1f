"""Arithmetic on columns written as text in YAML, of which no Python is run.

The text is parsed, every node of the tree is looked up in a list of what is allowed, and the tree is
computed with NumPy: there are no attributes, subscripts, strings, keywords or other calls to reach
anything else with.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.errors import ConfigError, unknown

_LONGEST, _DEEPEST = 500, 40

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.USub: np.negative,
    ast.UAdd: np.positive,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.And: np.logical_and,
    ast.Or: np.logical_or,
    ast.Not: np.logical_not,
}
_FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "abs": (1, np.abs),
    "sqrt": (1, np.sqrt),
    "exp": (1, np.exp),
    "log": (1, np.log),
    "log2": (1, np.log2),
    "log10": (1, np.log10),
    "log1p": (1, np.log1p),
    "asinh": (1, np.arcsinh),
    "minimum": (2, np.minimum),
    "maximum": (2, np.maximum),
    "where": (3, lambda condition, a, b: np.where(_truth(condition), a, b)),
}


class Expression:
    """``"log2(Dead_mean / (TCell_mean + 1))"`` as a function of a table's columns.

    A name is a column; one that is no Python name is written ``col("CD8-FITC_mean")``. There are
    numbers, ``+ - * / **``, comparisons, ``and or not``, and the functions abs, sqrt, exp, log, log2,
    log10, log1p, asinh, minimum(a, b), maximum(a, b), where(condition, a, b). What has no value (a
    division by zero, the log of a negative number, a missing input) is null; a comparison with null is
    false, and null meets no condition.

    Raises
    ------
    ConfigError
        If the text is no such expression: says which part is not.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > _LONGEST:
            raise ConfigError(f"an expression has at most {_LONGEST} characters, not {len(text)}")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(f"{text!r} is no expression: {error}") from error
        self.columns: tuple[str, ...] = tuple(dict.fromkeys(self._check(self._tree)))

    def _refuse(self, node: ast.AST) -> ConfigError:
        part = ast.get_source_segment(self.text.strip(), node) or type(node).__name__
        return ConfigError(
            f"{self.text!r}: {part!r} cannot stand in an expression, which holds columns, numbers, "
            f"+ - * / **, comparisons, and, or, not, and {', '.join(_FUNCTIONS)}"
        )

    def _check(self, node: ast.AST, depth: int = 0) -> list[str]:
        """The columns below `node`, all of whose parts are allowed."""
        if depth > _DEEPEST:
            raise ConfigError(f"{self.text!r}: more than {_DEEPEST} operations within each other")
        if isinstance(node, ast.Name):
            return [node.id]
        if isinstance(node, ast.Constant):
            if type(node.value) in (int, float):
                return []
            raise self._refuse(node)
        if isinstance(node, ast.Call):
            if not isinstance(node.func, ast.Name) or node.keywords:
                raise self._refuse(node)
            if (column := _column(node)) is not None:
                return [column]
            name = node.func.id
            if name not in _FUNCTIONS:
                why = unknown("function", name, [*_FUNCTIONS, "col"])
                raise ConfigError(f"{self.text!r}: {why}")
            if len(node.args) != _FUNCTIONS[name][0]:
                raise ConfigError(
                    f"{self.text!r}: {name} takes {_FUNCTIONS[name][0]} values, not {len(node.args)}"
                )
            below: list[ast.AST] = [*node.args]
        elif isinstance(node, ast.BinOp | ast.UnaryOp | ast.BoolOp):
            if type(node.op) not in _OPERATORS:
                raise self._refuse(node)
            below = [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr)]
        elif isinstance(node, ast.Compare):
            if len(node.ops) > 1 or type(node.ops[0]) not in _OPERATORS:
                raise self._refuse(node)  # a < b < c
            below = [node.left, *node.comparators]
        else:
            raise self._refuse(node)
        return [name for each in below for name in self._check(each, depth + 1)]

    def __call__(self, table: pd.DataFrame) -> np.ndarray:
        """The value in every row: float64, or bool where the last step is a comparison.

        `table`: its columns hold numbers, or yes and no. Raises ConfigError if a column is missing,
        or holds no numbers.
        """
        values = {name: numbers(table, name, repr(self.text)) for name in self.columns}
        with np.errstate(all="ignore"):
            found = np.asarray(self._value(self._tree, values))
        if found.dtype != bool:
            found = np.where(np.isfinite(found), found, np.nan)
        return np.broadcast_to(found, len(table)).copy()

    def holds(self, table: pd.DataFrame) -> np.ndarray:
        """Whether the condition is met in every row: not where it is null or 0. (n,) bool."""
        return np.asarray(_truth(self(table)), bool)

    def _value(self, node: ast.AST, values: dict[str, np.ndarray]) -> Any:
        if isinstance(node, ast.Name):
            return values[node.id]
        if isinstance(node, ast.Constant):
            return np.float64(node.value)  # type: ignore[arg-type]
        if isinstance(node, ast.Call):
            if (column := _column(node)) is not None:
                return values[column]
            function = _FUNCTIONS[node.func.id][1]  # type: ignore[attr-defined]
            return function(*(self._value(each, values) for each in node.args))
        if isinstance(node, ast.BoolOp):
            parts = [_truth(self._value(each, values)) for each in node.values]
            return _OPERATORS[type(node.op)].reduce(np.broadcast_arrays(*parts))  # type: ignore[attr-defined]
        if isinstance(node, ast.UnaryOp):
            value = self._value(node.operand, values)
            if isinstance(node.op, ast.Not):
                value = _truth(value)
            return _OPERATORS[type(node.op)](value)
        if isinstance(node, ast.Compare):
            left, right = (self._value(each, values) for each in (node.left, node.comparators[0]))
            # != is the only comparison that null would pass
            known = ~(np.isnan(left) | np.isnan(right))
            return _OPERATORS[type(node.ops[0])](left, right) & known
        assert isinstance(node, ast.BinOp)
        left, right = self._value(node.left, values), self._value(node.right, values)
        return _OPERATORS[type(node.op)](_number(left), _number(right))


def _column(node: ast.Call) -> str | None:
    """The name in ``col("name")``."""
    if not isinstance(node.func, ast.Name) or node.func.id != "col" or len(node.args) != 1:
        return None
    value = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
    return value if isinstance(value, str) else None


def _number(value: Any) -> Any:
    """Yes and no as 1 and 0."""
    return np.asarray(value, float)


def _truth(value: Any) -> Any:
    """Whether a value is there and not 0."""
    value = np.asarray(value)
    return value if value.dtype == bool else (value != 0) & ~np.isnan(value)


def numbers(table: pd.DataFrame, name: str, where: str) -> np.ndarray:
    """A column as float64 (yes and no as 1 and 0, missing as null).

    Raises ConfigError if it is missing, or holds no numbers.
    """
    if name not in table.columns:
        raise ConfigError(f"{where}: {unknown('column', name, map(str, table.columns))}")
    try:
        return table[name].to_numpy(float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: column {name!r} holds no numbers ({error})") from error
