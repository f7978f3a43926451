"""Prediction: whole videos in, keypoints on their own frame times out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tinbergen.errors import DataError, OutputError, TinbergenError, WeightsError
from tinbergen.files import ensure_output_folder, weights_hash, write_json
from tinbergen.nn.backgrounds import load_backgrounds
from tinbergen.pose.backgrounds import still_backgrounds
from tinbergen.pose.config import PoseConfig, stored_config
from tinbergen.pose.context import with_context
from tinbergen.pose.labels import LabelledImages
from tinbergen.pose.locating import Located, locate, make_model
from tinbergen.pose.model import quick
from tinbergen.pose.viewing import view_as_labels
from tinbergen.progress import Progress
from tinbergen.recordings import Dataset, FrameSource, Keypoints, read_dlc_csv, write_dlc_csv
from tinbergen.recordings.background import video_background
from tinbergen.recordings.keypoint_table import write_keypoint_table
from tinbergen.recordings.reading_ahead import decode_ahead
from tinbergen.recordings.usable import named_videos, say_left_out, usable
from tinbergen.training import RunFolder, TrainConfig
from tinbergen.training.device import choose_hardware
from tinbergen.training.heap import heap_kept

Data = Dataset | str | os.PathLike | Iterable[str | os.PathLike]


def _misfit(model: torch.nn.Module, weights: dict[str, Tensor]) -> str:
    """Load weights; say which do not fit, or nothing."""
    try:
        found = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # other shapes
        return str(error)
    odd = sorted([*found.missing_keys, *found.unexpected_keys])
    return f"not in both: {len(odd)}, such as {', '.join(odd[:3])}" if odd else ""


class Predictor:
    """The network of a finished pose run, as a function of frames.

    Parameters
    ----------
    run
        A finished run folder.
    device, precision
        As :class:`~tinbergen.training.TrainConfig` has them.

    Raises
    ------
    MissingFileError
        If there is no finished run.
    WeightsError
        If its weights are damaged, or those of another network.
    DeviceError
        If this machine lacks the device or the precision.
    """

    def __init__(
        self, run: RunFolder | str | os.PathLike, *, device: str = "auto", precision: str = "auto"
    ):
        self.run = run if isinstance(run, RunFolder) else RunFolder.open(run)
        self.config: PoseConfig = stored_config(self.run.config)
        hardware = choose_hardware(TrainConfig(device=device, precision=precision))  # type: ignore[arg-type]
        self.device = torch.device(hardware.device)
        self.precision = hardware.precision
        model = make_model(self.config)
        misfit = _misfit(model, self.run.load_weights())
        if misfit:
            raise WeightsError(
                f"{self.run.weights_path}: expected the weights of the network that the run's "
                f"config.yaml describes, found those of another one ({misfit}). Was it made by "
                "another version of Tinbergen? Predict with that one, or train anew."
            )
        self.model = quick(model).to(self.device)

    def view(self, video: FrameSource, *, any_size: bool = False) -> FrameSource:
        """Return the video as the network sees it.

        Raises
        ------
        DataError
            If its frames have another aspect than the labelled images (unless ``any_size``).
        """
        label_size = self.run.status.get("label_size")
        return view_as_labels(video, self.config, label_size, any_size=any_size)

    @torch.inference_mode()
    def frames(self, frames: np.ndarray, background: Tensor | None = None) -> Located:
        """Predict on frames at the network's size; positions are px of what the network sees.

        Parameters
        ----------
        frames
            ``(n, height, width, channels)`` uint8, with neighbours.
        background
            ``(1, height, width, channels)`` uint8, where the encoder needs it.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device)
        kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        with torch.autocast(self.device.type, kind, enabled=kind is not None):
            return locate(self.model, pixels, background)

    def video(
        self, video: FrameSource, *, batch_size: int = 16, any_size: bool = False
    ) -> Keypoints:
        """Predict on every frame of a video; a thread decodes ahead.

        See :meth:`video_and_hidden` for what is hidden from view.

        Returns
        -------
        Keypoints
            On the video's own frame times, px of its own frames; NaN where a frame could not be
            decoded.

        Raises
        ------
        DataError
            If the video has another aspect than the labels, or no frame can be decoded.
        """
        return self.video_and_hidden(video, batch_size=batch_size, any_size=any_size)[0]

    def video_and_hidden(
        self, video: FrameSource, *, batch_size: int = 16, any_size: bool = False
    ) -> tuple[Keypoints, np.ndarray | None]:
        """Predict as :meth:`video` does, and say what is hidden.

        Returns
        -------
        Keypoints
            See :meth:`video`.
        hidden : ``(time, individual, keypoint)``
            Probability that a keypoint is hidden from view, NaN where a frame could not be
            decoded; None where the run has not learned it.
        """
        view = self.view(video, any_size=any_size)
        config, n = self.config, len(view)
        background = self._background(view)
        positions = np.full((n, config.n_maps, 2), np.nan)
        confidence, hidden = np.full((2, n, config.n_maps), np.nan)
        keeping = heap_kept(self.device.type == "cpu")
        with keeping, Progress(n, f"predicting {video.name}", "frames") as progress:
            batches = decode_ahead(view, 0, batch_size)
            for indices, ok, frames in with_context(batches, config.context):
                if ok.any():
                    rows = indices[ok]
                    found = self.frames(frames[ok], background)
                    # By way of the file's px to those of the frames that were handed in.
                    in_file = view.geometry.to_source(found.positions)
                    positions[rows] = video.geometry.to_output(in_file)
                    confidence[rows] = found.confidences
                    if found.hidden is not None:
                        hidden[rows] = found.hidden
                progress.advance(len(indices))
        if not np.isfinite(confidence).any():
            raise DataError(f"{video.path}: not one of {n} frames can be decoded.")
        shape = (n, len(config.individuals), len(config.keypoints))
        keypoints = Keypoints(
            times=view.times,
            positions=positions.reshape(*shape, 2),
            confidence=confidence.reshape(shape),
            keypoints=config.keypoints,
            individuals=config.individuals,
        )
        return keypoints, hidden.reshape(shape) if config.hidden else None

    def still_backgrounds(self, images: LabelledImages) -> np.ndarray | None:
        """Background of each labelled image, ``(n, height, width, C)``; None if none is needed."""
        return still_backgrounds(images, load_backgrounds(self.run.path))

    def _background(self, view: FrameSource) -> Tensor | None:
        if not self.config.residual:
            return None
        background = video_background(view)
        if background is None:
            raise DataError(
                f"{view.path}: too few sound frames for the mean image that this run's backbone "
                "needs; give a longer video."
            )
        return torch.from_numpy(background)[None].to(self.device)


def predict(
    run: RunFolder | str | os.PathLike,
    data: Data,
    out: str | os.PathLike,
    *,
    batch_size: int = 16,
    device: str = "auto",
    precision: str = "auto",
    any_size: bool = False,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> dict[str, Keypoints]:
    """Predict on whole videos and write a DeepLabCut table for each.

    Parameters
    ----------
    run
        A finished pose run.
    data
        A dataset, or videos, folders, a ``dataset.yaml``.
    out
        Folder to write: ``<recording>.csv`` for each (``<recording>/<camera>.csv`` where a
        recording has several), px of the video's own frames, and beside it a ``.json`` that says
        what made it, and a ``.hidden.csv`` with the probability that a keypoint is hidden from
        view, where the run has learned that. Tables that this run made already are kept and read,
        so that a call that was stopped goes on.
    any_size
        Also predict on videos of another aspect than the labels.
    skip_bad
        Leave out videos that cannot be read instead of stopping at them.
    overwrite
        Make finished tables again.

    Returns
    -------
    dict
        Recording (or recording/camera) -> keypoints on the video's own frame times.

    Raises
    ------
    OutputError
        If there is a table that another run, or something else, made (unless ``overwrite``).
    """
    predictor = Predictor(run, device=device, precision=precision)
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    out = ensure_output_folder(out)
    weights = weights_hash(predictor.run.weights_path)

    def look(video: FrameSource) -> tuple[FrameSource, dict]:
        predictor.view(video, any_size=any_size)
        return video, {"weights": weights, "video": str(video.path), "frames": video.n_frames}

    videos, bad = usable(named_videos(dataset), look, "videos", skip_bad)
    say_left_out(bad)
    finished = {
        name
        for name, (_, source) in videos.items()
        if not overwrite and _is_finished(out / f"{name}.csv", source)
    }
    results: dict[str, Keypoints] = {}
    for name, (video, source) in videos.items():
        path = out / f"{name}.csv"
        try:
            if name in finished:
                results[name] = read_dlc_csv(path, video)
                continue
            found, hidden = predictor.video_and_hidden(
                video, batch_size=batch_size, any_size=any_size
            )
        except TinbergenError as error:
            if not skip_bad or isinstance(error, OutputError):
                raise
            print(f"left out: {error}", file=sys.stderr)
            continue
        ensure_output_folder(path.parent)
        write_dlc_csv(path, found, scorer="tinbergen")
        if hidden is not None:
            write_keypoint_table(
                path.with_suffix(".hidden.csv"),
                range(len(hidden)),
                hidden[..., None],
                ("probability",),
                found.individuals,
                found.keypoints,
                "tinbergen",
            )
        write_json(path.with_name(path.name + ".json"), {"run": str(predictor.run.path), **source})
        results[name] = found
    if not results:
        raise DataError("No video is left to predict on. 'tinbergen check' looks at each.")
    return results


def _is_finished(path: Path, source: dict) -> bool:
    """Whether ``path`` is a table of this run on this video; refuse any other table."""
    if not path.is_file():
        return False
    note = path.with_name(path.name + ".json")
    made = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    if {name: made.get(name) for name in source} == source:
        return True
    raise OutputError(
        f"{path} already exists, and was made by {made.get('run', 'something else')} on "
        f"{made.get('video', 'an unknown video')}. Choose another folder, or --overwrite."
    )
