"""Which streams of a dataset a model reads, how frames are split, and what is labelled."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.configuration import Config, read_yaml, resolve
from tinbergen.crossanimal.config import CrossAnimalConfig
from tinbergen.crossanimal.evaluation_split import FrameSplit, split_at_end, split_by_blocks
from tinbergen.crossanimal.pairs import Animal, animals_of, check_same_pose
from tinbergen.errors import ConfigError, DataError, MissingFileError
from tinbergen.files import atomic_write
from tinbergen.recordings import Dataset, Labels, Recording, Series

FILE = "streams.json"


class StreamsConfig(Config):
    """What is read from every recording, and which frames are for the test."""

    neural: str = "neural"
    """Stream of traces, or of spikes."""
    pose: tuple[str, ...] = ("pose",)
    """Streams of keypoints, or of other continuous behaviour, put side by side."""
    bin_width: float | None = None
    """Of spikes, s."""
    trials: str | None = None
    """Stream of trials, which windows do not leave."""
    test: float = 0.2
    """Share of the frames (or blocks, or trials) that is for the test."""
    gap: int = 10
    """Neural frames between training and test."""
    blocks: int = 0
    """Blocks of time that are drawn from for the test; 0: the end of each recording."""
    by_trial: bool = False
    """Draw whole trials for the test."""
    seed: int = 0

    def write(self, folder: Path) -> None:
        """Write the file that :meth:`read` reads into a run folder."""
        with atomic_write(folder / FILE) as file:
            file.write(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> StreamsConfig:
        """Read the streams of a run.

        Raises
        ------
        MissingFileError
            If the folder has none: the model was not trained on a dataset.
        """
        path = folder / FILE
        if not path.is_file():
            raise MissingFileError(
                f"Expected {path}, found none: train on a dataset with `tinbergen crossanimal "
                "train`, or evaluate arrays with evaluate_embeddings."
            )
        return resolve(cls, read_yaml(path))

    def animals(self, data: Dataset) -> list[Animal]:
        """Return the pairs of all recordings.

        Raises
        ------
        DataError
            Naming the recording whose streams are missing, empty or on other clocks.
        """
        found = animals_of(
            data, self.neural, list(self.pose), bin_width=self.bin_width, trials=self.trials
        )
        for each in found:
            check_animal(each)
        check_same_pose(found)
        return found

    def splits(self, animals: Sequence[Animal]) -> dict[str, FrameSplit]:
        """Return training and test frames of each animal.

        Raises
        ------
        DataError
            If a recording is too short.
        """
        found = {}
        for each in animals:
            try:
                found[each.name] = self._split(each)
            except DataError as error:
                raise DataError(
                    f"Recording {each.name!r}, {len(each)} frames: {error} Leave it out, or "
                    "choose a smaller gap or share for the test."
                ) from error
        return found

    def _split(self, animal: Animal) -> FrameSplit:
        n = len(animal)
        if self.by_trial:
            return split_by_blocks(animal.segment, None, self.test, self.gap, self.seed)
        if self.blocks:
            return split_by_blocks(self.blocks, n, self.test, self.gap, self.seed)
        return split_at_end(n, self.test, self.gap)

    def check_window(self, config: CrossAnimalConfig) -> None:
        """Refuse a gap that windows reach across.

        Raises
        ------
        ConfigError
        """
        window = reach(config)
        if self.gap + 1 < window:
            raise ConfigError(
                f"--gap: a window spans {window} neural frames, so that with a gap of {self.gap} "
                f"training would see frames of the test; give at least {window - 1}."
            )


def check_long_enough(parts: Sequence[Animal], config: CrossAnimalConfig) -> None:
    """Refuse animals of which training would not see as much as one window.

    Raises
    ------
    DataError
    """
    for part in parts:
        if len(part.paired) < reach(config):
            raise DataError(
                f"Recording {part.name!r}: {len(part.paired)} frames with a pose are left for "
                f"training, fewer than one window of {reach(config)}. Leave it out, or choose a "
                "smaller gap, share for the test or window."
            )


def reach(config: CrossAnimalConfig) -> int:
    """Return how many neural frames a representation looks at."""
    return (config.windows.neural - 1) * config.windows.neural_stride + 1


def check_animal(animal: Animal) -> None:
    """Refuse what no model can learn from, and say what to mend.

    Raises
    ------
    DataError
    """
    where = f"Recording {animal.name!r}"
    if not len(animal):
        raise DataError(f"{where}: its neural stream is empty. Leave the recording out.")
    if not animal.images:
        known = np.isfinite(animal.neural)
        if not known.any():
            raise DataError(f"{where}: its neural stream holds no number, only NaN.")
        empty = np.flatnonzero(~known.any(axis=0))
        if len(empty):
            raise DataError(
                f"{where}: {len(empty)} of {animal.neural.shape[1]} neurons are NaN throughout, "
                f"the first is column {empty[0]}. Leave these columns out of the file."
            )
    if animal.pose is not None and not np.isfinite(animal.pose).any():
        raise DataError(f"{where}: its pose holds no number, only NaN.")
    if animal.pose is not None and not len(animal.paired):
        spans = [
            f"{t[0]:.6g} to {t[-1]:.6g} s" if t is not None and len(t) else "nothing"
            for t in (animal.times, animal.pose_times)
        ]
        raise DataError(
            f"{where}: no neural frame has a pose at its time; the neural stream runs from "
            f"{spans[0]}, the pose from {spans[1]}. Bring both on one clock (align_clocks)."
        )


def labels_of(
    data: Mapping[str, Recording],
    animals: Sequence[Animal],
    stream: str,
    actions: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Return the action of every neural frame, empty text where there is none.

    Parameters
    ----------
    stream
        Labels, or a Series of one channel of whole numbers.
    actions
        Only these count; default: all.

    Returns
    -------
    Recording -> ``(time,)`` names of classes, or stream and number (``reversal 1``); of the
    recordings that have the stream.

    Raises
    ------
    DataError
        If none has it, or an action occurs nowhere.
    """
    found = {
        each.name: _names(data[each.name], stream, each.times)
        for each in animals
        if stream in data[each.name]
    }
    if not found:
        streams = sorted({name for each in animals for name in data[each.name].streams})
        raise DataError(
            f"No recording has a stream of labels {stream!r}; there are: {', '.join(streams)}. "
            "Add labels to the dataset.yaml, or name their stream with --labels."
        )
    if actions is None:
        return found
    known = sorted({str(name) for names in found.values() for name in np.unique(names)} - {""})
    for action in actions:
        if action not in known:
            near = difflib.get_close_matches(action, known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"--actions: no frame is labelled {action!r}; there are: {', '.join(known)}.{hint}"
            )
    return {name: np.where(np.isin(each, actions), each, "") for name, each in found.items()}


def _names(recording: Recording, stream: str, times: np.ndarray) -> np.ndarray:
    labels: Any = recording[stream]
    if isinstance(labels, Labels):
        try:
            codes = labels.codes(times)
        except DataError as error:
            raise DataError(f"Recording {recording.name!r}, {stream!r}: {error}") from error
        return np.array(["", *labels.classes])[codes + 1]
    if not isinstance(labels, Series) or labels.values.shape[1] != 1:
        raise DataError(
            f"Recording {recording.name!r}, {stream!r}: expected labels, or a series of one "
            f"channel; found {type(labels).__name__}."
        )
    values = labels.values[:, 0].astype(np.float64)
    known = np.isfinite(values)
    if (values[known] != np.floor(values[known])).any():
        raise DataError(
            f"Recording {recording.name!r}, {stream!r}: expected whole numbers as classes."
        )
    from tinbergen.recordings import nearest

    step = float(np.median(np.diff(labels.times))) if len(labels) > 1 else 0.0
    at = nearest(labels.times, times, 0.51 * step)
    return np.array(
        [f"{stream} {int(values[i])}" if i >= 0 and known[i] else "" for i in at.tolist()],
        dtype=str,
    )
