"""``kedro cyto new``: from a folder of films to an environment that runs."""
