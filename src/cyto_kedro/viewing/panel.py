"""The panel of corrections: what a person clicks on, handed to the pure edits; saved by one button."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.console import expected, said
from cyto_kedro.errors import InputError
from cyto_kedro.viewing import event_edits, mask_edits, saving, track_edits
from cyto_kedro.viewing.layers import Seen, track_layers

Cell = event_edits.Cell
EVENT_ACTS = (
    *("set_death", "clear_death", "set_contact", "clear_contact", "set_kill", "clear_kill"),
    "undo_track",
)
HELP = "Paint, erase, fill: the buttons of a masks layer. A click on a cell gives its numbers."


class Panel:
    """Edits of one field and what becomes of them.

    Attributes
    ----------
    tracks, events
        Edited tables by population; those not edited are absent.
    widget
        What is docked.
    """

    def __init__(
        self, viewer: Any, catalog: Any, seen: Seen, who: str = "", runs: Path = Path("runs")
    ) -> None:
        self._viewer, self._catalog, self._seen, self._runs = viewer, catalog, seen, runs
        self.tracks: dict[str, pd.DataFrame] = {}
        self.events: dict[str, pd.DataFrame] = {}
        self._past: list[tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]] = []
        self._build(who or getpass.getuser())
        for name in seen.masks:
            viewer.layers[f"{name} masks"].mouse_drag_callbacks.append(self._clicked)

    # -- what is there now
    @property
    def population(self) -> str:
        """The population that is corrected."""
        return str(self._of.currentText())

    @property
    def frame(self) -> int:
        """The frame that is shown."""
        return int(self._viewer.dims.current_step[0])

    @property
    def points(self) -> pd.DataFrame:
        """Track points of the population as they are now."""
        return self.points_of(self.population)

    def points_of(self, population: str) -> pd.DataFrame:
        """Track points of a population as they are now."""
        if population in self.tracks:
            return self.tracks[population]
        whole = self._seen.tables.get("track_points")
        if whole is None:
            raise InputError("this field has no tracks yet: kedro run --pipelines tracking")
        return whole[whole["population"] == population]

    @property
    def corrections(self) -> dict[str, pd.DataFrame]:
        """Corrected events by population as they are now."""
        dataset = self._catalog.get("event_corrections")
        held = {name: dataset.load_one(f"{self._seen.fov}/{name}") for name in self._seen.roles}
        return {name: table for name, table in held.items() if table is not None} | self.events

    @property
    def cell(self) -> Cell:
        """The clicked cell."""
        return self.population, self.track_ids()[0]

    @property
    def other(self) -> Cell:
        """The Shift-clicked cell."""
        return str(self._other_of.currentText()), self.track_ids()[1]

    def labels(self) -> tuple[int, int]:
        """Labels of the cell and of the other one."""
        return int(self._label[0].value()), int(self._label[1].value())

    def track_ids(self) -> tuple[int, int]:
        """Their tracks."""
        return int(self._track[0].value()), int(self._track[1].value())

    # -- masks
    def _masks(self, made: np.ndarray) -> None:
        """Set the pixels of the shown frame that changed, so that napari's undo knows of it."""
        layer = self._viewer.layers[f"{self.population} masks"]
        y, x = np.nonzero(made != layer.data[self.frame])
        layer.data_setitem((np.full(len(y), self.frame), y, x), made[y, x])

    @property
    def _shown(self) -> np.ndarray:
        return np.asarray(self._viewer.layers[f"{self.population} masks"].data[self.frame])

    def merge_masks(self) -> None:
        """Two masks of the shown frame are one cell."""
        one, two = self.labels()
        self._masks(mask_edits.merge(self._shown, one, [two]))

    def split_mask(self) -> None:
        """A mask of the shown frame is two cells."""
        shown = self._shown
        self._masks(mask_edits.split(shown, self.labels()[0], int(shown.max()) + 1))

    def delete_mask(self) -> None:
        """A mask of the shown frame is no cell."""
        self._masks(mask_edits.delete(self._shown, self.labels()[0]))

    def undo_mask(self) -> None:
        """Take the last edit of masks back."""
        self._viewer.layers[f"{self.population} masks"].undo()

    # -- tracks
    def _tracks(self, made: pd.DataFrame) -> None:
        self._remember()
        self.tracks[self.population] = made
        self._redraw()

    def join_tracks(self) -> None:
        """The second track goes on as the first."""
        self._tracks(track_edits.join(self.points, *self.track_ids()))

    def cut_track(self) -> None:
        """From the shown frame on the track is another cell."""
        self._tracks(track_edits.cut(self.points, self.track_ids()[0], self.frame))

    def swap_tracks(self) -> None:
        """From the shown frame on two tracks exchange their cells."""
        self._tracks(track_edits.swap(self.points, *self.track_ids(), self.frame))

    def delete_track(self) -> None:
        """The track is no cell."""
        self._tracks(track_edits.delete(self.points, self.track_ids()[0]))

    # -- events
    def _say(self, event: str, happened: bool, *cells: Cell) -> None:
        """Add one word on an event; it stands with the first of the cells."""
        rows = [event_edits.row(event, happened, self.frame, self._points_by(cells), cells)]
        if event == "contact" and self._until.value() > self.frame:
            rows[0]["last_frame"] = self._until.value()
        if event == "kill" and happened and not self._dies(cells[0]):
            points = self._points_by(cells[:1])
            rows.insert(0, event_edits.row("death", True, self.frame, points, cells[:1]))
        name, points = cells[0][0], self._points_by(cells[:1])
        made = event_edits.with_words(self.corrections.get(name), rows, points)
        self._remember()
        self.events[name] = made

    def _points_by(self, cells: Sequence[Cell]) -> dict[str, pd.DataFrame]:
        return {name: self.points_of(name) for name, _ in cells}

    def _dies(self, cell: Cell) -> bool:
        """Whether a cell died, or was said to."""
        return event_edits.dies(
            cell, self._seen.tables.get("deaths"), self.corrections.get(cell[0]), self.points_of
        )

    def set_death(self) -> None:
        """The cell dies in the shown frame."""
        self._say("death", True, self.cell)

    def clear_death(self) -> None:
        """The cell does not die."""
        self._say("death", False, self.cell)

    def set_contact(self) -> None:
        """The two cells are in contact, in the shown frame or from it to the one given."""
        self._say("contact", True, self.cell, self.other)

    def clear_contact(self) -> None:
        """The two cells are not in contact, in the shown frame or from it to the one given."""
        self._say("contact", False, self.cell, self.other)

    def set_kill(self) -> None:
        """The effector kills the target; a target that does not die yet dies in the shown frame."""
        self._say("kill", True, *event_edits.target_first(self.cell, self.other, self._seen.roles))

    def clear_kill(self) -> None:
        """The effector does not kill the target."""
        self._say("kill", False, *event_edits.target_first(self.cell, self.other, self._seen.roles))

    def undo_track(self) -> None:
        """Take the last edit of tracks or events back."""
        if not self._past:
            raise InputError("no edit of tracks or events is left to take back")
        self.tracks, self.events = self._past.pop()
        self._redraw()

    def _remember(self) -> None:
        self._past.append((dict(self.tracks), dict(self.events)))

    def _redraw(self) -> None:
        fates = self._seen.tables.get("fates")
        drawn = track_layers(self.points, fates, self._seen.roles, "track")[0]
        layer = self._viewer.layers[drawn.name]
        layer.color_by = "track_id"  # its features do not fit the new points for a moment
        layer.data = drawn.data
        layer.features = drawn.options["features"]
        layer.color_by = "track"

    # -- saving
    def changes(self) -> list[saving.Change]:
        """What "save" would put in place."""
        return saving.changes(
            self._catalog, self._seen.fov, dict(self._seen.masks), self.tracks, self.events
        )

    def redone(self) -> str:
        """What the next run would redo, in words."""
        from kedro.framework.project import pipelines

        given = self.changes()
        if not given:
            return "Nothing was changed."
        grains = {each.dataset: self._catalog.get(each.dataset).grain for each in given}
        manifest = self._catalog.load("manifest")
        took = saving.seconds_of(self._runs)
        plan = saving.redone(pipelines["__default__"], manifest, given, grains, took)
        what = ", ".join(f"{each.dataset} {each.partition}" for each in given)
        return f"{what}. {saving.told(plan)}"

    def save(self) -> None:
        """Put the edits in place."""
        given = self.changes()
        if not given:
            raise InputError("nothing was changed, so there is nothing to save")
        who, why = self._who.text().strip(), self._why.text().strip()
        if not who or not why:
            raise InputError("say who corrects, and why: both stay with the correction")
        words = self.redone()
        saving.save(self._catalog, given, who, why)
        for each in self._seen.masks.values():
            each.taken()
        self.tracks, self.events, self._past = {}, {}, []
        self._tell(f"Saved: {words}")

    # -- the widget
    def _clicked(self, layer: Any, event: Any) -> None:
        """Put label and track of a clicked cell in the first row (with Shift: in the second)."""
        if str(layer.mode) not in ("pan_zoom", "pick"):
            return
        label = layer.get_value(event.position, world=True)
        if not label:
            return
        name = layer.name.removesuffix(" masks")
        which = int("Shift" in event.modifiers)
        for box in (self._of, self._other_of)[which:]:  # of one population till the other is chosen
            box.setCurrentText(name)
        track_id = 0
        if "track_points" in self._seen.tables:
            points = self.points_of(name)
            here = points[points["frame"] == self.frame]
            found = here.loc[here["label"] == int(label), "track_id"]
            track_id = int(found.iloc[0]) if len(found) else 0
        self._label[which].setValue(int(label))
        self._track[which].setValue(track_id)
        known = f"track {track_id}" if track_id else "of no track"
        self._tell(f"{name}, frame {self.frame}: label {int(label)}, {known}")

    def _tell(self, words: str) -> None:
        self._said.setText(words)

    def _does(self, act: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                act()
            except Exception as error:
                if (known := expected(error)) is None:
                    raise
                self._tell(said(known))
            else:
                if act != self.save:
                    n = len(self.changes())
                    self._tell(f"{(act.__doc__ or '').splitlines()[0]} {n} partitions to save.")

        return run

    def _build(self, who: str) -> None:
        from qtpy.QtWidgets import (
            QComboBox,
            QFormLayout,
            QGridLayout,
            QHBoxLayout,
            QLabel,
            QLineEdit,
            QPushButton,
            QSpinBox,
            QVBoxLayout,
            QWidget,
        )

        self.widget = QWidget()
        whole = QVBoxLayout(self.widget)
        hint = QLabel(HELP)
        hint.setWordWrap(True)
        whole.addWidget(hint)
        form = QFormLayout()
        self._of, self._other_of, self._until = QComboBox(), QComboBox(), QSpinBox()
        for box in (self._of, self._other_of):
            box.addItems(list(self._seen.masks) or list(self._seen.roles))
        self._until.setRange(0, max(self._seen.n_frames - 1, 0))
        self._until.setSpecialValueText("the shown frame")
        self._label, self._track = ((QSpinBox(), QSpinBox()) for _ in range(2))
        self._who, self._why = QLineEdit(who), QLineEdit()
        self._why.setPlaceholderText("what was wrong")
        form.addRow("Population", self._of)
        for i, title in enumerate(("Cell (click)", "Other (Shift-click)")):
            row = QHBoxLayout()
            for word, box in (("label ", self._label[i]), ("track ", self._track[i])):
                box.setMaximum(2**31 - 1)
                box.setPrefix(word)
                row.addWidget(box)
            form.addRow(title, row)
        form.addRow("Other's population", self._other_of)
        form.addRow("Contact till frame", self._until)
        whole.addLayout(form)
        for title, acts in (
            ("Masks of this frame", ("merge_masks", "split_mask", "delete_mask", "undo_mask")),
            ("Tracks", ("join_tracks", "cut_track", "swap_tracks", "delete_track")),
            ("Events", EVENT_ACTS),
        ):
            whole.addWidget(QLabel(f"<b>{title}</b>"))
            grid = QGridLayout()
            for i, name in enumerate(acts):
                act = getattr(self, name)
                text = {"undo_track": "undo track or event", "undo_mask": "undo mask"}.get(
                    name, name.replace("_", " ")
                )
                button = QPushButton(text)
                button.setToolTip(act.__doc__)
                button.clicked.connect(self._does(act))
                grid.addWidget(button, i // 2, i % 2)
            whole.addLayout(grid)
        whole.addWidget(QLabel("<b>Save</b>"))
        last = QFormLayout()
        last.addRow("Who", self._who)
        last.addRow("Why", self._why)
        whole.addLayout(last)
        ask, go = QPushButton("what will be redone?"), QPushButton("save")
        ask.clicked.connect(lambda: self._tell(self.redone()))
        go.clicked.connect(self._does(self.save))
        whole.addWidget(ask)
        whole.addWidget(go)
        self._said = QLabel("")
        self._said.setWordWrap(True)
        whole.addWidget(self._said)
        whole.addStretch(1)
