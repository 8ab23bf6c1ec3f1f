"""The pages of the site that show docstrings: every algorithm, and the blocks they are built on."""

from __future__ import annotations

import importlib

from make_parameters import own
from pages import summary

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
    "cyto_kedro.partitions": ("Block",),
    "cyto_kedro.lift": ("lift",),
    "cyto_kedro.datasets.partitioned": ("PartitionedDataset",),
    "cyto_kedro.errors": ("CytoError", "unknown"),
}


def algorithms_page() -> str:
    """Every algorithm's docstring."""
    parts = [ALGORITHMS]
    for stage in STAGES:
        parts.append(f"## {stage.capitalize()}")
        parts += [f"::: {cls.__module__}.{name}" for name, cls in own(stage).items()]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def blocks_page() -> str:
    """The docstrings of what a developer meets."""
    parts = [BLOCKS]
    for module, names in MODULES.items():
        parts.append(f"## `{module}`")
        parts.append(summary(importlib.import_module(module).__doc__))
        parts += [f"::: {module}.{name}" for name in names]
    return "\n\n".join(part.strip() for part in parts) + "\n"
