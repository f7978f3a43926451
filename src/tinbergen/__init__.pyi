from . import actions as actions
from . import beast as beast
from . import crossanimal as crossanimal
from . import encoding as encoding
from . import metrics as metrics
from . import nn as nn
from . import population as population
from . import pose as pose
from . import recordings as recordings
from . import report as report
from . import simulation as simulation
from . import statespace as statespace
from . import study as study
from . import training as training
from .encoding import decode as decode
from .encoding import encode as encode
from .recordings import Dataset as Dataset
from .recordings import Keypoints as Keypoints
from .recordings import Labels as Labels
from .recordings import Recording as Recording
from .recordings import Series as Series
from .recordings import Spikes as Spikes
from .recordings import Trials as Trials
from .recordings import Video as Video
from .simulation import simulate as simulate

__version__: str
