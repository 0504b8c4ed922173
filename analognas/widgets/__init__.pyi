from .architecture_view import explore_space as explore_space
from .base import Panel as Panel, PanelOutput as PanelOutput
from .compare import Compare as Compare
from .drift_explorer import DriftExplorer as DriftExplorer, explore_drift as explore_drift
from .mapping_explorer import (
    MappingExplorer as MappingExplorer,
    explore_mapping as explore_mapping,
)
from .run_view import show_run as show_run
from .search_dashboard import SearchDashboard as SearchDashboard
from .space_explorer import SpaceExplorer as SpaceExplorer
