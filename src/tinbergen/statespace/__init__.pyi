from .chains import ChainPosterior as ChainPosterior
from .chains import forward_backward as forward_backward
from .chains import viterbi as viterbi
from .gaussian import GaussianChain as GaussianChain
from .gaussian import smooth as smooth
