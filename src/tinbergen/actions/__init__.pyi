from .registry import SEGMENTERS as SEGMENTERS
from .registry import segmenter_class as segmenter_class
from .scaling import Scaler as Scaler
from .segmenter import Segmenter as Segmenter
