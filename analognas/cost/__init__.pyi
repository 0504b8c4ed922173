from .model import (
    CHIPS as CHIPS,
    Chip as Chip,
    chip_from_peak as chip_from_peak,
    hardware_cost as hardware_cost,
    layer_costs as layer_costs,
)
from .networks import model_cost as model_cost
