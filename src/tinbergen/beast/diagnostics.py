"""Is a pretrained run any good? Probes with nulls and baselines, and the material of figures.

What is written is what ``tinbergen report`` reads: ``summary.json``, ``scores.csv``,
``videos.csv`` and ``diagnostics/`` in the run folder.
"""

from __future__ import annotations

import functools
import os
import time
from typing import Any

import cv2
import numpy as np

from tinbergen.beast.cache import FrameCache
from tinbergen.beast.embedder import Embedder
from tinbergen.beast.figures import write_figures
from tinbergen.beast.model import Beast
from tinbergen.beast.pretraining import cached_backgrounds, open_frames
from tinbergen.beast.reconstruction import reconstruction_score
from tinbergen.beast.samples import (
    LabelledSample,
    Sample,
    cached_sample,
    consecutive_sample,
    find_labelled_frames,
    hand_labelled_sample,
    tracked_sample,
)
from tinbergen.beast.start import initialise
from tinbergen.beast.tables import write_scores, write_videos
from tinbergen.files import write_json
from tinbergen.metrics import (
    Score,
    bootstrap_interval,
    class_probe,
    draw_pairs,
    effective_rank,
    grouped_folds,
    keypoint_probe,
    retrieval_top1,
    time_lag_probe,
    time_lag_wins,
)
from tinbergen.metrics.score import Baseline
from tinbergen.recordings import Dataset
from tinbergen.training import RunFolder
from tinbergen.training.randomness import reseed_everything

_SAMPLE = 480
_LEAKAGE_BLOCKS = 6
_LABELLED = 300
_FOLDS = 9
_PIXEL_SIDE = 16
_COLLAPSED = 3.0
_GOOD_RANK = 8.0


def evaluate_run(
    run: RunFolder | str | os.PathLike, data: Any = None, frames: FrameCache | None = None
) -> list[Score]:
    """Score a finished run and write its diagnostics into the run folder.

    Parameters
    ----------
    run
        A finished run.
    data
        The dataset it was trained on, or another one (or whatever :meth:`Dataset.open` takes).
    frames
        Its frame cache, if it is at hand; else it is found or built beside the run.

    Returns
    -------
    list of Score
        The headline first.
    """
    started = time.perf_counter()
    run = RunFolder.open(run.path if isinstance(run, RunFolder) else run)
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    embedder = Embedder(run, tokens=("cls", "patch"))
    if frames is None:
        frames = open_frames(dataset, embedder.config, run.path.parent / ".frames")
    judge = _Judge(run, dataset, frames, embedder)
    scores = judge.scores()
    write_figures(run, dataset, frames, embedder, judge.sample, judge.features["cls"])
    write_scores(run, judge.rows)
    write_videos(run, dataset, frames)
    status = run.status
    trained = frames.index["video"].nunique()
    height, width = embedder.config.encoder.image_size
    shape = embedder.config.encoder
    summary = {
        "schema_version": 1,
        "room": "beast",
        "title": f"BEAST pretraining, preset {embedder.config.preset}: ViT with {shape.depth} "
        f"blocks of {shape.width}",
        "trained_on": f"{trained} videos, {len(frames)} frames of {width} x {height} px",
        "seconds": time.perf_counter()
        - started
        + float((status.get("metrics") or {}).get("elapsed_s", 0.0)),
        "headline": scores[0].to_dict(),
        "scores": [score.to_dict() for score in scores[1:]],
        "alarms": judge.alarms,
        "notes": judge.notes,
    }
    write_json(run.path / "summary.json", summary)
    return scores


class _Judge:
    """All scores of one run, from one set of samples."""

    def __init__(
        self, run: RunFolder, dataset: Dataset, frames: FrameCache, embedder: Embedder
    ) -> None:
        self.run, self.dataset, self.frames, self.embedder = run, dataset, frames, embedder
        self.config = embedder.config
        self.backgrounds = None
        if self.config.objective.background:
            self.backgrounds = cached_backgrounds(frames, dataset)
        self.untrained = self._untrained()
        self.sample = cached_sample(frames, self.backgrounds, _SAMPLE)
        self.features = self._features(embedder, self.sample, ("cls",))
        self.blank = self._features(self.untrained, self.sample, ("cls",))
        self.rows: list[dict[str, Any]] = []
        self.alarms: list[dict[str, Any]] = []
        self.notes: list[str] = []

    def _untrained(self) -> Embedder:
        """Return the same network as it was before its first step."""
        other = Embedder(self.run, tokens=("cls", "patch"))
        reseed_everything(self.config.train.seed, "untrained")
        model = Beast(self.config)
        initialise(model, self.frames, self.frames.usable, self.backgrounds, None)
        other.encoder = model.encoder.eval().to(other.device, other.dtype)
        return other

    def _features(
        self, embedder: Embedder, sample: Sample, tokens: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        parts = [embedder.encode(frames, seen) for frames, seen in sample.batches()]
        return {token: np.concatenate([p[token] for p in parts]) for token in tokens}

    def scores(self) -> list[Score]:
        """Return every score that the data allow, the headline first."""
        scores = self._keypoints()
        scores += self._leakage()
        scores += self._time_lag()
        scores += self._top1()
        scores.append(self._rank())
        scores.append(reconstruction_score(self.run, self.frames, self.backgrounds))
        return scores

    # --- keypoints ------------------------------------------------------------------------

    def labelled(self) -> LabelledSample | None:
        """Return frames with keypoints: hand-labelled ones first, else tracked ones."""
        size, gray = self.config.encoder.image_size, self.config.encoder.channels == 1
        found = find_labelled_frames(self.dataset)
        if found:
            largest = max(found, key=len)
            aspect = self.config.frames.keep_aspect
            return hand_labelled_sample(
                largest, self.backgrounds, size=size, gray=gray, keep_aspect=aspect
            )
        by_name = None
        if self.backgrounds is not None:
            by_name = {
                (v.recording, v.stream): self.backgrounds[i]
                for i, v in enumerate(self.frames.videos)
            }
        return tracked_sample(self.dataset, by_name, self.embedder.source, _LABELLED)

    def _keypoints(self) -> list[Score]:
        sample = self.labelled()
        if sample is None:
            self.notes.append(
                "No keypoints were found beside these videos, so there is no keypoint probe: add "
                "a Keypoints stream to dataset.yaml, or keep the videos in their DeepLabCut or "
                "Lightning Pose project."
            )
            return []
        folds = grouped_folds(sample.group, _FOLDS)
        if len(folds) < 3:
            self.notes.append("Too few labelled frames for a keypoint probe.")
            return []
        null = keypoint_probe(None, sample.positions, folds)
        pixels = keypoint_probe(_pixels(sample.frames), sample.positions, folds)
        trained = self._features(self.embedder, sample, ("cls", "patch"))
        blank = self._features(self.untrained, sample, ("cls", "patch"))
        scores = []
        for token, name in (("patch", "Keypoint probe"), ("cls", "Keypoint probe, CLS token")):
            probe = keypoint_probe(trained[token], sample.positions, folds)
            start = keypoint_probe(blank[token], sample.positions, folds)
            scores.append(
                Score(
                    name, probe.mean, "px", "lower", null=null.mean, null_name="mean pose",
                    interval=bootstrap_interval(probe.fold_means),
                    interval_name="95 % bootstrap over folds",
                    baselines=(
                        Baseline(
                            f"ridge on {_PIXEL_SIDE} x {_PIXEL_SIDE} pixels", pixels.mean,
                            bootstrap_interval(pixels.fold_means),
                        ),
                        Baseline(
                            "untrained network", start.mean, bootstrap_interval(start.fold_means)
                        ),
                    ),
                    n=len(sample), n_name=f"frames ({sample.source})",
                    split=f"{len(folds)}-fold cross-validation {sample.split}",
                    method=f"Ridge from {'all patch tokens' if token == 'patch' else 'CLS'} to "
                    "keypoint positions; mean Euclidean error.",
                )
            )  # fmt: skip
            if token == "patch":
                self._keypoint_rows(sample, probe.errors, null.errors)
        return scores

    def _keypoint_rows(self, sample: LabelledSample, errors: np.ndarray, null: np.ndarray) -> None:
        for recording in np.unique(sample.recording):
            rows = sample.recording == recording
            for k, keypoint in enumerate(sample.keypoints):
                own = errors[rows, k]
                if np.isfinite(own).any():
                    self._row(
                        "Keypoint probe", recording, "keypoint", keypoint,
                        np.nanmean(own), np.nanmean(null[rows, k]),
                        bootstrap_interval(own), "px", "lower", np.isfinite(own).sum(),
                    )  # fmt: skip

    def _row(self, score: str, recording: str, kind: str, name: str, *values: Any) -> None:
        value, null, interval, unit, direction, n = values
        columns = ("score", "recording", "kind", "name", "value", "null", "low", "high")
        row = dict(
            zip(columns, (score, recording, kind, name, value, null, *interval), strict=True)
        )
        self.rows.append(row | {"unit": unit, "direction": direction, "n": int(n)})

    # --- shortcuts and time ---------------------------------------------------------------

    def _leakage(self) -> list[Score]:
        names, counts = np.unique(self.sample.recording, return_counts=True)
        names = names[counts >= _LEAKAGE_BLOCKS]  # of fewer frames no part could be held out
        if len(names) < 2:
            return []
        judged = np.isin(self.sample.recording, names)
        owner = self.sample.recording[judged]
        groups = np.empty(len(owner), dtype=object)
        for name in names:  # blocks of time, so that neighbours do not give the video away
            rows = np.flatnonzero(owner == name)
            block = np.arange(len(rows)) * _LEAKAGE_BLOCKS // len(rows)
            groups[rows] = [f"{name} {b}" for b in block]
        folds = grouped_folds(groups.astype(str), _LEAKAGE_BLOCKS)
        probe = class_probe(self.features["cls"][judged], owner, folds)
        pixels = class_probe(_pixels(self.sample.frames[judged]), owner, folds)
        blank = class_probe(self.blank["cls"][judged], owner, folds)
        for name in names:
            own = probe.correct[owner == name]
            self._row(
                "Video-identity leakage", name, "video", "", np.nanmean(own), probe.chance,
                bootstrap_interval(own), "", "lower", len(own),
            )  # fmt: skip
        value, chance = probe.balanced_accuracy, probe.chance
        halfway = (chance + pixels.balanced_accuracy) / 2
        return [
            Score(
                "Video-identity leakage", value, "", "lower", null=chance, null_name="chance",
                interval=bootstrap_interval(probe.correct, groups),
                interval_name="95 % bootstrap over blocks of time",
                baselines=(
                    Baseline("raw pixels", pixels.balanced_accuracy),
                    Baseline("untrained network", blank.balanced_accuracy),
                ),
                n=len(names), n_name="videos", split="by blocks of time",
                method="Logistic regression from CLS to the video; low is good: features should "
                "tell what the animal does, not which video it is in. Rule: good up to halfway "
                "from chance to raw pixels, fair below raw pixels.",
                verdict="good" if value <= halfway
                else "fair" if value < pixels.balanced_accuracy else "poor",
                text=f"The video can be told from CLS in {value:.0%} of frames (chance "
                f"{chance:.0%}, raw pixels {pixels.balanced_accuracy:.0%}).",
            )
        ]  # fmt: skip

    def _time_lag(self) -> list[Score]:
        if self._stretch is None:
            return []
        stretch, features = self._stretch
        interval = float(np.median([v.interval for v in self.frames.videos]))
        steps = np.array([1, 2, 4, 8, 16])
        lags = steps * interval
        args = (stretch.time, stretch.recording, lags)
        curve = time_lag_probe(features["trained"], *args)
        for lag, share in zip(lags, curve, strict=True):
            self._row(
                "Time-lag probe", "", "lag", f"{lag:.3g} s", share, 0.5, (np.nan, np.nan), "",
                "higher", len(stretch),
            )  # fmt: skip
        middle = 2
        won, owner = time_lag_wins(features["trained"], *args)[middle]
        pixels, blank = (time_lag_probe(features[n], *args) for n in ("pixels", "untrained"))
        return [
            Score(
                "Time-lag probe", float(curve[middle]), "", "higher", null=0.5, null_name="chance",
                interval=bootstrap_interval(won, owner),
                interval_name="95 % bootstrap over recordings",
                baselines=(
                    Baseline("raw pixels", float(pixels[middle])),
                    Baseline("untrained network", float(blank[middle])),
                ),
                n=len(stretch), n_name="frames",
                method=f"How often CLS is nearer to itself {lags[middle]:.3g} s later than to a "
                "random frame of the same recording.",
            )
        ]  # fmt: skip

    @functools.cached_property
    def _stretch(self) -> tuple[Sample, dict[str, np.ndarray]] | None:
        """Consecutive frames, and what each of three makes of them; None if there are too few."""
        found = consecutive_sample(
            self.dataset, self.frames, self.backgrounds, self.embedder.source
        )
        if found is None:
            return None
        trained = self._features(self.embedder, found, ("cls",))["cls"]
        blank = self._features(self.untrained, found, ("cls",))["cls"]
        pixels = _pixels(found.frames)
        return found, {"trained": trained, "untrained": blank, "pixels": pixels}

    def _top1(self) -> list[Score]:
        """Find a frame's neighbour among other frames, unmasked; raw pixels do the same."""
        if self._stretch is None or not self.config.contrast.weight:
            return []
        stretch, features = self._stretch
        contrast = self.config.contrast
        interval = float(np.median([v.interval for v in self.frames.videos]))
        step = contrast.offset
        step = round(step if contrast.offset_unit == "frames" else step / interval)
        pairs = draw_pairs(stretch.recording, max(step, 1))
        if not pairs:
            return []
        values = {name: retrieval_top1(each, pairs) for name, each in features.items()}
        n = len(pairs[0])
        return [
            Score(
                "InfoNCE top-1", float(np.mean(values["trained"])), "", "higher",
                null=1 / (n - 1), null_name="chance",
                interval=bootstrap_interval(values["trained"]),
                interval_name="95 % bootstrap over batches",
                baselines=(
                    Baseline("raw pixels", float(np.mean(values["pixels"]))),
                    Baseline("untrained network", float(np.mean(values["untrained"]))),
                ),
                n=len(pairs), n_name=f"batches of {n} frames",
                method=f"Whether the most similar of {n - 1} other frames is the one "
                f"{step} frame(s) away (CLS, unmasked, centred).",
            )
        ]  # fmt: skip

    def _rank(self) -> Score:
        value, start = effective_rank(self.features["cls"]), effective_rank(self.blank["cls"])
        width = self.config.encoder.width
        collapsed = bool(value < _COLLAPSED)
        self.alarms.append(
            {
                "name": "Collapse",
                "raised": collapsed,
                "text": f"Effective rank {value:.1f} of {width}; the alarm is below "
                f"{_COLLAPSED:g}." + (" All frames look alike to CLS." if collapsed else ""),
            }
        )
        return Score(
            "Effective rank", value, "dimensions", "higher", null=1.0, null_name="collapsed",
            baselines=(Baseline("untrained network", start),),
            n=len(self.sample), n_name="frames",
            method="Exponential of the entropy of the variance of CLS over principal components. "
            f"Rule: poor below {_COLLAPSED:g}, good from {_GOOD_RANK:g} on.",
            verdict="poor" if collapsed else "good" if value >= _GOOD_RANK else "fair",
        )  # fmt: skip


def _pixels(frames: np.ndarray) -> np.ndarray:
    """Gray pictures of 16 x 16 px: the plain baseline that a network has to beat."""
    side = (_PIXEL_SIDE, _PIXEL_SIDE)
    gray = frames.astype(np.float32).mean(axis=3)
    small = [cv2.resize(image, side, interpolation=cv2.INTER_AREA) for image in gray]
    return np.stack(small).reshape(len(frames), -1) / 255
