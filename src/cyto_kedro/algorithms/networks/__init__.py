"""Algorithms of the networks stage; YAML names them by class name."""
