"""Algorithms of the simulation stage; YAML names them by class name."""
