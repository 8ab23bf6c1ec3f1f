"""napari, offscreen: what is shown, and edits by the panel."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tiny_project import Project

pytestmark = pytest.mark.companion("napari")


@pytest.fixture
def opened(project: Project, viewer: Any) -> Iterator[tuple[Any, Any, Project]]:
    """A viewer and its panel on a field of `project`."""
    from cyto_kedro.viewing import panel as module
    from cyto_kedro.viewing.window import open_window

    made: list[Any] = []
    init = module.Panel.__init__

    def keep(self: Any, *args: Any) -> None:
        init(self, *args)
        made.append(self)

    module.Panel.__init__ = keep  # type: ignore[method-assign]
    try:
        open_window(project.catalog, "treated_1", frame=8, who="Ada", viewer=viewer)
        yield viewer, made[0], project
    finally:
        module.Panel.__init__ = init  # type: ignore[method-assign]


def test_what_is_shown(opened: tuple[Any, Any, Project]) -> None:
    viewer, _, _ = opened
    assert viewer.dims.current_step[0] == 8
    assert {each.name for each in viewer.layers} >= {
        "TCell",
        "CancerCell masks",
        "deaths",
        "contacts",
    }
    np.testing.assert_allclose(viewer.layers["TCell"].scale[1:], viewer.layers["deaths"].scale[1:])


def test_edits_by_the_panel(opened: tuple[Any, Any, Project]) -> None:
    viewer, panel, project = opened
    panel._of.setCurrentText("CancerCell")
    layer = viewer.layers["CancerCell masks"]
    before = np.array(layer.data[8])
    one, two = np.unique(before)[1:3]
    side = layer.scale[1]
    for label, keys in ((one, ()), (two, ("Shift",))):  # the same by clicks
        y, x = np.argwhere(before == label)[0]
        click = SimpleNamespace(position=(8, y * side, x * side), modifiers=keys)
        layer.mode = "pan_zoom"
        panel._clicked(layer, click)
    assert panel.labels() == (one, two)
    here = panel.points[panel.points["frame"] == 8].set_index("label")["track_id"]
    assert panel.track_ids() == (here.get(one, 0), here.get(two, 0))
    panel.merge_masks()
    assert two not in layer.data[8] and (layer.data[8] > 0).sum() == (before > 0).sum()
    panel.undo_mask()
    np.testing.assert_array_equal(layer.data[8], before)
    layer.selected_label = 77
    layer.paint((8, 3, 3), 77)
    assert 77 in layer.data[8] and [each.dataset for each in panel.changes()] == ["labels"]
    track_id = int(panel.points["track_id"].iloc[0])
    n = len(panel.points)
    panel._track[0].setValue(track_id)
    viewer.dims.set_current_step(0, int(panel.points["frame"].iloc[3]))
    panel.cut_track()
    assert (
        panel.points["track_id"].nunique() == len(set(panel.points["track_id"]))
        and len(panel.points) == n
    )
    assert len(viewer.layers["CancerCell tracks"].data) == n
    panel._does(panel.set_death)()
    assert "has no point in frame" in panel._said.text()  # the track ends before, cut as it is
    panel._track[0].setValue(int(panel.points["track_id"].max()))
    panel.set_death()
    assert panel.events["CancerCell"]["happened"].tolist() == [True]
    panel.clear_death()
    assert panel.events["CancerCell"]["happened"].tolist() == [False]
    panel.undo_track(), panel.undo_track()
    assert not panel.events and panel.tracks
    panel._does(panel.save)()
    assert "say who corrects, and why" in panel._said.text()
    panel._why.setText("a cell was missed")
    panel._does(panel.save)()
    assert panel._said.text().startswith("Saved: labels treated_1/CancerCell/t0007-0008")
    kept = project.catalog.get("labels").correction("treated_1/CancerCell/t0007-0008")
    assert kept.who == "Ada" and kept.why == "a cell was missed" and not panel.changes()


def test_events_of_two_cells_by_the_panel(opened: tuple[Any, Any, Project]) -> None:
    viewer, panel, _ = opened
    kill = panel._seen.tables["kills"].iloc[0]
    pair = panel._seen.tables["contacts"].query(
        "track_id_a == @kill.effector_track_id and track_id_b == @kill.target_track_id "
        "and population_a != population_b"
    )
    frame = int(pair["frame"].iloc[-1])
    viewer.dims.set_current_step(0, frame)
    clicked = (("CancerCell", "target", ()), ("TCell", "effector", ("Shift",)))
    for name, side, keys in clicked:
        points = panel.points_of(name).query("frame == @frame")
        at = points[points["track_id"] == kill[f"{side}_track_id"]].iloc[0]
        layer = viewer.layers[f"{name} masks"]
        y, x = np.argwhere(np.array(layer.data[frame]) == at["label"])[0] * layer.scale[1]
        layer.mode = "pan_zoom"
        panel._clicked(layer, SimpleNamespace(position=(frame, y, x), modifiers=keys))
    assert panel.cell == ("CancerCell", kill["target_track_id"])
    assert panel.other == ("TCell", kill["effector_track_id"])
    panel._until.setValue(frame + 1)
    for act in (panel.clear_contact, panel.clear_kill, panel.set_kill, panel.clear_death):
        panel._does(act)()
    said = panel.events["CancerCell"]
    assert said["event"].tolist() == ["contact", "kill", "death"]
    assert said["happened"].tolist() == [False, True, False]
    assert said["last_frame"].tolist()[:1] == [frame + 1]
    panel._does(panel.set_kill)()  # of a cell that was said to live: it dies now
    assert panel.events["CancerCell"].query("event == 'death'")["happened"].tolist() == [True]
    panel._other_of.setCurrentText("CancerCell")
    panel._does(panel.set_kill)()
    assert "a kill is of a target by an effector" in panel._said.text()
    assert [each.dataset for each in panel.changes()] == ["event_corrections"]
    panel._why.setText("the other one did it")
    panel._does(panel.save)()
    assert panel._said.text().startswith("Saved: event_corrections treated_1/CancerCell")
