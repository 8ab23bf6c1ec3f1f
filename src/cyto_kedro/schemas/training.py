"""How good a learnt engine, or classifier, is on what was left out of its learning."""

from __future__ import annotations

from pandera.typing import Series

from cyto_kedro.schemas.base import PerPopulation, known, nullable


class TrainingScores(PerPopulation, key="population engine fov frame"):
    """One row per frame with masks that are right, and engine: the learnt one, and that in use."""

    frame: Series[int] = known(ge=0)
    engine: Series[str] = known("class name of the engine; `learnt` says which of the two it is")
    learnt: Series[bool] = known("learnt from the other groups; else the engine in use")
    group: Series[str] = known("what was left out together: a field, or an experiment")
    n_true: Series[int] = known("cells of the masks that are right", ge=0)
    n_found: Series[int] = known("cells that the engine found", ge=0)
    n_matched: Series[int] = known("found cells that overlap a true one by over half (IoU)", ge=0)
    f1: Series[float] = nullable(
        "2 n_matched / (n_true + n_found); empty where there is no cell", ge=0, le=1
    )


class ClassScores(PerPopulation, key="population fov class"):
    """One row per field and class: cells told by a person, and by what the others taught."""

    group: Series[str] = known("what was left out together: a field, or an experiment")
    class_: Series[str] = known("class of the cells", alias="class")
    n_true: Series[int] = known("cells of the class", ge=0)
    n_found: Series[int] = known("cells that were called so", ge=0)
    n_matched: Series[int] = known("cells of the class that were called so", ge=0)
    n_commonest: Series[int] = known(
        "cells that would be right if all were called by the commonest class", ge=0
    )
