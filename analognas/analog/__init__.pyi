from .calibration import calibrate_input_ranges as calibrate_input_ranges
from .characterize import (
    conductance_data as conductance_data,
    device_drift_data as device_drift_data,
    noise_data as noise_data,
    range_data as range_data,
)
from .convert import (
    digital_state_dict as digital_state_dict,
    from_aihwkit as from_aihwkit,
    to_aihwkit as to_aihwkit,
    to_analog as to_analog,
)
from .hardware import create_rpu_config as create_rpu_config
from .layers import (
    AnalogConv2d as AnalogConv2d,
    AnalogLayer as AnalogLayer,
    AnalogLinear as AnalogLinear,
)
from .measure import (
    accuracy as accuracy,
    eval_mode as eval_mode,
    evaluate as evaluate,
    measure_drift as measure_drift,
)
from .metrics import Metric as Metric
from .noise import torch_seed as torch_seed
from .placing import place as place
from .programming import (
    analog_layers as analog_layers,
    drift as drift,
    program as program,
    reset_programming as reset_programming,
)
from .report import conversion_report as conversion_report
from .sensitivity import digital_layers as digital_layers, layer_sensitivity as layer_sensitivity
