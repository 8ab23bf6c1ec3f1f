"""Categories: namespaces as boxes of kedro-viz, while nodes and datasets keep their names."""

from __future__ import annotations

import warnings
from pathlib import Path

from kedro.pipeline import Pipeline, node

from cyto_kedro.pipelines.category import Step, category
from tiny_project import FURTHER


def pipeline() -> Pipeline:
    made = node(lambda labels, reach: labels, ["labels", "params:a.b"], "cells", name="measure")
    used = node(lambda cells: cells, "cells", "tracks", name="link")
    return category("tabulation", [made]) + category("tabulation.links", [used])


def test_nodes_and_datasets_keep_their_names() -> None:
    found = pipeline()
    assert [each.name for each in found.nodes] == ["measure", "link"]
    assert [each.namespace for each in found.nodes] == ["tabulation", "tabulation.links"]
    assert found.nodes[1].tags == {"links", "tabulation"}
    assert found.datasets() == {"labels", "params:a.b", "cells", "tracks"}


def test_found_by_short_name_and_by_namespace() -> None:
    found = pipeline()
    assert [each.name for each in found.filter(node_names=["link"]).nodes] == ["link"]
    assert [each.name for each in found.filter(from_nodes=["measure"]).nodes] == ["measure", "link"]
    assert len(found.filter(node_namespaces=["tabulation"]).nodes) == 2
    assert [each.name for each in found.filter(node_namespaces=["tabulation.links"]).nodes] == [
        "link"
    ]
    assert all(isinstance(each, Step) for each in found.nodes)


def test_composed_twice_into_another_project() -> None:
    both = Pipeline(pipeline(), namespace="a") + Pipeline(pipeline(), namespace="b")
    assert {each.name for each in both.nodes} == {"a.measure", "a.link", "b.measure", "b.link"}
    assert {each.namespace for each in both.nodes} == {
        f"{one}.tabulation{box}" for one in "ab" for box in ("", ".links")
    }


def test_no_category_is_interrupted_by_another() -> None:
    """Kedro warns where data leave a namespace and come back: the boxes would overlap."""
    from kedro.framework.project import configure_project

    from cyto_kedro.pipeline_registry import ANALYSIS, register_pipelines

    configure_project("cyto_kedro")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = register_pipelines()
    boxes = {str(each.namespace).split(".")[0] for each in found["__default__"].nodes}
    assert boxes == set(ANALYSIS)
    names = [each.name for each in (found["__default__"] + found["extended"]).nodes]
    assert len(set(names)) == len(names) and not any("." in each for each in names)


def test_no_parameter_lies_within_another_that_a_node_reads() -> None:
    """Kedro makes a model of each as it validates; one within a model cannot be set any more."""
    from kedro.framework.project import configure_project

    from cyto_kedro.pipeline_registry import register_pipelines

    configure_project("cyto_kedro")
    read = {
        name.removeprefix("params:")
        for found in register_pipelines().values()
        for each in found.nodes
        for name in each.inputs
        if name.startswith("params:")
    }
    assert not {inner for outer in read for inner in read if inner.startswith(f"{outer}.")}


def test_no_block_of_parameters_is_read_whole_and_in_part() -> None:
    """Kedro makes models of both, the part within the whole or not, by the order of a set."""
    from kedro.framework.project import configure_project

    from cyto_kedro.pipeline_registry import register_pipelines

    configure_project("cyto_kedro")
    read = {
        name
        for found in register_pipelines().values()
        for name in found.inputs()
        if name.startswith("params:")
    }
    parts = {name for name in read for whole in read if name.startswith(f"{whole}.")}
    assert len(read) > 10 and not parts


def test_no_dataset_names_a_layer(project_root: Path) -> None:
    """kedro-viz draws a band a layer, a fifth of the screen; categories are boxes already."""
    catalogs = sorted((project_root / "conf").glob("*/catalog*.yml"))
    assert catalogs
    assert [path.name for path in catalogs if "layer:" in path.read_text()] == []


def shown(found: Pipeline, box: str) -> set[str]:
    """The datasets that kedro-viz draws around a box when that is looked at alone.

    Of a box within a box, those that lie inside of the outer one are not drawn.
    """
    inside = found.only_nodes_with_namespaces([box])
    crossing = inside.inputs() | inside.outputs()
    crossing |= (found - inside).inputs() & inside.all_outputs()
    if "." in box:
        crossing &= shown(found, box.rpartition(".")[0])
    return {each for each in crossing if not each.startswith("params:")}


def test_each_box_alone_fits_a_screen() -> None:
    """A stand-in of scales measured in a browser (docs/design.md): 20 datasets are at 0.69 or more."""
    from kedro.framework.project import configure_project

    from cyto_kedro.pipeline_registry import register_pipelines

    configure_project("cyto_kedro")
    registered = register_pipelines()
    crowded = {}
    for name in ("__default__", *FURTHER):
        found = registered[name]
        paths = [str(each.namespace).split(".") for each in found.nodes]
        assert max(map(len, paths)) <= 2
        boxes = {".".join(path[:depth]) for path in paths for depth in range(1, len(path) + 1)}
        for box in boxes:
            inside = found.only_nodes_with_namespaces([box]).nodes
            nodes = [each.name for each in inside if each.namespace == box]
            n_within = len(nodes) + sum(each.startswith(f"{box}.") for each in boxes)
            assert n_within <= 8, f"{box} holds {n_within} nodes and boxes: make boxes within"
            if (many := len(shown(found, box))) > 20:
                crowded[box] = many
    # the one that reads all: 0.58, its boxes one by one 0.93 and more
    assert crowded.pop("reporting", 0) <= 40
    assert not crowded, "more datasets around a box than can be read: make boxes within"
