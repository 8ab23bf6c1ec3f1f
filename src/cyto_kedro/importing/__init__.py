"""``kedro cyto import``: masks and tracks of other programs become corrections of ours."""
