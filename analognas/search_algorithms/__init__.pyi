from .base import (
    AskTellSearch as AskTellSearch,
    Optimizer as Optimizer,
    SearchResult as SearchResult,
    initial_population as initial_population,
)
from .bo import BOptimizer as BOptimizer
from .constraints import Constraints as Constraints
from .ea import LocalSearch as LocalSearch, RegularizedEvolution as RegularizedEvolution
from .ea_optimized import EAOptimizer as EAOptimizer
from .halving import (
    MultiFidelityEvaluator as MultiFidelityEvaluator,
    SuccessiveHalving as SuccessiveHalving,
)
from .history import History as History, Trial as Trial
from .mobo import MultiObjectiveBOptimizer as MultiObjectiveBOptimizer
from .optuna_sampler import OptunaOptimizer as OptunaOptimizer
from .pareto import NSGA2 as NSGA2, pareto_front as pareto_front
from .placement import search_placement as search_placement
from .predictor_guided import PredictorGuided as PredictorGuided
from .random_search import RandomSearch as RandomSearch
from .registry import OPTIMIZERS as OPTIMIZERS
from .worker import Worker as Worker
