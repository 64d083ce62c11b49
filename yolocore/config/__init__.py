"""The config tree: every setting of every mode, typed, bounded and described once."""

from yolocore.config.base import Section, canonical_json, option
from yolocore.config.tree import (
    MODES,
    BenchmarkConfig,
    DeployConfig,
    ExportConfig,
    GateConfig,
    IngestConfig,
    PipelineConfig,
    PredictConfig,
    TrackConfig,
    TrainConfig,
    Tree,
    TuneConfig,
    ValConfig,
    explain,
    load_tree,
    section_class,
)

__all__ = [
    "MODES",
    "BenchmarkConfig",
    "DeployConfig",
    "ExportConfig",
    "GateConfig",
    "IngestConfig",
    "PipelineConfig",
    "PredictConfig",
    "Section",
    "TrackConfig",
    "TrainConfig",
    "Tree",
    "TuneConfig",
    "ValConfig",
    "canonical_json",
    "explain",
    "load_tree",
    "option",
    "section_class",
]
