"""Every setting of a training, its range, and which settings apply with which others.

`settings` holds them and their help, `checks` the ranges and rules, `recipes` reads and writes them.
"""

from digitspot.config.checks import check_config, drop_unused, parse_size
from digitspot.config.recipes import (
    check_named,
    config_from_dict,
    config_to_dict,
    config_to_yaml,
    find_recipe,
    known_recipes,
    load_recipe,
    load_yaml,
    nearest_setting,
    not_yaml,
    settings_named_by,
    settings_named_in,
)
from digitspot.config.settings import (
    AugmentConfig,
    Config,
    DataConfig,
    InputConfig,
    ModelConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainConfig,
)

__all__ = [
    "AugmentConfig",
    "Config",
    "DataConfig",
    "InputConfig",
    "ModelConfig",
    "OptimizerConfig",
    "ScheduleConfig",
    "TrainConfig",
    "check_config",
    "check_named",
    "config_from_dict",
    "config_to_dict",
    "config_to_yaml",
    "drop_unused",
    "find_recipe",
    "known_recipes",
    "load_recipe",
    "load_yaml",
    "nearest_setting",
    "not_yaml",
    "parse_size",
    "settings_named_by",
    "settings_named_in",
]
