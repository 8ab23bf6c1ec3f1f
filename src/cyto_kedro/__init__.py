"""cyto_kedro: from films of cells killing cells to tables, graphs, pictures and a report."""

__version__ = "0.1.0"
