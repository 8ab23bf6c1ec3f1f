"""The viewer: plain layers put into napari, a table of events to jump by, and the panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from cyto_kedro.errors import MissingExtraError
from cyto_kedro.viewing.films import open_field
from cyto_kedro.viewing.layers import EVENTS, Layer, Seen, clock_text, events, layers_of


def napari_or_hint() -> Any:
    """The viewer's package.

    Raises
    ------
    MissingExtraError
        If it is not installed: names the extra.
    """
    try:
        import napari
    except ImportError as error:
        raise MissingExtraError(
            'looking at films needs napari, which is not installed: pip install "cyto_kedro[napari]"'
        ) from error
    return napari


def open_window(
    catalog: Any,
    fov: str,
    *,
    frame: int | None = None,
    at: tuple[float, float] | None = None,
    colour_by: Literal["track", "fate"] = "track",
    who: str = "",
    runs: Path = Path("runs"),
    viewer: Any = None,
) -> Any:
    """Open a field.

    Parameters
    ----------
    frame, at
        What is looked at first: a frame, and y and x in pixels.
    colour_by
        Tracks in a colour each, or by what became of the cell.
    who
        Name under which corrections are saved.
    runs
        Folder of earlier runs, which tell how long a step takes.
    viewer
        A napari viewer to use; a new one is opened otherwise.

    Returns
    -------
    napari.Viewer
        To be kept open by ``napari.run()`` outside notebooks.
    """
    napari = napari_or_hint()
    seen = open_field(catalog, fov)
    viewer = viewer or napari.Viewer(title=f"{fov} · cyto_kedro")
    for layer in layers_of(seen, colour_by):
        add(viewer, layer)
    _dress(viewer, seen)
    table = event_table(viewer, seen)
    viewer.window.add_dock_widget(table, name="Deaths and kills", area="bottom")
    from cyto_kedro.viewing.panel import Panel

    panel = Panel(viewer, catalog, seen, who, runs)
    viewer.window.add_dock_widget(panel.widget, name="Correct", area="right")
    for name in list(seen.masks)[:1]:
        viewer.layers.selection.active = viewer.layers[f"{name} masks"]
    if frame is not None or at is not None:
        jump(viewer, seen, frame or 0, at)
    return viewer


def add(viewer: Any, layer: Layer) -> Any:
    """Put one layer into a viewer."""
    options = dict(layer.options)
    contour = options.pop("contour", 0)
    fate_colours = options.pop("fate_colours", None)
    if layer.kind == "image":
        from napari.utils import Colormap

        options["colormap"] = Colormap(options["colormap"], name=f"{layer.name} colour")
    if fate_colours is not None:
        from napari.utils.colormaps import Colormap, ensure_colormap

        steps = [i / len(fate_colours) for i in range(len(fate_colours) + 1)]
        fates = Colormap(fate_colours, controls=steps, interpolation="zero", name="fates")
        options["colormaps_dict"] = {"fate": fates, "track": ensure_colormap("hsv")}
    made = getattr(viewer, f"add_{layer.kind}")(layer.data, name=layer.name, **options)
    if contour:
        made.contour = contour
    return made


def _dress(viewer: Any, seen: Seen) -> None:
    """Scale bar, axes, and the clock of the frame."""
    viewer.dims.axis_labels = ("frame", "y", "x")
    overlays = getattr(getattr(viewer, "canvas", None), "overlays", None)
    bar = overlays.scale_bar if overlays is not None else viewer.scale_bar
    text = overlays.text if overlays is not None else viewer.text_overlay
    bar.visible = True
    if seen.pixel_size_um is not None:
        for layer in viewer.layers:
            layer.units = ("pixel", "um", "um")
    text.visible = True

    def tell(event: Any = None) -> None:
        text.text = clock_text(seen.tables.get("frames"), int(viewer.dims.current_step[0]))

    viewer.dims.events.current_step.connect(tell)
    viewer.dims.set_current_step(0, 0)
    tell()


def jump(viewer: Any, seen: Seen, frame: int, at: tuple[float, float] | None = None) -> None:
    """Show a frame, and a place (y, x in pixels) in the middle, near."""
    viewer.dims.set_current_step(0, int(frame))
    if at is not None:
        side = seen.scale[1]
        viewer.camera.center = (0.0, at[0] * side, at[1] * side)
        height = next(iter([*seen.films.values(), *seen.masks.values()])).shape[1]
        viewer.camera.zoom = max(viewer.camera.zoom, 500 / (min(height, 150) * side))


def event_table(viewer: Any, seen: Seen) -> Any:
    """Deaths and kills in a table; a click on a row shows it."""
    from qtpy.QtWidgets import QAbstractItemView, QTableWidget, QTableWidgetItem

    found = events(seen.tables) if "track_points" in seen.tables else None
    rows: list[Any] = [] if found is None else list(found.itertuples(index=False))
    table = QTableWidget(len(rows), len(EVENTS))
    table.setHorizontalHeaderLabels([each.replace("_", " ") for each in EVENTS])
    table.setEditTriggers(QAbstractItemView.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectRows)
    for i, row in enumerate(rows):
        for j, name in enumerate(EVENTS):
            table.setItem(i, j, QTableWidgetItem(_shown(getattr(row, name))))
    table.resizeColumnsToContents()
    table.setMaximumHeight(170)  # the rest is the picture's

    def clicked(i: int, _: int) -> None:
        row = rows[i]
        place = (row.y_px, row.x_px) if row.y_px == row.y_px else None
        jump(viewer, seen, row.frame, place)

    table.cellClicked.connect(clicked)
    return table


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return str(value)
