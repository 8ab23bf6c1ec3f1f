"""Algorithms of the segmentation stage; YAML names them by class name."""
