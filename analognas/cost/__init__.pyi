from .model import (
    CHIPS as CHIPS,
    Chip as Chip,
    hardware_cost as hardware_cost,
    layer_costs as layer_costs,
)
from .networks import model_cost as model_cost
