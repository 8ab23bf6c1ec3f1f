"""Algorithms of the contacts stage; YAML names them by class name."""
