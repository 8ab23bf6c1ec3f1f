"""Algorithms of the reporting stage; YAML names them by class name."""
