"Names of release 0.1.0 work, with a warning that has the new one."

import importlib
import subprocess
import sys

import pytest
from torch import nn

from analognas.analog.convert import to_analog
from analognas.analog.programming import program

RENAMED = {
    "analog.compiled": {"forget_scratch": "free_workspace", "by_loop": "has_cpu_kernel"},
    "analog.converters": {
        "Converters": "ConverterConfig",
        "Reading": "ADCOutput",
        "volts": "normalize_input",
        "top_level": "max_dac_level",
        "code_type": "adc_code_dtype",
        "read_out_": "apply_adc_",
    },
    "analog.convert": {
        "digital_state": "digital_state_dict",
        "why_not_fast": "unsupported_feature",
    },
    "analog.measure": {"fitting_batch": "auto_batch_size"},
    "analog.mvm": {"product": "analog_mvm", "AnalogProduct": "AnalogMVM"},
    "analog.programming": {"Devices": "DeviceArray", "unprogram": "reset_programming"},
}
CASES = [(m, old, new) for m, names in RENAMED.items() for old, new in names.items()]


@pytest.mark.parametrize("module, old, new", CASES)
def test_old_name_is_the_new_one(module, old, new):
    found = importlib.import_module(f"analognas.{module}")
    with pytest.warns(DeprecationWarning, match=f"{old} is now .*{new}"):
        assert getattr(found, old) is getattr(found, new)


def test_module_product_is_mvm():
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from analognas.analog.product import AnalogProduct, ConvOp, product\n"
        "from analognas.analog import mvm, operations\n"
        "print(product is mvm.analog_mvm, ConvOp is operations.ConvOp)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "True"]


def test_hardware_of_a_layer_is_tile_states():
    layer = to_analog(nn.Linear(3, 2))
    program(layer)
    with pytest.warns(DeprecationWarning, match="tile_states"):
        assert layer.hardware is layer.tile_states
