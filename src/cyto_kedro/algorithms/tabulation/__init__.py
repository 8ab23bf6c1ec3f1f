"""Algorithms of the tabulation stage; YAML names them by class name."""
