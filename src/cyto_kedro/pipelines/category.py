"""A category of the analysis: one box in kedro-viz, one namespace on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node


class Step(Node):
    """A node that lies in a category's namespace and goes by its own name.

    Kedro would call it ``segmentation.segment``. Names of nodes are unique in the project, so
    ``segment`` is enough for ``kedro run --nodes``, conf/resources, logs and the records of runs. In a
    project that composes these pipelines under a namespace of its own, that comes before it.
    """

    @property
    def name(self) -> str:
        """The node's name, after the namespaces around its category."""
        around = (self.namespace or "").rpartition(".")[0]
        return f"{around}.{self.short_name}" if around else self.short_name

    def _copy(self, **changes: Any) -> Step:
        names = ("func", "inputs", "outputs", "name", "namespace", "tags", "confirms", "preview_fn")
        return Step(**{name: getattr(self, f"_{name}") for name in names} | changes)


def category(name: str, nodes: Iterable[Node]) -> Pipeline:
    """The pipeline of a category: its nodes get its name as tag and as namespace.

    Datasets keep the names they have in the catalog.
    """
    steps = []
    for node in nodes:
        tags = {name, *node.tags}
        steps.append(Step(node.func, node._inputs, node._outputs, name=node.short_name, tags=tags))
    return Pipeline(steps, namespace=name, prefix_datasets_with_namespace=False)
