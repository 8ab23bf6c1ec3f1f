"""Hooks that act under every runner: checks before a run, and what is handed to its nodes.

Kedro imports this module for every command, so what only a run needs is imported where it is used.
"""

from __future__ import annotations

import logging
from functools import cache
from inspect import signature
from typing import TYPE_CHECKING, Any, get_type_hints

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import MemoryDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from cyto_kedro.console import plain_errors, quiet_loading
from cyto_kedro.errors import ConfigError
from cyto_kedro.process import collect_as_usual

if TYPE_CHECKING:
    import pandas as pd

    from cyto_kedro.datasets.manifest import Manifest
    from cyto_kedro.parameters import Assay

log = logging.getLogger(__name__)


class CheckHooks:
    """Refuse before the run what would otherwise fail, or mislead, hours later."""

    @hook_impl(tryfirst=True)  # others read the configuration, and fail on it with less to say
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the raw parameters: the checks look at whole blocks, nodes at parts of them."""
        from cyto_kedro.conf_check import Conf, read

        plain_errors()
        quiet_loading()
        loader: Any = context.config_loader
        self._conf = Conf(
            str(loader.conf_source), loader.base_env, loader.env or loader.default_run_env
        )
        self._conf.check_environment()
        self._given: dict[str, Any] = dict(loader.runtime_params or {})
        # kept in the loader: else it parses and merges all files again for each who asks (seven times)
        self._parameters = loader["parameters"] = read(loader, "parameters")
        loader["catalog"] = read(loader, "catalog")
        collect_as_usual()

    @hook_impl
    def after_catalog_created(self, catalog: Any, conf_catalog: dict[str, Any]) -> None:
        """Hand ingestion's plan to masks made elsewhere; name what a block of parameters leaves out.

        Nodes read parts of blocks, and Kedro knows those alone that stand in the files.
        """
        from pydantic import BaseModel

        from cyto_kedro.datasets.partitioned import PLANS
        from cyto_kedro.ledger import split_home
        from cyto_kedro.parameters import MODELS

        for name, block in self._parameters.items():
            model = MODELS.get(name)
            if model is None or not isinstance(block, dict):
                continue
            for key, field in model.model_fields.items():
                part = f"params:{name}.{key}"
                if key not in block and isinstance(field.default, BaseModel):
                    catalog[part] = MemoryDataset(field.default)
        for name, entry in conf_catalog.items():
            if isinstance(entry, dict) and str(entry.get("type", "")).endswith("LabelFilms"):
                catalog.get(name).follow(catalog.get("manifest"))
        if "filepath" in (planned := conf_catalog.get("manifest") or {}):
            home = split_home(str(planned["filepath"]))[0]
            PLANS[home] = lambda: catalog.load("manifest") if catalog.exists("manifest") else None

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any
    ) -> None:
        """Check the runner's abilities, all parameter blocks together, and the plan on disk."""
        from pydantic import ValidationError

        from cyto_kedro.parameters import MODELS, Assay, ContactsSpec, check_together, given_in
        from cyto_kedro.runner.base import refused

        runner = str(run_params.get("runner"))
        if said := refused(runner.partition(" object")[0], is_async=False):
            raise ConfigError(said)
        if run_params.get("only_missing_outputs") and "cyto_kedro.runner" not in runner:
            raise ConfigError(
                "--only-missing-outputs under this runner would skip a node as soon as one of its "
                "partitions exists, and call a half-finished run complete. Leave --runner out, or use "
                "--runner cyto_kedro.runner.PartitionRunner, SlurmRunner or DaskRunner: they decide by "
                "partition."
            )
        used = {each.removeprefix("params:").split(".")[0] for each in pipeline.inputs()}
        asked = {name for name in pipeline.inputs() if name.startswith("params:")}
        names = {each.removeprefix("params:").split(".")[0] for each in asked}
        self._conf.check_names(self._parameters, names, self._given)
        if lacking := sorted((used & {*MODELS}) - {*self._parameters}):
            raise ConfigError(
                f"parameters: no file has the block `{lacking[0]}:`, which this pipeline reads. Was it "
                "lost as a file was edited? Put it back (in a clone, `git diff conf` shows what it was)"
            )
        simulation = {"simulation"}  # an assay of its own: the two do not know of each other
        wanted = (set(MODELS) - simulation if used - simulation else set()) | (used & simulation)
        blocks = {
            name: self._parameters[name] for name in MODELS if name in wanted & {*self._parameters}
        }
        try:
            check_together(blocks, self._conf.inherited(self._given))
        except ValidationError as error:
            raise ConfigError(f"parameters: {error}") from error
        spoken = {name: blocks[name] for name in used - simulation if name in blocks}
        self._in_um, self._in_min = given_in("um", "px", spoken), given_in("min", "frames", spoken)
        produced = pipeline.outputs() | {name for n in pipeline.nodes for name in n.outputs}
        needed = {name for n in pipeline.nodes for name in n.inputs}
        if "manifest" in needed | produced and "assay" in blocks:
            assay = Assay.model_validate(blocks["assay"])
            if "params:contacts.viability" in needed:
                viability = ContactsSpec.model_validate(blocks["contacts"]["viability"]).make()
                for marker in getattr(viability, "markers", ("death",)):
                    # an assay that names none at all is one of contacts and motion alone
                    if assay.markers and marker not in assay.markers:
                        raise ConfigError(
                            f"assay.markers names no channel for {marker}, so no cell can be called "
                            f"dead: give assay.markers.{marker}, or run only the pipelines up to "
                            "tracking (--pipelines "
                            "ingestion,preprocessing,segmentation,tabulation,tracking)"
                        )
            self._check_plan(assay, catalog, "manifest" in produced)

    def _check_plan(self, assay: Assay, catalog: Any, replanned: bool) -> None:
        from cyto_kedro.currency import place_of
        from cyto_kedro.datasets.manifest import Manifest

        place = place_of(catalog.get("manifest"))
        if place is None or place.content() is None:
            if not replanned:
                raise ConfigError(
                    "there is no manifest yet, so no partition is planned: run "
                    "`kedro run --pipelines ingestion` (or `kedro run`) first"
                )
            return
        try:
            manifest = catalog.load("manifest")
        except Exception as error:
            if replanned:
                log.warning("the manifest on disk cannot be read and is made anew: %s", error)
                return
            raise
        if not isinstance(manifest, Manifest):
            return
        if not replanned:
            self._check_sizes(manifest)
            self._check_times(catalog.load("frames"))
        if not replanned and (manifest.keep_images, assay.keep_images) == ("virtual", "stored"):
            log.warning(
                "assay.keep_images is stored, but the plan on disk says virtual, and that is done: "
                "`kedro run` plans anew"
            )
        differing = [
            (name, was, now)
            for name, was, now in (
                ("block_length", manifest.block_length, assay.block_length),
                ("tiles", manifest.tiling, assay.tiles),
                ("channels", set(manifest.channels), set(assay.channels)),
                ("populations", list(manifest.populations), list(assay.populations)),
                ("raw.view", manifest.view, assay.raw.view),
                *(
                    ("raw.project_z", raw.project_z, assay.raw.project_z)
                    for raw in manifest.raw[:1]
                ),
                *_rewritten(manifest, assay),
            )
            if was != now
        ]
        for name, was, now in differing:
            if replanned:
                log.warning(
                    "assay.%s changed from %s to %s: what the old plan alone names stays on disk but "
                    "is not read any more",
                    name,
                    was,
                    now,
                )
            else:
                raise ConfigError(
                    f"assay.{name} is {now}, but the partitions on disk were planned with {was}: "
                    "mixing the two would give wrong results. Run the whole pipeline (`kedro run`), "
                    f"or set assay.{name} back"
                )

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Check a new plan as soon as it is made: all that costs time comes after it."""
        if dataset_name == "manifest" and hasattr(data, "fovs"):
            self._check_sizes(data)
        elif dataset_name == "frames":
            self._check_times(data)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: Any) -> None:
        """Say where the page to read lies."""
        if "report" in pipeline.outputs():
            log.info("Report: %s", getattr(catalog.get("report"), "location", "in memory"))

    def _check_sizes(self, manifest: Manifest) -> None:
        blind = [name for name, each in manifest.fovs.items() if each.pixel_size_um is None]
        if blind and self._in_um:
            raise ConfigError(
                f"the pixel size of {len(blind)} of {len(manifest.fovs)} fields is unknown, first "
                f"{blind[0]!r}, so lengths in µm mean nothing there: give assay.pixel_size_um, or "
                f"give {', '.join(self._in_um)} in pixels (…_px)"
            )

    def _check_times(self, frames: pd.DataFrame) -> None:
        blind = sorted(frames.loc[frames["time_s"].isna(), "fov"].unique())
        if blind and self._in_min:
            raise ConfigError(
                f"the frame times of {len(blind)} of {frames['fov'].nunique()} fields are unknown, "
                f"first {blind[0]!r}, so minutes mean nothing there: give assay.frame_interval_s, "
                f"or give {', '.join(self._in_min)} in frames (…_frames; set the one in minutes to "
                "null)"
            )


def _rewritten(manifest: Manifest, assay: Assay) -> list[tuple[str, Any, Any]]:
    """What the plan holds of the assay's populations and markers, as it was and as it is now."""
    each = assay.populations
    return [
        ("populations (role)", manifest.roles, {name: p.role for name, p in each.items()}),
        ("populations (channels)", manifest.sources, {n: p.channels for n, p in each.items()}),
        ("populations (combine)", manifest.combine, {n: p.combine for n, p in each.items()}),
        ("populations (subtract)", manifest.subtract, {n: p.subtract for n, p in each.items()}),
        ("markers", manifest.markers, assay.markers),
    ]


class FurtherHooks:
    """Hand a node what `extended` and `films` made only where it fits the results of today."""

    @hook_impl
    def before_node_run(
        self, node: Node, catalog: Any, inputs: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Replace optional inputs that are not current by None, and say so."""
        from cyto_kedro.currency import is_there

        left_out: dict[str, Any] = {}
        for name, value in inputs.items():
            if getattr(catalog.get(name), "optional", False) and is_there(value):
                if (made := _outdated(name, catalog)) is None:
                    continue
                maker, why = made
                left_out[name] = None
                log.warning(
                    "%s is left out of what %s makes, since it does not fit the other results any more "
                    "(%s): kedro run --pipelines %s,%s",
                    *(name, node.name, why, maker, str(node.namespace).split(".")[0]),
                )
        return left_out or None


@cache
def _made_by_name() -> dict[str, Any]:
    """The pipelines whose datasets the report takes where they are there."""
    from cyto_kedro.pipelines import extended, films

    return {"extended": extended.create_pipeline(), "films": films.create_pipeline()}


def _outdated(name: str, catalog: Any) -> tuple[str, str] | None:
    """Pipeline and reason, where what is made by name, or what it is made from, is not current.

    None too for what no node makes: a person's corrections.
    """
    from cyto_kedro.currency import stale_groups

    made = _made_by_name()
    pipeline = next((each for each in made if name in made[each].all_outputs()), None)
    if pipeline is None:
        return None
    for maker in made[pipeline].to_outputs(name).nodes:
        hints = get_type_hints(maker.func)
        inputs = {each: catalog.load(each) for each in maker.inputs}
        for argument, each in zip(signature(maker.func).parameters, maker.inputs, strict=True):
            # Kedro makes models only of the parameters of the pipelines that run
            if each.startswith("params:") and isinstance(inputs[each], dict):
                inputs[each] = hints[argument].model_validate(inputs[each])
        if stale := stale_groups(maker, inputs, catalog):
            return pipeline, stale[0].reason
    return None
