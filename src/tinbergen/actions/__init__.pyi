from .heuristics import Rule as Rule
from .heuristics import label_by_rules as label_by_rules
from .heuristics import normalise as normalise
from .thinning import ThinLabels as ThinLabels
from .thinning import thin_labels as thin_labels
