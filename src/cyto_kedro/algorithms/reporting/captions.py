"""The words beside each figure: (title, caption, text for who cannot see it)."""

from __future__ import annotations

FIGURES: dict[str, tuple[str, str, str]] = {
    "survival": (
        "Survival of targets",
        "Kaplan-Meier estimate of the share of target cells still alive, by condition. Thick: all "
        "cells of the condition, with the 95 % confidence band (Greenwood, log-log); thin: each "
        "replicate. Cells count as at risk from when they were first seen (delayed entry) until "
        "death, or until they left the view or the film ended (censored); cells dead at first sight "
        "are left out. The band takes cells to be independent, which cells of one well are not, so "
        "it is too narrow: compare replicates. For that reason no p-value over pooled cells is given.",
        "Step curves of the percentage of target cells alive over time, one per condition, with "
        "the number at risk below.",
    ),
    "kills": (
        "Kills over time",
        "Deaths of targets attributed to effectors, added up over the film (shares of one death sum "
        "to 1). Thin: one field; thick: mean over the fields of a condition; dashed: all observed "
        "deaths of targets, attributed or not.",
        "Step curves of the cumulative number of kills per field over time, by condition.",
    ),
    "contact_durations": (
        "Contact durations",
        "Share of contacts between an effector and a target that last longer than the time shown "
        "(Kaplan-Meier, 95 % band; thin: each replicate). Contacts still going when last seen are "
        "censored; contacts already under way when first seen are left out, since how long they "
        "had lasted is unknown.",
        "Step curves of the percentage of contacts still lasting over time, by condition.",
    ),
    "speeds": (
        "Speeds",
        "Mean speed of each track (small dots), mean of each replicate (large dots) and mean of the "
        "replicates (bar), by population and condition. The replicates are the independent units.",
        "Dots of the mean speed of each track and each replicate, by population and condition.",
    ),
    "quality": (
        "Quality of the films",
        "Of the raw images, per channel and frame: mean intensity; focus (variance of the Laplacian "
        "over the squared mean; higher is sharper); share of saturated pixels. A line is a field.",
        "Lines of mean intensity, focus and saturation over the frames, for each channel and field.",
    ),
}
SEGMENTATION = (
    "Segmentation",
    "Chosen frames with the outlines of the segmented cells, in the colour of their population; "
    "cells called dead in the frame are outlined in the colour of death. "
    "Channels are shown on one scale for all frames, cut at percentiles; display only.",
    "Frames of the film with outlines around the segmented cells.",
)
TRACKS = (
    "Tracks, deaths and kills",
    "Chosen frames with the path of each cell over the preceding frames. A cross marks a target "
    "that died, from its death on; a dashed line joins it to the effector the death is attributed "
    "to.",
    "Frames of the film with cell paths, crosses on dead targets and lines to their killers.",
)
