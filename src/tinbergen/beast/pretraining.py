"""Pretraining: a folder of an experiment's videos in, a run folder out."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinbergen.beast.cache import LEFT_OUT, CacheConfig, FrameCache, cache_key, fingerprint
from tinbergen.beast.cache_build import build_cache, readable_videos
from tinbergen.beast.config import BeastConfig, Preset, Size, beast_config, resumed_config
from tinbergen.beast.selection import Selection
from tinbergen.configuration import merge
from tinbergen.errors import DataError, OutputError
from tinbergen.files import ensure_output_folder
from tinbergen.nn.backgrounds import BACKGROUNDS, save_backgrounds
from tinbergen.recordings import Dataset
from tinbergen.training import RunFolder, fit
from tinbergen.training.device import choose_hardware
from tinbergen.training.outer import outer_rank

if TYPE_CHECKING:
    import pandas as pd

Data = Dataset | str | os.PathLike | Iterable[str | os.PathLike]

_HELD_OUT = 0.05
_LEAST_HELD_OUT = 8
_LEAST_GAP_S = 0.1


def pretrain(
    data: Data,
    out: str | os.PathLike,
    *,
    preset: Preset | None = None,
    size: Size | None = None,
    steps: int | None = None,
    start_from: str | os.PathLike | None = None,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    cache: str | os.PathLike | None = None,
    workers: int = 1,
    skip_bad: bool = False,
    partial: bool = False,
    evaluate: bool = True,
) -> RunFolder:
    """Pretrain a vision transformer on an experiment's videos.

    Chooses frames, caches them, holds the last stretch of every video out for validation, trains,
    and (with ``evaluate``) scores the result; ``tinbergen.report.write_report`` then draws it.

    Parameters
    ----------
    data
        A dataset, or whatever :meth:`tinbergen.Dataset.open` takes: videos, folders, a
        ``dataset.yaml``.
    out
        The run folder to make.
    preset, size, overrides
        See :func:`tinbergen.beast.beast_config`; default: ``tinbergen``. When a run is resumed,
        what is not given is as it was.
    steps
        Optimizer steps; short for ``overrides={"train": {"steps": ...}}``.
    start_from
        A run folder or a weights file to start from instead of from the data: Hugging Face
        ViT-MAE, Meta's MAE, reference BEAST, or our own.
    resume
        Go on with the run at ``out`` where it stopped, if there is one.
    cache
        Folder for the frame cache; default: ``.frames`` beside the run, shared by all runs there
        on the same frames. It may be deleted when no run needs it any more.
    workers
        Videos that frames are chosen from at once, a process each; more than 1 needs the usual
        ``if __name__ == "__main__":`` around a script.
    skip_bad
        Leave broken videos out, with a warning, instead of refusing to start.
    partial
        Accept weights in ``start_from`` that fit the encoder in part.

    Returns
    -------
    RunFolder
        The finished run.

    Raises
    ------
    ConfigError
        For settings that do not exist or do not fit the data; before any long work.
    DataError
        If a video is broken (unless ``skip_bad``), or there is none.
    OutputError
        If ``out`` holds something already, or cannot be written.
    PreemptedError
        After SIGTERM, SIGUSR1 or SIGINT; everything is saved.
    """
    from tinbergen.beast.model import Beast
    from tinbergen.beast.start import starting_weights

    out = Path(out)
    _refuse_occupied(out, resume)
    changes = merge({} if steps is None else {"train": {"steps": steps}}, overrides or {})
    begun = RunFolder.open(out) if resume and (out / "status.json").is_file() else None
    if begun is not None:
        config = resumed_config(begun.config, preset, size=size, overrides=changes)
        skip_bad = skip_bad or any(
            line.startswith(LEFT_OUT) for line in begun.status.get("losses", [])
        )
    else:
        config = beast_config(preset or "tinbergen", size=size, overrides=changes)
        if resume:
            print(f"{out} holds no run to go on with; it begins anew.", file=sys.stderr)
    choose_hardware(config.train)  # if it is absent: say so before any long work
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    if begun is not None:
        _refuse_missing(begun, dataset)
    weights = None
    if start_from is not None:
        weights, report = starting_weights(start_from, Beast(config), partial=partial)
        print(f"starting from {start_from}: {report}", file=sys.stderr)
    first = outer_rank() == 0  # of several processes that a launcher started, one prepares
    if not first:
        _await(out)
    frames = open_frames(dataset, config, cache or out.parent / ".frames", workers, skip_bad)
    train, validation, splits = hold_out(frames.index, config)
    backgrounds = None
    if config.objective.background:
        backgrounds = cached_backgrounds(frames, dataset)
    from tinbergen.beast.task import PretrainTask

    task = PretrainTask(config, frames, train, validation, backgrounds, weights)
    task.batches()  # too few frames for a batch: say so before anything is written
    if first:
        print(_plan(config, frames, len(train), len(validation)), file=sys.stderr)
    run = RunFolder.start(
        out,
        config,
        seed=config.train.seed,
        inputs=_inputs(frames, start_from),
        splits=splits,
        resume=resume,
    )
    if first and run.status["state"] == "created":
        run.update_status(losses=frames.losses)
        if backgrounds is not None:
            save_backgrounds(run.path, backgrounds)
    fit(task, config.train, run, resume=resume)
    if evaluate and first:
        from tinbergen.beast.diagnostics import evaluate_run

        evaluate_run(run, dataset, frames)
    return run


def _plan(config: BeastConfig, frames: FrameCache, n_train: int, n_validation: int) -> str:
    """Say what is about to happen; how long it takes follows with the first steps."""
    train = config.train
    seen = train.steps * train.batch_size
    size = np.prod([len(frames), *config.encoder.image_size, config.encoder.channels]) / 1e9
    return (
        f"{len(frames.videos)} videos, {len(frames)} frames cached in {frames.path} "
        f"({size:.2f} GB); {n_train} to train on, {n_validation} held out. {train.steps} steps of "
        f"{train.batch_size} frames: each frame is seen {seen / max(n_train, 1):.3g} times."
    )


def _await(out: Path) -> None:
    """Wait until the first process has cached the frames and made the run folder."""
    while not (out / "status.json").is_file():
        time.sleep(0.5)


def _refuse_missing(begun: RunFolder, dataset: Dataset) -> None:
    """Name the recordings that are gone since, before the others are read and cached anew."""
    held = [each["recording"] for each in (begun.splits or {}).get("validation", [])]
    if gone := [name for name in held if name not in dataset]:
        raise DataError(
            f"{begun.path} cannot be resumed without the recordings that it began with: there is "
            f"no {', '.join(gone)} now. Put them back, or use another output folder."
        )


def _refuse_occupied(out: Path, resume: bool) -> None:
    if (out / "status.json").is_file() and not resume:
        state = RunFolder.open(out).status["state"]
        raise OutputError(
            f"{out} already holds a run ({state}). Go on with it with --resume (resume=True), or "
            "choose another output folder."
        )
    if out.exists() and not (out / "status.json").is_file():
        if not out.is_dir():
            raise OutputError(f"Expected a folder at {out}, found a file. Choose another output.")
        if any(out.iterdir()):
            raise OutputError(
                f"{out} is not empty, and what it holds is no run. Choose another output folder; "
                "nothing is overwritten."
            )
    ensure_output_folder(out.parent)


def open_frames(
    dataset: Dataset,
    config: BeastConfig,
    folder: str | os.PathLike,
    workers: int = 1,
    skip_bad: bool = False,
) -> FrameCache:
    """Build, or find, the frame cache of a dataset for these settings, below ``folder``."""
    frames, contrast = config.frames, config.contrast
    # Without a contrast the neighbours of an anchor are of no use.
    offset = contrast.offset * contrast.positives if contrast.weight else 0
    settings = CacheConfig(
        selection=Selection(
            method=frames.select,
            frames_per_video=frames.per_video,
            offset=offset,
            offset_unit=contrast.offset_unit,
            seed=config.train.seed,
        ),
        size=config.encoder.image_size,
        gray=config.encoder.channels == 1,
        keep_aspect=frames.keep_aspect,
    )
    videos, _ = readable_videos(dataset, settings, skip_bad)
    key = cache_key(videos, settings)
    return build_cache(
        dataset, Path(folder) / key[:16], settings, workers=workers, skip_bad=skip_bad
    )


def hold_out(
    index: pd.DataFrame, config: BeastConfig
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Hold one stretch of every recording out for validation, the same for all its cameras.

    The stretch is 5 % of the recording's cached time, at a place that depends on the seed; frames
    closer to it than the gap (the reach of a pair, at least 0.1 s) are used for nothing.

    Returns
    -------
    train, validation
        Rows of the cache; validation is empty when it would hold fewer than 8 frames.
    splits
        What ``splits.json`` keeps: the stretches in s, by recording.
    """
    contrast = config.contrast
    rng = np.random.default_rng([config.train.seed, 0x5B117])
    status, video = index["status"].to_numpy(), index["video"].to_numpy()
    time, recording = index["time"].to_numpy(), index["recording"].to_numpy().astype(str)
    train = status == 0
    validation = np.zeros(len(index), dtype=bool)
    held: list[dict[str, Any]] = []
    for name in dict.fromkeys(recording):
        rows = np.flatnonzero((recording == name) & (status == 0))
        t, camera = time[rows], video[rows]
        steps = np.diff(t)[camera[1:] == camera[:-1]]
        if not len(steps):
            continue
        interval = float(np.median(steps))
        reach = contrast.offset * (interval if contrast.offset_unit == "frames" else 1.0)
        gap = max(_LEAST_GAP_S, contrast.exclusion, 2 * reach * contrast.positives)
        length = _HELD_OUT * float(np.ptp(t))
        start = t.min() + rng.uniform(0.1, 0.9) * (np.ptp(t) - length)
        inside = (t >= start) & (t < start + length)
        near = (t >= start - gap) & (t < start + length + gap)
        if near.mean() > 0.5:  # a clip so short that the gaps would take most of it
            continue
        validation[rows[inside]] = True
        train[rows[near]] = False
        stop = float(start + length)
        held.append({"recording": name, "start": float(start), "stop": stop, "gap": gap})
    if validation.sum() < _LEAST_HELD_OUT:
        return np.flatnonzero(status == 0), np.zeros(0, dtype=int), {"validation": []}
    return np.flatnonzero(train), np.flatnonzero(validation), {"validation": held}


def cached_backgrounds(frames: FrameCache, dataset: Dataset) -> np.ndarray:
    """Background of each video of a cache: ``(videos, H, W, C)`` uint8.

    From evenly spaced frames of the video, as for a video that is embedded later; the mean of
    the cached frames where a video is too short for that. Kept with the cache, so that they are
    made once.
    """
    from tinbergen.progress import track
    from tinbergen.recordings.background import video_background

    path = frames.path / BACKGROUNDS
    if path.is_file():
        return np.load(path, mmap_mode="r", allow_pickle=False)
    sources = {(name, stream): video for name, stream, video in dataset.videos()}
    height, width = frames.config.size
    images = []
    for number, entry in enumerate(track(frames.videos, "backgrounds", "videos")):
        source = sources[entry.recording, entry.stream].view(
            gray=frames.config.gray, size=(height, width), keep_aspect=frames.config.keep_aspect
        )
        background = video_background(source)
        images.append(np.rint(frames.mean[number]) if background is None else background)
    save_backgrounds(frames.path, np.stack(images).astype(np.uint8))
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _inputs(frames: FrameCache, start_from: str | os.PathLike | None) -> dict[str, str]:
    from tinbergen.beast.start import weights_file

    inputs = {"frames": frames.key}
    if start_from is not None:
        inputs["start_from"] = fingerprint(weights_file(Path(start_from)))
    return inputs
