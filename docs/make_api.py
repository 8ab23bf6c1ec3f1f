"""The pages of the site that show docstrings: every algorithm, and the blocks they are built on."""

from __future__ import annotations

import importlib

from make_parameters import own
from pages import summary

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.errors import ConfigError
from cyto_kedro.registry import STAGES

ALGORITHMS = """# Algorithms

Every class that YAML can name, by stage, with what it reads and makes. Use one by hand:

```python
from cyto_kedro.registry import build

label = build("segmentation", "Otsu", {"smoothing": 0.1})({"image": image})["label"]
```

Arguments with defaults, units and limits are in [Parameters](../parameters.md).
"""

BLOCKS = """# Building blocks

The modules that a developer meets. What belongs where is in [the design](../design.md).
"""

# module -> its names that are shown; None: its docstring alone
MODULES: dict[str, tuple[str, ...]] = {
    "cyto_kedro.algorithms.base": ("Algorithm",),
    "cyto_kedro.registry": ("algorithms", "build"),
    "cyto_kedro.blocks": ("Block",),
    "cyto_kedro.lift": ("lift",),
    "cyto_kedro.datasets.partitioned": ("PartitionedDataset",),
    "cyto_kedro.errors": ("CytoError", "unknown"),
}


def algorithms_page() -> str:
    """Every algorithm's docstring."""
    parts = [ALGORITHMS]
    for stage in STAGES:
        parts.append(f"## {stage.capitalize()}")
        for name, cls in own(stage).items():
            parts += [f"::: {cls.__module__}.{name}", ports(cls)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def ports(cls: type[Algorithm]) -> str:
    """What a class reads and makes, in a sentence or two."""
    try:
        contract = cls.contract()
    except ConfigError:  # it declares nothing
        return ""
    reads, may = [], []
    for port in contract.inputs.values():
        if port.required:
            reads.append(f"`{port.name}` ({port.describe()})")
        else:
            what = "" if port.kind == "value" else f" ({port.describe()})"
            may.append(f"`{port.name}`{what}")
    text = f"**Reads** {', '.join(reads)}" if reads else ""
    if may:
        text += f"{', and may read' if reads else '**May read**'} {', '.join(may)}"
    made = (f"`{port.name}` ({port.describe()})" for port in contract.outputs.values())
    return f"{text or '**Reads** nothing'}. **Makes** {', '.join(made)}."


def blocks_page() -> str:
    """The docstrings of what a developer meets."""
    parts = [BLOCKS]
    for module, names in MODULES.items():
        parts.append(f"## `{module}`")
        parts.append(summary(importlib.import_module(module).__doc__))
        parts += [f"::: {module}.{name}" for name in names]
    return "\n\n".join(part.strip() for part in parts) + "\n"
