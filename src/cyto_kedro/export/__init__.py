"""``kedro cyto export``: results in the formats of other programs."""
