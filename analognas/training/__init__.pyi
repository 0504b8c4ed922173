from .augment import Augment as Augment
from .label_store import LabelStore as LabelStore
from .labels import (
    LabelSet as LabelSet,
    concat_label_sets as concat_label_sets,
    load_label_set as load_label_set,
    save_label_set as save_label_set,
)
from .plans import CollectionPlan as CollectionPlan
from .protocol import (
    Measurement as Measurement,
    Protocol as Protocol,
    train_and_measure as train_and_measure,
    train_digital as train_digital,
    train_hardware_aware as train_hardware_aware,
)
from .zero_cost import zero_cost_proxies as zero_cost_proxies
