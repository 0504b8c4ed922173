from .base import Dataset as Dataset
from .images import load_folder as load_folder
from .load import load_dataset as load_dataset
