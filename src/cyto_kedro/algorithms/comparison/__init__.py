"""Algorithms of the comparison stage; YAML names them by class name."""
