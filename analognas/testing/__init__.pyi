from .evaluators import (
    EvaluatorConformance as EvaluatorConformance,
    check_evaluator as check_evaluator,
)
from .fakes import (
    FailingEvaluator as FailingEvaluator,
    FunctionEvaluator as FunctionEvaluator,
    GatedEvaluator as GatedEvaluator,
    RecordingEvaluator as RecordingEvaluator,
)
from .layers import (
    LayerConformance as LayerConformance,
    check_layer as check_layer,
)
from .optimizers import (
    OptimizerConformance as OptimizerConformance,
    check_optimizer as check_optimizer,
)
