"""Algorithms of the tracking stage; YAML names them by class name."""
