"""Configuration: typed sections, YAML recipes and profiles, where each value came from, the grammar of units."""

from oneshot_rlvr.config.resolve import build, flatten, names, resolve, valid_keys
from oneshot_rlvr.config.sections import (
    AlgorithmSection,
    Config,
    ModelSection,
    OptimizerSection,
    SamplingSection,
    SpeedSection,
)
from oneshot_rlvr.config.spec import Registry, Unit, parse

__all__ = [
    "AlgorithmSection",
    "Config",
    "ModelSection",
    "OptimizerSection",
    "Registry",
    "SamplingSection",
    "SpeedSection",
    "Unit",
    "build",
    "flatten",
    "names",
    "parse",
    "resolve",
    "valid_keys",
]
