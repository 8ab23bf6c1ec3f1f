"""The curves of events show the table's numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.event_figures import EventFigures, draw_event_curves


def curves() -> pd.DataFrame:
    """Kills of two donors with and without a drug; one event that never happened."""
    parts = []
    for condition, last in (("vehicle", 0.8), ("drug", 0.2)):
        for replicate in ("(all)", "D1", "D2"):
            rows = {"time_min": [0.0, 6.0, 12.0], "estimate": [1.0, 0.9, last], "events": [0, 1, 3]}
            rows |= {"condition": condition, "replicate": replicate, "event": "kill"}
            parts.append(pd.DataFrame(rows))
    never = parts[0].assign(event="arrest", events=0, estimate=1.0)
    table = pd.concat([*parts, never]).assign(population="TCell", at_risk=[12.0, 11, 9] * 7)
    table["few_at_risk"] = table["at_risk"] < 10
    return schemas.filled(schemas.EventCurves, table)


def test_a_panel_for_each_event_that_happened() -> None:
    fig = draw_event_curves(curves(), None)
    (panel,) = fig.axes
    assert panel.get_title(loc="left") == "kill, TCell"
    steps = {line.get_drawstyle(): 0 for line in panel.lines}
    assert "steps-post" in steps
    thick = [line for line in panel.lines if line.get_lw() == 2.0 and line.get_alpha() is None]
    shown = [np.asarray(line.get_ydata(), float) for line in thick if len(line.get_xdata())]
    # from where fewer than ten are watched on the line is only the pale one
    assert [each[:2].tolist() for each in shown] == [[100.0, 90.0], [100.0, 90.0]]
    assert all(np.isnan(each[2]) for each in shown)
    ends = {line.get_ydata()[-1] for line in panel.lines if line.get_alpha() == 0.4}
    assert sorted(ends) == pytest.approx([20.0, 80.0])


def test_events_that_nobody_had_are_said_in_words() -> None:
    none = schemas.empty(schemas.EventCurves)
    drawn = EventFigures(dpi=50)(
        event_signals=schemas.empty(schemas.EventSignals), event_curves=none
    )["figures"]
    assert set(drawn) == {"events", "event_curves"}
    (words,) = draw_event_curves(none, None).axes[0].texts
    assert words.get_text() == "No event was seen to happen."
    assert not drawn["event_curves"].numbers
