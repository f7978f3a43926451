"""Recordings: one clock in seconds, many streams, and a reader for each file of the field."""

from tinbergen._lazy import lazy_exports

_MODULES = {
    "dataset": ("Dataset",),
    "deeplabcut": ("read_dlc_csv", "read_dlc_h5", "write_dlc_csv"),
    "frames": ("FrameBatch", "FrameSource", "FrameStatus", "VideoCheck"),
    "images": ("ImageFolder",),
    "keypoints": ("Keypoints",),
    "labelled_frames": ("LabelledFrames", "read_labelled_frames", "write_labelled_frames"),
    "lightning_pose": ("read_lightning_pose_csv",),
    "recording": ("Recording",),
    "sidecar": ("read_times",),
    "video": ("Video", "find_videos"),
}
_EXPORTS = {
    name: f"tinbergen.recordings.{module}" for module, names in _MODULES.items() for name in names
}

__all__ = sorted(_EXPORTS)  # noqa: PLE0605

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
