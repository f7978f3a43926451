"""Videos as the network of a run sees them."""

from __future__ import annotations

from collections.abc import Sequence

from tinbergen.errors import DataError
from tinbergen.pose.config import PoseConfig
from tinbergen.recordings import FrameSource

_ASPECT = 0.03  # share by which the aspect of a video may differ from that of the labels


def view_as_labels(
    video: FrameSource,
    config: PoseConfig,
    label_size: Sequence[int] | None,
    *,
    any_size: bool = False,
    otherwise: str = "To predict all the same: --any-size (any_size=True).",
) -> FrameSource:
    """Return the video cut, scaled and padded like the labelled images.

    Parameters
    ----------
    label_size
        ``(height, width)`` of the labelled images, px, where known.
    any_size
        Take frames of another aspect too.
    otherwise
        What to do about frames of another aspect, for the message.

    Raises
    ------
    DataError
        If its frames have another aspect than the labelled images (unless ``any_size``).
    """
    if video.follow is not None:
        raise DataError(
            f"{video.path}: expected whole frames, found a window that follows the animal. "
            "Leave 'follow' out of the dataset for predicting."
        )
    height, width = video.height, video.width
    if label_size is not None and not any_size:
        aspect = (width / height) / (label_size[1] / label_size[0])
        roi_fits = config.roi is None or [height, width] == list(label_size)
        if abs(aspect - 1) > _ASPECT or not roi_fits:
            raise DataError(
                f"{video.path}: expected frames like the labelled images, {label_size[1]} x "
                f"{label_size[0]} px, found {width} x {height} px. Is it of the same camera, "
                f"uncropped? {otherwise}"
            )
    roi = config.roi or video.roi
    if config.roi and video.roi:  # a region of the region
        x, y, width, height = config.roi
        roi = (x + video.roi[0], y + video.roi[1], width, height)
    return video.view(gray=config.channels == 1, size=config.size, keep_aspect=True, roi=roi)
