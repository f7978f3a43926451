"""Recordings: one clock in seconds, many streams, and a reader for each file of the field."""

from tinbergen._lazy import lazy_exports

_MODULES = {
    "check": ("CheckRow", "check_dataset"),
    "dataset": ("Dataset",),
    "deeplabcut": ("read_dlc_csv", "read_dlc_h5", "write_dlc_csv"),
    "frames": ("FrameBatch", "FrameSource", "FrameStatus", "VideoCheck"),
    "images": ("ArrayVideo", "ImageFolder"),
    "intervals": ("Bins", "Intervals", "nearest"),
    "keypoints": ("Keypoints",),
    "labelled_frames": ("LabelledFrames", "read_labelled_frames", "write_labelled_frames"),
    "labels": ("UNLABELLED", "Labels", "read_labels"),
    "lightning_pose": ("read_lightning_pose_csv",),
    "recording": ("Binned", "Recording"),
    "series": ("Series", "read_series"),
    "sidecar": ("read_times",),
    "spikes": ("Spikes", "read_spikes"),
    "splits": ("Split", "split_by_recording", "split_by_time_blocks", "split_by_trials"),
    "trials": ("Trials", "read_trials"),
    "video": ("Video", "find_videos"),
}
_EXPORTS = {
    name: f"tinbergen.recordings.{module}" for module, names in _MODULES.items() for name in names
}

__all__ = sorted(_EXPORTS)  # noqa: PLE0605

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
