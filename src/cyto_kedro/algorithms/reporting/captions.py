"""The words beside each figure: (title, caption, text for who cannot see it)."""

from __future__ import annotations

FIGURES: dict[str, tuple[str, str, str]] = {
    "primary": (
        "Primary outcome",
        "Left: a dot is a replicate (small: its wells, where a donor has several), the bar their mean; "
        "thin lines join what is one experiment (a "
        "donor) in several conditions. Right: differences of the replicates' means with 95 % intervals, "
        "the largest first, p by the test named below, corrected by Holm. Pairs with an effector-free "
        "control are not shown here. Point at a mark for its numbers.",
        "Values of replicates by condition, and differences between conditions with intervals.",
    ),
    "live_targets": (
        "Living targets over time",
        "Living targets in view, in percent of the first frame's; thick: mean of the replicates, thin: "
        "each. Right, where the sample sheet names an effector-free control (et_ratio 0): specific "
        "killing, 100 (1 − treated / control), control of the same dose and donor (or plate) where "
        "there is one. Cells that divide, come or leave count. Point at a line for its numbers.",
        "Curves of living targets in percent of the start, and of specific killing, by condition.",
    ),
    "dose_response": (
        "Dose and effector-to-target ratio",
        "A dot is a replicate at the end of the films; the line is a four-parameter logistic where five "
        "doses or more were given, else it joins means. EC50 with 95 % limits, from the replicates' own "
        "fits where two or more have one. Dose 0 is drawn at the dotted line.",
        "Response over dose and over the ratio of effectors to targets, with fitted curves.",
    ),
    "plates": (
        "Plates",
        "Mean of each well's fields at its place. A gradient over rows or columns, or a rim that "
        "differs, is the plate's doing and no treatment's. Point at a well for its condition and value.",
        "Heat maps of the wells of each plate.",
    ),
    "effects": (
        "Effects of the conditions",
        "Difference of each pair of conditions over its standard deviation between replicates "
        "(Hedges' g), with its 95 % interval; right the difference in the measure's unit with "
        "its 95 % interval, n as cells and replicates, and the corrected p. Bold: the primary "
        "outcome; grey: exploratory; pale: pairs with an effector-free control. An interval "
        "that crosses 0 leaves the direction open. Few replicates make long intervals; one that "
        "goes on outside the axis ends in an arrow.",
        "Points with intervals: the effect of each pair of conditions on each measure, by "
        "replicates.",
    ),
    "kills": (
        "Kills over time",
        "Deaths of targets so far, per 100 targets that were alive in the first frame: left those "
        "attributed to effectors (shares of one death sum to 1), right all that were seen. Deaths "
        "of targets that came later count too, so 100 can be passed. Thick: mean of the replicates of a "
        "condition; thin: each replicate, drawn where there are several. A curve ends with its "
        "shortest film.",
        "Step curves of the cumulative number of kills, and of all deaths, per 100 targets over "
        "time, by condition.",
    ),
    "kills_per_effector": (
        "Kills per effector",
        "Share of all effectors tracked alive that killed none, one, two or more targets. A target "
        "counts for an effector whose share of its death is at least half; where two share it half and "
        "half it counts for both, so victims need not sum to the attributed kills, which are sums of "
        "shares. "
        "The number of effectors stands over the bar, up to four conditions; a dot is a replicate. "
        "A serial killer has two victims or more. An effector that was seen for a short time only had "
        "little time to kill; one whose track broke counts once.",
        "Bars of the percentage of effectors by number of targets killed, by condition.",
    ),
    "target_fates": (
        "Fates of all targets",
        "One line for each target track, in order of death, the survivors last. Grey: seen alive; "
        "thick green: in contact with an effector; black mark: death, put at the first frame that is "
        "called dead; orange: dead and still seen. Targets dead at first sight come after those "
        "that were seen to die. A grey line that ends early is a target that left the view or was "
        "lost. Marks of contacts are widened by 0.2 % of the axis, so that a single frame shows.",
        "One horizontal line per target over time with its contacts and its death, by condition.",
    ),
    "survival": (
        "Survival of targets",
        "Kaplan-Meier estimate of the share of target cells still alive, by condition. Thick: all "
        "cells of the condition, with the 95 % confidence band (Greenwood, log-log); thin: each "
        "replicate. Cells count as at risk from when they were first seen (delayed entry) until "
        "death, or until they left the view or the film ended (censored); cells dead at first sight "
        "are left out, and so are cells seen in one frame only: n may be less than the living targets "
        "of the answer. The band takes cells to be independent, which cells of one well are not, so "
        "it is too narrow: compare replicates. For that reason no p-value over pooled cells is given. A "
        "curve ends where fewer than three are at risk.",
        "Step curves of the percentage of target cells alive over time, one per condition, with "
        "the number at risk below.",
    ),
    "contact_durations": (
        "Contact durations",
        "Share of contacts between an effector and a target that last longer than the time shown "
        "(Kaplan-Meier, 95 % band; thin: each replicate). Contacts still going when last seen are "
        "censored; contacts already under way when first seen are left out, since how long they "
        "had lasted is unknown. The band takes contacts to be independent, so it is too narrow. A curve "
        "ends where fewer than three are at risk.",
        "Step curves of the percentage of contacts still lasting over time, by condition, with the "
        "number at risk below.",
    ),
    "speed_around_contact": (
        "Speed around contact and death",
        "Mean speed of the same cells before and after a moment (dashed line): left the start of a "
        "contact with a cell of the other role, of cells that were in none; right the death of the "
        "target, for the target itself and for the effector that at least half of it is attributed to. "
        "Thick: mean over all such moments of a condition; band: ± 1.96 standard errors, moments "
        "taken as independent, so too narrow; thin: each replicate, where there are several. A cell "
        "may come into contact several times. The number of moments falls away from zero, since "
        "cells come and go; times with fewer than 3 are not drawn.",
        "Curves of the mean speed of effectors and of targets against the time from contact and "
        "from death, by condition.",
    ),
    "speeds": (
        "Speeds",
        "Mean speed of each track (small dots; n), mean of each replicate (large dots) and mean of "
        "the replicates (bar), by population and condition. The replicates are the independent units.",
        "Dots of the mean speed of each track and each replicate, by population and condition.",
    ),
    "msd": (
        "Mean squared displacement",
        "How far cells get in a time: squared displacement, averaged over all pairs of positions of "
        "a field that are a lag apart. Thin: each field; thick: mean of the fields of a condition, "
        "each counting once, over the lags that all of them have. Dotted: slope 1, a random walk, "
        "and slope 2, motion straight ahead. No band is drawn: pairs overlap. Errors of positions "
        "lift the curve at short lags.",
        "Curves of mean squared displacement over lag on logarithmic axes, by population and "
        "condition.",
    ),
    "directions": (
        "Directions of steps",
        "Share of the steps in each of 16 directions, as in the picture of the film; the area of a "
        "sector is proportional to the share. Dashed: all directions alike. R is the length of the "
        "mean direction, 0 without a common direction, 1 where all steps go one way. A common "
        "direction of all populations is drift of the stage or flow, not the cells' doing. Steps of "
        "one cell are not independent, so no test is given.",
        "Rose plots of the directions of steps, by population and condition.",
    ),
    "further": (
        "Further analyses",
        "Thin: each field; thick: mean of the fields of a condition, each counting once, over what all "
        "of them have. Persistence: mean product of a cell's velocities a lag apart, over its value at "
        "lag 0. Dead cells, effectors and targets in contact: of the cells seen in a frame. Density: "
        "cells of the second population around a cell of the first. Ripley's L less the radius: 0 where "
        "positions are random, above where cells of the two lie closer together; mean over the frames. "
        "Spread and mixed: entropies over boxes of the field; 1 even, 0 all in one box, or apart. "
        "Cells of one field are not independent, so no band is drawn.",
        "Curves of persistence, dead cells, cells in contact, clusters, density, Ripley's L, spread and "
        "mixing, by condition.",
    ),
    "events": (
        "Signals around events",
        "Mean of a column over the tracks that have the event, by the time from it; thin: each "
        "replicate, thick: mean of the replicates, each counting once, with its 95 % interval. Contact: "
        "a cell's first with the other role; kill: an effector's first victim; others as the parameters "
        "define them.",
        "Curves of columns before and after events, by condition and replicate.",
    ),
    "event_curves": (
        "When events come",
        "Share of the tracks that have not had the event yet (Kaplan-Meier, from the film's "
        "start, tracks entering when first seen; one that has had it when first seen is left "
        "out). Thick: the condition, with its 95 % band by replicates; thin: each replicate. "
        "Steps at which fewer than ten tracks are watched are paler; a curve ends where fewer than "
        "three are.",
        "Step curves of the share of tracks without an event over time, by condition.",
    ),
    "behaviours": (
        "Kinds of behaviour",
        "Windows of tracks in classes that a mixture of Gaussians finds; class 1 is the slowest. Left: "
        "each window by its first two principal components (or UMAP), at most 4000 of them. Middle: "
        "what a class is like, in robust standard deviations from the median of all windows. Right: how "
        "much of its time a cell is in each class; a point is a replicate, a bar a condition's mean.",
        "Points of windows coloured by class, a grid of the classes' measures, and the classes' shares "
        "by condition.",
    ),
    "networks": (
        "Networks of cells",
        "The first field of each condition in its first, middle and last frame: cells in their place "
        "in the film, by population; crosses are dead. Dark lines join cells in contact, light ones "
        "neighbours (Delaunay triangulation). At most six conditions are shown.",
        "Maps of cells with lines between those in contact and those that are neighbours, early, "
        "midway and late in the film.",
    ),
    "quality": (
        "Quality of the films",
        "Of the raw images, per channel and frame: mean intensity; focus (variance of the Laplacian "
        "over the squared mean; higher is sharper); share of saturated pixels. A line is a field, in "
        "the colour of its condition where there are many; point at it for its name.",
        "Lines of mean intensity, focus and saturation over the frames, for each channel and field.",
    ),
}
SEGMENTATION = (
    "Segmentation",
    "Chosen frames with the outlines of the segmented cells, in the colour of their population; "
    "cells called dead in the frame are outlined in the colour of death. "
    "Channels are shown on one scale for all frames, cut at percentiles, or well above the noise "
    "where nothing is brighter; display only.",
    "Frames of the film with outlines around the segmented cells.",
)
TRACKS = (
    "Tracks, deaths and kills",
    "Chosen frames with the path of each cell over the preceding frames. A cross marks a target "
    "that died, from its death on; a dashed line joins it to the effector the death is attributed "
    "to.",
    "Frames of the film with cell paths, crosses on dead targets and lines to their killers.",
)
FILM = (
    "Film",
    "Four frames of the film beside this picture: outlines of cells in the colour of their population, "
    "paths over the preceding frames, contacts as white lines, a cross on each target that died, a "
    "dashed line to the effector its death is attributed to.",
    "Four frames of a film with outlines, cell paths, contacts and deaths.",
)
