"""Algorithms of the preprocessing stage; YAML names them by class name."""
