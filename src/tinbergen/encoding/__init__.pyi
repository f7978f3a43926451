from .bilinear import BilinearRRR as BilinearRRR
from .design import raised_cosine_basis as raised_cosine_basis
from .reduced_rank import ReducedRank as ReducedRank
from .ridge import Ridge as Ridge
