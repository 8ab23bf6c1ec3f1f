"""Which process this is: `cyto_kedro.process`, where leases and runs look for it."""

from cyto_kedro.process import alive, is_here, whoami

__all__ = ["alive", "is_here", "whoami"]
