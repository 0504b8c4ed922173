from .base_evaluator import (
    Evaluator as Evaluator,
    ParamsEvaluator as ParamsEvaluator,
    Prediction as Prediction,
    Predictions as Predictions,
    kendall_tau as kendall_tau,
)
from .measured import FAST_PROTOCOL as FAST_PROTOCOL, MeasuredEvaluator as MeasuredEvaluator
from .mlp import MLPEvaluator as MLPEvaluator
from .surrogate import (
    DatasetMismatchWarning as DatasetMismatchWarning,
    SurrogateEvaluator as SurrogateEvaluator,
)
from .table import TableEvaluator as TableEvaluator, nasbench201_labels as nasbench201_labels
from .xgboost import XGBoostEvaluator as XGBoostEvaluator
