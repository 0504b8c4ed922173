from .config_space import ConfigSpace as ConfigSpace
from .families import (
    CellFamily as CellFamily,
    FunctionFamily as FunctionFamily,
    NetworkFamily as NetworkFamily,
    ResNetFamily as ResNetFamily,
    register_family as register_family,
)
from .hyperparameter import Hyperparameter as Hyperparameter
from .nasbench201 import NASBench201Space as NASBench201Space
from .resnet_macro_architecture import Network as Network, ResidualBlock as ResidualBlock
from .sample import latin_hypercube as latin_hypercube, sample_distinct as sample_distinct
