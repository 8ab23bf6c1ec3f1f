"""``kedro cyto methods``: what a paper's methods section says of a run."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import requires
from typing import Any

import click
from pydantic import BaseModel

from cyto_kedro.errors import ConfigError
from cyto_kedro.runner import history

# (Otsu 1979), (Lindeberg 1998, doi:…); and Otsu's threshold (1979), Gallusser & Weigert (2024)
_BRACKETED = re.compile(r"\(([^()]*?[A-Z][^()]*?\b(?:19|20)\d\d\b(?:[^()]|\([^()]*\))*)\)")
_NAMED = re.compile(
    r"\b([A-Z]\w+(?:(?:, | and | & )[A-Z]\w+)*(?: et al\.?)?)(?:'s [\w ]+?)? \(((?:19|20)\d\d)\b"
)
UNITS = ("um", "px", "min", "frames", "s")
HINT = (
    "Citations are those that the algorithms' descriptions name: look each up before you print it."
)


def citations(cls: type) -> list[str]:
    """What the description of an algorithm cites; of its module's where its own cites nothing."""
    for text in (inspect.getdoc(cls), inspect.getdoc(sys.modules[cls.__module__])):
        plain = " ".join((text or "").split())
        found = [each.strip() for each in _BRACKETED.findall(plain)]
        found += [f"{names} {year}" for names, year in _NAMED.findall(plain)]
        if found:
            return list(dict.fromkeys(found))
    return []


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Algorithms of a block, and its own numbers and words that are not the defaults, by their keys."""
    from cyto_kedro.registry import AlgorithmSpec

    if isinstance(value, AlgorithmSpec):
        yield path, value
    if isinstance(value, BaseModel):
        for key, field in type(value).model_fields.items():
            item = getattr(value, key)
            if isinstance(value, AlgorithmSpec) and key in ("name", "args"):
                continue
            if isinstance(item, (str, int, float)):
                if item != field.get_default(call_default_factory=False):
                    yield f"{path}.{key}", item
            else:
                yield from _walk(item, f"{path}.{key}".removesuffix(".root"))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _walk(item, path)


def used_in(run: Mapping[str, Any], pipelines: Mapping[str, Any]) -> dict[str, Any]:
    """Key -> algorithms and changed parameters of the nodes of a run, in the order of the analysis.

    Raises ConfigError if its parameters are none of this version's.
    """
    from cyto_kedro.parameters import MODELS

    ran = set(run.get("nodes", ()))
    nodes = {node.name: node for each in pipelines.values() for node in each.nodes}
    keys = {
        name.removeprefix("params:")
        for node in nodes.values()
        if node.name in ran
        for name in node.inputs
        if name.startswith("params:")
    }
    found: dict[str, Any] = {}
    for block, model in MODELS.items():
        given = run["parameters"].get(block)
        wanted = {key for key in keys if key.split(".")[0] == block}
        if not wanted or given is None:
            continue
        try:
            read = model.model_validate(given)
        except ValueError as error:
            raise ConfigError(
                f"run {run['run_id']}: its {block} cannot be read by this version ({error}); run it "
                "again, or ask the version that it ran with"
            ) from error
        for path, item in _walk(read, block):
            if any(f"{path}.".startswith(f"{key}.") for key in wanted):
                found.setdefault(path, []).append(item)
    return found


def paragraph(run: Mapping[str, Any], pipelines: Mapping[str, Any]) -> str:
    """The paragraph, and the list of what it cites.

    `run`: its manifest. `pipelines`: the project's, by name.
    """
    from cyto_kedro.registry import AlgorithmSpec

    cited: list[str] = []
    said: dict[str, list[str]] = {}
    names = set()
    for path, items in used_in(run, pipelines).items():
        block, _, key = path.partition(".")
        for item in items:
            if not isinstance(item, AlgorithmSpec):
                said.setdefault(block, []).append(f"{key} = {item}")
                continue
            algorithm = item.make()
            names.add(item.name.lower())
            changed = algorithm.model_dump(mode="json", exclude_defaults=True)
            args = ", ".join(f"{name} = {_said(value)}" for name, value in changed.items())
            numbers = []
            for each in citations(type(algorithm)):
                cited += [each] if each not in cited else []
                numbers.append(str(cited.index(each) + 1))
            text = item.name + (f" ({args})" if args else "")
            text += f" [{', '.join(numbers)}]" if numbers else ""
            said.setdefault(block, []).append(f"{key}: {text}" if key else text)
    git = run.get("git") or {}
    commit = f", commit {git['commit'][:12]}" if git.get("commit") else ""
    changed_code = " with changes of its own" if git.get("dirty") else ""
    installed = run.get("packages", {})
    libraries = ", ".join(f"{name} {installed[name]}" for name in _libraries(installed, names))
    sentences = [
        f"Films were analysed with cyto_kedro {installed.get('cyto_kedro', '(version unknown)')}"
        f"{commit}{changed_code} (Python {run['python'].split()[0]}; {libraries}; run {run['run_id']}).",
        *(f"{block.capitalize()}: {'; '.join(parts)}." for block, parts in said.items()),
        "Parameters that are not named have the defaults of this version.",
    ]
    listed = [f"[{i}] {each}" for i, each in enumerate(cited, 1)]
    return "\n".join([" ".join(sentences), "", *listed, "", HINT] if listed else sentences)


def _said(value: Any) -> str:
    """A value in words: a length or time, ``{um: 15.0}``, is ``15 µm``."""
    if isinstance(value, Mapping) and len(value) == 1:
        ((unit, number),) = value.items()
        return f"{number:g} {'µm' if unit == 'um' else unit}" if unit in UNITS else str(value)
    return str(value)


def _libraries(installed: Mapping[str, str], algorithms: set[str]) -> list[str]:
    """Packages that this one asks for, by name; of an extra where it is of an algorithm's name."""
    asked = set()
    for line in requires("cyto_kedro") or ():
        extra = re.search(r"extra == .(\w+)", line)
        if extra is None or extra[1] in algorithms:
            asked.add(_plain(re.split(r"[^\w.-]", line)[0]))
    return [name for name in installed if _plain(name) in asked]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@click.argument("run_id", metavar="[RUN]", required=False)
@click.pass_obj
def methods(project: Any, run_id: str | None) -> None:
    """Print the paragraph for a paper: versions, algorithms, changed parameters, citations.

    Of RUN, by default the last one of the environment that was finished.
    """
    from kedro.framework.project import pipelines

    run = history.find(project.path / "runs", run_id, project.env)
    click.echo(paragraph(run, {name: pipelines[name] for name in pipelines}))
