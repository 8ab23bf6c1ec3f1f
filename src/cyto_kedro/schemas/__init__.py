"""Column names, dtypes, units and checks of every table, once.

A unit is the last word of a column's name (``_px``, ``_um``, ``_um2``, ``_min``, ``_s``, ``_rad``,
``_um_per_min``). Pixel and frame columns are always filled; micrometre and minute columns are null
where calibration is unknown. Keys: ``(fov, population, frame, label)`` names a cell in a frame,
``(fov, population, track_id)`` a cell through time. Positions are pixel centres: the centre of the
top-left pixel is (0, 0).

Schemas are pandera models used by the catalog's ``validator:`` through `EachPartition`, and by
code that makes empty tables (`empty`) or puts a table in its final form (`conform`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import pandas as pd

from cyto_kedro.errors import ConfigError, InputError, unknown
from cyto_kedro.schemas import (
    behaviour,
    cells,
    comparison,
    contact,
    death,
    films,
    masks,
    motion,
    network,
    result,
    training,
)
from cyto_kedro.schemas.base import (
    END_REASONS,
    ROLES,
    STATS,
    Table,
    TableOf,
    check,
    check_form,
    conform,
    dtypes,
    empty,
    filled,
    from_columns,
    or_empty,
)
from cyto_kedro.schemas.behaviour import BehaviourProfiles, Behaviours, TrackWindows
from cyto_kedro.schemas.cells import CellColumns, Cells, Touches, TrackPoints, Tracks
from cyto_kedro.schemas.comparison import (
    Comparisons,
    ContactSurvival,
    DoseFits,
    DoseValues,
    EventCurves,
    EventSignals,
    EventSums,
    EventTimes,
    FieldKilling,
    Hazards,
    KillingCurves,
    ReplicateSummaries,
    SurvivalBounds,
    SurvivalCurves,
)
from cyto_kedro.schemas.contact import (
    Bouts,
    CellDensity,
    Conjugation,
    ConjugationTiles,
    Contacts,
    Dwell,
    Encounters,
    Neighbours,
)
from cyto_kedro.schemas.death import (
    AttackModels,
    DeathIndexes,
    Deaths,
    EffectorTallies,
    EventCorrections,
    Fates,
    Kills,
    TargetTallies,
    Viability,
)
from cyto_kedro.schemas.films import CellSizes, Effects, Fields, Frames, Quality, Registration
from cyto_kedro.schemas.masks import MaskEvidence, MaskQuality, Outlines
from cyto_kedro.schemas.motion import (
    Drift,
    Motility,
    MotionFits,
    Msd,
    SmoothedSteps,
    Steps,
    TrackFits,
    VelocityAutocorrelation,
)
from cyto_kedro.schemas.network import (
    Clusters,
    DeathSpread,
    NearestNeighbours,
    NetworkMeasures,
    NetworkNodes,
    Organisation,
    SpatialStatistics,
)
from cyto_kedro.schemas.result import Results
from cyto_kedro.schemas.training import ClassScores, TrainingScores

TABLES: dict[str, type[Table]] = {
    each.called(): each
    for room in (
        *(films, cells, masks, motion, behaviour, contact, death, network, comparison, result),
        training,
    )
    for each in vars(room).values()
    if isinstance(each, type) and each.__module__ == room.__name__
    if issubclass(each, Table) and each.called()
}


class EachPartition:
    """A catalog validator that checks each partition of a partitioned table as it passes.

    On save Kedro hands over ``{partition_id: table}``: columns and values are checked. On load it is
    ``{partition_id: load function}``: columns and dtypes are, when it is called. A plain table is
    checked whole both ways.
    """

    def __init__(self, table: str) -> None:
        if table not in TABLES:
            raise ConfigError(f"catalog validator: {unknown('table', table, TABLES)}")
        self._table = TABLES[table]

    def validate(self, data: Any) -> Any:
        """Check `data`; load functions are wrapped and checked when they are called."""
        if isinstance(data, pd.DataFrame):
            return check(self._table, data)
        if hasattr(data, "checked"):
            return data.checked(self._one)
        if isinstance(data, Mapping):
            return {key: self._one(key, value) for key, value in data.items()}
        raise InputError(
            f"table {self._table.__name__}: expected a table, got {type(data).__name__}"
        )

    def _one(self, partition_id: str, value: Any, columns: Collection[str] | None = None) -> Any:
        if callable(value):
            load: Callable[[], Any] = value
            return lambda: self._loaded(partition_id, load(), columns)
        return check(self._table, value, partition_id)

    def _loaded(self, partition_id: str, value: Any, columns: Collection[str] | None) -> Any:
        """A loaded table, its form checked; None where one that is optional is not there."""
        return None if value is None else check_form(self._table, value, partition_id, columns)
