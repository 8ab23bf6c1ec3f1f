"""The floor under all stages: contracts, keys of a cell, units, the clock, the film.

Each module is small, pure and knows no stage; every stage stands on it.
"""
