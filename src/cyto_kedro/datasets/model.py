"""Pydantic models as JSON."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pydantic import BaseModel, ValidationError

from cyto_kedro.datasets.atomic import FileDataset
from cyto_kedro.errors import ConfigError, InputError
from cyto_kedro.kedro_private import JSONPreview


class ModelDataset(FileDataset[BaseModel, BaseModel]):
    """One pydantic model in one JSON file, checked as it is loaded.

    Parameters
    ----------
    model
        Dotted path of the model's class.
    options
        As for every file dataset.
    """

    def __init__(self, *, model: str, **options: Any) -> None:
        super().__init__(**options)
        self._model = model

    def _class(self) -> type[BaseModel]:
        module, _, name = self._model.rpartition(".")
        try:
            found = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"{self.location}: model {self._model!r} cannot be imported ({error}); "
                "give the dotted path of a pydantic model"
            ) from error
        if not (isinstance(found, type) and issubclass(found, BaseModel)):
            raise ConfigError(f"{self.location}: {self._model!r} is not a pydantic model")
        return found

    def load(self) -> BaseModel:
        """Read and validate the model.

        Raises InputError, naming the file and the fields that do not fit.
        """
        with self._read() as file:
            content = file.read()
        try:
            return self._class().model_validate_json(content)
        except ValidationError as error:
            raise InputError(f"{self.location} does not fit {self._model}: {error}") from error

    def save(self, data: BaseModel) -> None:
        """Write the model, indented."""
        if not isinstance(data, self._class()):
            raise InputError(f"{self.location}: expected {self._model}, got {type(data).__name__}")
        content = data.model_dump_json(indent=2).encode() + b"\n"
        self._write_bytes(content)

    def preview(self) -> JSONPreview:
        """The JSON text for kedro-viz."""
        return JSONPreview(self.load().model_dump_json())
