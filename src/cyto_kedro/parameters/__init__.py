"""The parameters of each pipeline as typed models, which Kedro validates before a run.

Each model stands for one block of ``parameters*.yml``. What one block cannot know of another (does
segmentation name exactly the declared populations?) is checked by `check_together`, also before
anything runs.
"""

from cyto_kedro.parameters.assay import Assay, Population, Raw, Role
from cyto_kedro.parameters.base import Strict
from cyto_kedro.parameters.blocks import (
    MODELS,
    ByPopulation,
    CellClasses,
    Comparison,
    Contacts,
    Films,
    Networks,
    Preprocessing,
    Reporting,
    Segmentation,
    Simulation,
    Subtraction,
    Tabulation,
    Tracking,
    Training,
)
from cyto_kedro.parameters.specs import (
    ClassTrainingSpec,
    ColumnSteps,
    ColumnStepSpec,
    ComparisonSpec,
    ContactsSpec,
    LabelStepSpec,
    NetworksSpec,
    PreprocessingSpec,
    ReportingSpec,
    SegmentationSpec,
    SimulationSpec,
    Stepped,
    TabulationSpec,
    TrackingSpec,
    TrackStepSpec,
    TrainingSpec,
)
from cyto_kedro.parameters.together import check_together, given_in

__all__ = [
    "MODELS",
    "Assay",
    "ByPopulation",
    "CellClasses",
    "ClassTrainingSpec",
    "ColumnStepSpec",
    "ColumnSteps",
    "Comparison",
    "ComparisonSpec",
    "Contacts",
    "ContactsSpec",
    "Films",
    "LabelStepSpec",
    "Networks",
    "NetworksSpec",
    "Population",
    "Preprocessing",
    "PreprocessingSpec",
    "Raw",
    "Reporting",
    "ReportingSpec",
    "Role",
    "Segmentation",
    "SegmentationSpec",
    "Simulation",
    "SimulationSpec",
    "Stepped",
    "Strict",
    "Subtraction",
    "Tabulation",
    "TabulationSpec",
    "TrackStepSpec",
    "Tracking",
    "TrackingSpec",
    "Training",
    "TrainingSpec",
    "check_together",
    "given_in",
]
