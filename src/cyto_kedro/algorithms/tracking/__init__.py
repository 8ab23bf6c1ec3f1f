"""Algorithms of the tracking stage; YAML names them by class name."""

from cyto_kedro.core.lazy import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "btrack": ("BTrack",),
        "common": ("Detections", "Linker", "tracks_of"),
        "divisions": ("CallDivisions",),
        "lap": ("LAP",),
        "overlap": ("Overlap",),
        "quality": ("TrackQuality",),
        "steps": ("InterpolateGaps", "JoinFragments", "MinimumLength", "RemoveStill", "TrackStep"),
        "trackastra": ("Trackastra",),
        "trackpy": ("TrackPy",),
    },
)
