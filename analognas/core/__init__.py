"""Records, units, errors, seeds and files that all packages share. Needs neither torch nor aihwkit."""

from .deprecated import renamed, renamed_arguments, warn_renamed
from .errors import (
    AnalogNASError,
    ConfigError,
    FileFormatError,
    InfeasibleError,
    MissingExtraError,
    check_choice,
    check_number,
    import_optional,
)
from .files import cache_dir, read_json, write_atomic, write_json
from .hardware import (
    DRIFT_COMPENSATION,
    G_MAX_LIMIT,
    G_MIN,
    IDEAL_BITS,
    PRESETS,
    HardwareConfig,
)
from .placement import Placement
from .processes import pid_exists, process_realm, process_start
from .protocol import Protocol
from .records import (
    DATASETS,
    DAY,
    DRIFT_TIMES,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    DatasetInfo,
    DriftRecord,
    check_times,
    dataset_info,
    format_time,
)
from .seeds import as_rng, spawn_seeds
from .task_file import StoreUnavailableError

__getattr__ = renamed(
    __name__,
    {
        "child_seeds": "spawn_seeds",
        "load_extra": "import_optional",
        "process_alive": "pid_exists",
    },
)

__all__ = [
    "DATASETS",
    "DAY",
    "DRIFT_TIMES",
    "MONTH",
    "PRESETS",
    "SECOND",
    "AnalogNASError",
    "ConfigError",
    "DatasetInfo",
    "DriftRecord",
    "FileFormatError",
    "HardwareConfig",
    "InfeasibleError",
    "MissingExtraError",
    "Placement",
    "Protocol",
    "StoreUnavailableError",
    "as_rng",
    "check_choice",
    "check_number",
    "dataset_info",
    "format_time",
    "spawn_seeds",
]
