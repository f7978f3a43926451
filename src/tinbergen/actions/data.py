"""From a dataset to sequences: features and codes of each recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinbergen.actions.config import ActionConfig, LabelConfig
from tinbergen.actions.features import Features, features_of
from tinbergen.actions.segmenter import UNLABELLED
from tinbergen.errors import ConfigError, DataError, TinbergenError
from tinbergen.recordings import Dataset, Labels, Recording

_RATES_DIFFER = 0.02
_SPACING = str.maketrans("", "", " _-")  # what spellings of one word may differ in, beside case
_BEYOND = 0.05  # share of the labelled time outside the frames from which something is wrong


@dataclass(frozen=True, eq=False)
class Sequences:
    """Recordings as segmenters want them.

    Attributes
    ----------
    names
        Of the recordings.
    features
        :class:`Features` each.
    codes, weak
        ``(time,)`` int each, -1 = unlabelled; ``weak`` is None where no such labels are asked for.
    classes
        Names.
    notes
        What was left out or looked odd, in words.
    lost
        Recordings that could not be used, with the reason.
    """

    names: tuple[str, ...]
    features: tuple[Features, ...]
    codes: tuple[np.ndarray, ...]
    weak: tuple[np.ndarray, ...] | None
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    lost: tuple[str, ...]

    @property
    def x(self) -> list[np.ndarray]:
        """``(time, feature)`` of each recording."""
        return [np.asarray(each.series.values) for each in self.features]

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self.features[0].rate

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the features."""
        return self.features[0].series.channels


def labelled_sequences(
    dataset: Dataset,
    config: ActionConfig,
    *,
    classes: Sequence[str] | None = None,
    expected: tuple[tuple[str, ...], float, str] | None = None,
    skip_bad: bool = False,
) -> Sequences:
    """Compute features and codes of all recordings that have labels.

    Parameters
    ----------
    dataset
        The recordings.
    config
        Which features and labels.
    classes
        Names and their order; default: those of ``config``, or of all labels.
    expected
        Channels and frames per second that features must have, and whose they are ("the model");
        default: those of the first recording.
    skip_bad
        Leave out recordings that cannot be used instead of refusing.

    Raises
    ------
    DataError
        If no recording has labels, a class is unknown, labels lie outside the frames, or frame
        rates or features differ between recordings.
    """
    with_labels = {n: r for n, r in dataset.items() if has_labels(r, config.labels)}
    if not with_labels:
        raise DataError(
            f"None of the {len(dataset)} recordings has labels"
            + (f" under {config.labels.stream!r}." if config.labels.stream else ".")
            + " A labels stream in dataset.yaml: {kind: labels, file: bouts.csv}."
        )
    notes = [
        f"{name} has no labels and was left out." for name in dataset if name not in with_labels
    ]
    names = tuple(classes or config.labels.classes or _all_classes(with_labels, config.labels))
    notes += _alike(names)
    found: dict[str, tuple[Features, np.ndarray, np.ndarray | None]] = {}
    lost: list[str] = []
    for name, recording in with_labels.items():
        try:
            features = features_of(recording, config.features)
            times = features.series.times
            labels = labels_of(recording, config.labels)
            codes = codes_of(labels, times, names, config.labels, name)
            notes += [*features.notes, *_outside(labels, features, name)]
            weak = None
            if config.labels.weak is not None:
                weak = _weak_codes(recording, times, names, config.labels)
            expected = expected or (features.series.channels, features.rate, repr(name))
            check_matches(features, f"recording {name!r}", *expected)
        except TinbergenError as error:
            if not skip_bad or isinstance(error, ConfigError):
                raise
            lost.append(f"{name}: {error}")
            continue
        found[name] = (features, codes, weak)
    if not found:
        raise DataError("No recording could be used:\n  " + "\n  ".join(lost))
    features, codes, weak = zip(*found.values(), strict=True)
    notes += _unlabelled(dict(zip(found, codes, strict=True)))
    return Sequences(
        tuple(found),
        features,
        codes,
        weak if config.labels.weak is not None else None,
        names,
        tuple(notes),
        tuple(lost),
    )


def _alike(classes: Sequence[str]) -> list[str]:
    """Name classes that are one word written in several ways."""
    ways: dict[str, list[str]] = {}
    for name in classes:
        ways.setdefault(name.casefold().translate(_SPACING), []).append(name)
    return [
        f"{' and '.join(map(repr, each))} count as different classes; if they are one, write it "
        "alike in all files."
        for each in ways.values()
        if len(each) > 1
    ]


def _unlabelled(codes: Mapping[str, np.ndarray]) -> list[str]:
    """Say how many frames nobody labelled, and in which recording most."""
    missing = {name: int((each == UNLABELLED).sum()) for name, each in codes.items()}
    if not any(missing.values()):
        return []
    most = max(missing, key=lambda name: missing[name] / len(codes[name]))
    total = sum(map(len, codes.values()))
    return [
        f"{sum(missing.values()):,} of {total:,} frames have no label, or one that means "
        f"unscored: neither learned nor scored. The largest share is that of {most}: "
        f"{missing[most]:,} of {len(codes[most]):,}."
    ]


def codes_of(
    labels: Labels, times: np.ndarray, classes: Sequence[str], config: LabelConfig, recording: str
) -> np.ndarray:
    """Return the code of each frame, ``(time,)`` int, -1 = unlabelled or unscored.

    Raises
    ------
    DataError
        If labels name a class that is not asked for, or two classes hold at once.
    """
    known = _check_known(labels, classes, config, recording)
    background = config.background
    if background is not None and background not in classes:
        raise ConfigError(
            f"labels.background: {background!r} is not among the classes {', '.join(classes)}."
        )
    everything = Labels(
        labels.table, tuple(dict.fromkeys([*labels.classes, *known])), labels.observed
    )
    try:
        own = everything.codes(times, config.individual, background)
    except DataError as error:
        raise DataError(
            f"Recording {recording!r}: {error} A frame has one behaviour here: correct the "
            "labels, or choose whose they are with labels.individual."
        ) from None
    place = {name: i for i, name in enumerate(classes)}
    codes = np.array([*(place.get(name, UNLABELLED) for name in everything.classes), UNLABELLED])
    return codes[own]


def _check_known(
    labels: Labels, classes: Sequence[str], config: LabelConfig, recording: str
) -> set[str]:
    known = {*classes, *config.unscored}
    if unknown := sorted(set(labels.table["label"]) - known):
        raise DataError(
            f"Recording {recording!r} has labels of {', '.join(map(repr, unknown))}, which are "
            f"not among the classes {', '.join(classes)}. Name them in labels.classes, or in "
            "labels.unscored."
        )
    return known


def has_labels(recording: Recording, config: LabelConfig) -> bool:
    """Whether a recording has the stream of labels that is asked for."""
    streams = recording.streams
    if config.stream is not None:
        return isinstance(streams.get(config.stream), Labels)
    return any(isinstance(v, Labels) for k, v in streams.items() if k != config.weak)


def labels_of(recording: Recording, config: LabelConfig) -> Labels:
    """Return the labels of a recording that has them, see :func:`has_labels`.

    Raises
    ------
    ConfigError
        If there are several streams, and none was chosen.
    """
    if config.stream is not None:
        return recording[config.stream]
    found = [k for k, v in recording.streams.items() if isinstance(v, Labels) and k != config.weak]
    if len(found) > 1:
        raise ConfigError(
            f"Recording {recording.name!r} has several streams of labels ({', '.join(found)}); "
            "choose one with --set labels.stream=NAME (of suggest: --labels; of evaluate: name "
            "all others with --rater)."
        )
    return recording[found[0]]


def _weak_codes(
    recording: Recording, times: np.ndarray, classes: Sequence[str], config: LabelConfig
) -> np.ndarray:
    """Return the codes by a rule, ``(time,)``; -1 where the recording has none."""
    labels = recording.streams.get(config.weak or "")
    if labels is None:
        return np.full(len(times), UNLABELLED)
    if not isinstance(labels, Labels):
        raise ConfigError(f"labels.weak: {config.weak!r} of {recording.name!r} holds no labels.")
    return codes_of(labels, times, classes, config, recording.name)


def _all_classes(recordings: dict[str, Recording], config: LabelConfig) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for recording in recordings.values():
        names |= dict.fromkeys(labels_of(recording, config).classes)
    return tuple(name for name in names if name not in config.unscored)


def _outside(labels: Labels, features: Features, recording: str) -> list[str]:
    """Say how much of the labels lies outside the frames; refuse where that is much."""
    times = features.series.times
    inside = labels.observed.between(float(times[0]), float(times[-1]) + 1 / features.rate)
    total = float((labels.observed.stops - labels.observed.starts).sum())
    beyond = total - float((inside.stops - inside.starts).sum())
    if beyond <= 1 / features.rate:
        return []
    text = (
        f"Recording {recording!r}: {beyond:.2f} s of {total:.2f} s with labels lie outside the "
        f"frames ({times[0]:.2f} to {times[-1]:.2f} s)"
    )
    if beyond > _BEYOND * total:
        raise DataError(
            f"{text}. Are both of this recording, and is {features.rate:.4g} frames per second "
            "right?"
        )
    return [f"{text}; they are not used."]


def check_matches(
    features: Features, whose: str, channels: tuple[str, ...], rate: float, expected: str
) -> None:
    """See that features are those that are expected, at the same frame rate.

    Raises
    ------
    DataError
    """
    if abs(features.rate / rate - 1) > _RATES_DIFFER:
        raise DataError(
            f"The {whose} has {features.rate:.4g} frames per second, {expected} has {rate:.4g}: "
            "time would mean something else. Is the frame rate right? If so, bring the keypoints "
            "to one rate first."
        )
    if features.series.channels != channels:
        own = features.series.channels
        missing = [name for name in channels if name not in own]
        extra = [name for name in own if name not in channels]
        what = f"{missing[0]!r} is missing" if missing else f"{extra[0]!r} is new" if extra else (
            "their order differs"
        )  # fmt: skip
        raise DataError(
            f"The {whose} has {len(own)} features, {expected} has {len(channels)}: {what}. The "
            "same keypoints and individuals are needed."
        )
