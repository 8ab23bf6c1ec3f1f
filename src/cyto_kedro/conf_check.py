"""Names in ``conf/`` and on the command line that nothing reads are refused: a default never stands in.

Kedro merges what it finds: a block called ``trackng:``, a file ``paramters.yml`` or ``--params
asay.block_length=4`` would be kept, read by nobody, and the run would go on with the defaults.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from kedro.config import MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from cyto_kedro.errors import ConfigError, nearest, unknown
from cyto_kedro.parameters import MODELS

# what Kedro reads in a folder of configuration, and what of ours others read
KINDS = ("catalog", "parameters", "globals", "credentials", "logging", "engines")
SUFFIXES = (".yml", ".yaml", ".json")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ASKED = re.compile(r"\$\{\s*(?:globals|runtime_params)\s*:\s*(\w+)")


class Conf:
    """The folders of configuration that a run reads: the base and one environment.

    Parameters
    ----------
    source
        Folder that holds both; an archive or a URL is not looked into.
    env
        The environment; None: the loader's own.
    """

    def __init__(self, source: str, base: str, env: str | None) -> None:
        self._source, self._base, self.env = Path(source), base, env
        self.local = self._source.is_dir()

    def _files(self, env: str) -> list[Path]:
        found = sorted((self._source / env).rglob("*")) if self.local else []
        return [path for path in found if path.suffix in SUFFIXES]

    def environments(self) -> list[str]:
        """Folders that can be asked for as ``--env``."""
        if not self.local:
            return []
        folders = sorted(each.name for each in self._source.iterdir() if each.is_dir())
        return [name for name in folders if name != "resources" and not name.startswith(".")]

    def check_environment(self) -> None:
        """Refuse an environment without folder, and files in it that nothing would read.

        Raises ConfigError, naming it, the nearest match and all there are.
        """
        if not self.local or self.env is None:
            return
        if self.env not in self.environments():
            raise ConfigError(
                f"{unknown('environment', self.env, self.environments())} An environment is a folder "
                f"in {self._source} (--env)"
            )
        for path in self._files(self.env):
            kind = re.split(r"[_.\-]", path.name)[0]
            if not path.name.startswith(KINDS) and (near := nearest(kind, KINDS, cutoff=0.75)):
                raise ConfigError(
                    f"{path} is read by nothing: its name must begin with {near!r} to be. Rename it"
                )

    def keys(self, env: str, kind: str) -> dict[str, Path]:
        """Top-level keys of an environment's files of one kind, and the file of each."""
        found: dict[str, Path] = {}
        for path in self._files(env):
            if path.name.startswith(kind):
                content = yaml.load(path.read_text(encoding="utf-8"), _LOADER)
                found |= dict.fromkeys(map(str, content or ()), path)
        return found

    def asked_for(self) -> set[str]:
        """Names that configuration asks for as ``${globals:raw}`` or ``${runtime_params:raw, …}``."""
        envs = {self._base, self.env or self._base}
        texts = (path.read_text(encoding="utf-8") for env in envs for path in self._files(env))
        return {name for text in texts for name in _ASKED.findall(text)}

    def check_names(
        self, parameters: Mapping[str, Any], used: Iterable[str], given: Mapping[str, Any]
    ) -> None:
        """Refuse top-level names that nothing reads.

        `parameters`: the parameters as Kedro has them, with what ``--params`` adds. `used`:
        parameters that the pipeline reads. `given`: what ``--params`` gave. Raises ConfigError,
        naming the key, the file where it stands, the nearest match and the valid ones.
        """
        folders = self.asked_for()
        known = {*MODELS, *used}
        # how Kedro hands over the folders of --params; an archive is not searched for their names
        allowed = known | (folders if self.local else set(given) - {*MODELS})
        mine = {} if self.env is None else self.keys(self.env, "parameters")
        at = self.keys(self._base, "parameters") | mine
        for name in parameters:
            if name not in allowed:
                where = "--params" if name in given else f"{at.get(name, 'parameters')}"
                raise ConfigError(
                    f"{where}: {unknown('block of parameters', name, known | folders)} Nothing reads "
                    "it, so the run would go on without it"
                )
        if not self.local or self.env in (None, self._base):
            return
        for name, path in self.keys(str(self.env), "globals").items():
            if name not in folders and not name.startswith("_"):
                raise ConfigError(f"{path}: {unknown('name', name, folders)} Nothing reads it")
        base = self.keys(self._base, "catalog")
        for name, path in self.keys(str(self.env), "catalog").items():
            near = None if name in base or name.startswith("_") else nearest(name, base, 0.85)
            if near is not None and name not in used:
                raise ConfigError(
                    f"{path}: unknown dataset {name!r}. Did you mean {near!r}? A dataset of your own "
                    "needs a name that cannot be taken for another's"
                )

    def inherited(self, given: Mapping[str, Any]) -> frozenset[str]:
        """Blocks that are the base's while the assay is the environment's (or of ``--params``)."""
        if not self.local or self.env in (None, self._base):
            return frozenset()
        mine = {*self.keys(str(self.env), "parameters"), *given}
        return frozenset(set(MODELS) - mine) if "assay" in mine else frozenset()


def read(loader: Any, kind: str) -> dict[str, Any]:
    """A kind of configuration, as `loader` merges it.

    Raises ConfigError if a file is no YAML, a key stands in two files, or a name in it means
    nothing.
    """
    try:
        return dict(loader[kind])
    except (
        *(MissingConfigException, OmegaConfBaseException, yaml.YAMLError),
        *(ValueError, TypeError, OSError, AttributeError),
    ) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"the configuration ({kind}) cannot be read: {said}") from error
