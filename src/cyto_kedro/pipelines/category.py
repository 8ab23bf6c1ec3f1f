"""A category of the analysis: one box in kedro-viz, one namespace on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from cyto_kedro.kedro_private import given_names


class Step(Node):
    """A node that lies in a category's namespace and goes by its own name.

    Kedro would call it ``segmentation.segment``. Names of nodes are unique in the project, so
    ``segment`` is enough for ``kedro run --nodes``, conf/resources, logs and the records of runs. A
    namespace of another project, which composes these pipelines, does come before it.

    Parameters
    ----------
    within
        The part of the namespace that does not show in the name.
    """

    def __init__(self, *args: Any, within: str, **options: Any) -> None:
        self._within = within
        super().__init__(*args, **{"namespace": within, **options})

    @property
    def name(self) -> str:
        """The node's name, after the namespaces around its category."""
        around = (self.namespace or "").removesuffix(self._within)
        return around + self.short_name

    def _copy(self, **changes: Any) -> Step:
        names = ("func", "inputs", "outputs", "name", "namespace", "tags", "confirms", "preview_fn")
        given = {name: getattr(self, f"_{name}") for name in (*names, "within")}
        return Step(**given | changes)


def category(name: str, nodes: Iterable[Node]) -> Pipeline:
    """The pipeline of a category: its nodes get its name as namespace, and the parts of it as tags.

    `name`: such as ``segmentation``, or ``contacts.killing`` for a box within a box.
    """
    tags = name.split(".")
    return Pipeline(
        Step(node.func, *given_names(node), name=node.short_name, tags=tags, within=name)
        for node in nodes
    )
