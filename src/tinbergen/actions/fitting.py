"""Training: a dataset with labels in, a run folder with a model out."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.actions.choosing import Choice, choose_decoder
from tinbergen.actions.config import ActionConfig, DecoderConfig
from tinbergen.actions.data import Sequences, has_labels, labelled_sequences
from tinbergen.actions.decoder import Decoder
from tinbergen.actions.ensembles import FoldEnsemble
from tinbergen.actions.model import ActionModel
from tinbergen.actions.registry import new_segmenter, segmenter_class
from tinbergen.actions.segmenter import Segmenter
from tinbergen.configuration import resolve
from tinbergen.errors import ConfigError, DataError, PreemptedError
from tinbergen.files import write_csv
from tinbergen.recordings import Dataset
from tinbergen.training import RunFolder

MODEL = "model"
"""Folder of the model in a run."""


def train(
    data: Any,
    out: str | os.PathLike,
    *,
    split: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    skip_bad: bool = False,
) -> RunFolder:
    """Learn behaviours from labelled recordings.

    Parameters
    ----------
    data
        Anything that :meth:`tinbergen.recordings.Dataset.open` takes: its recordings have
        keypoints or series, and those to learn from have labels.
    out
        The run folder to make.
    split
        Name of a split of the dataset: its parts ``train`` and, to choose the decoder without
        folds, ``validation``; other parts are left alone, but recordings of ``test`` that have
        labels must be such that they can be scored (unless ``skip_bad``). Default: all recordings
        train.
    overrides
        Nested settings of :class:`~tinbergen.actions.config.ActionConfig`.
    resume
        Go on with the run at ``out`` where it stopped, if there is one.
    skip_bad
        Leave out recordings that cannot be used instead of refusing.

    Returns
    -------
    RunFolder
        The finished run.

    Raises
    ------
    ConfigError, DataError, MissingFileError
        For settings or data that cannot be used; before anything is written.
    OutputError
        If ``out`` holds something already, or cannot be written.
    PreemptedError
        After SIGTERM, SIGUSR1 or SIGINT; members that are finished are kept.
    """
    config = resolve(ActionConfig, overrides or {})
    kind = segmenter_class(config.model)
    dataset = Dataset.open(data)
    parts = _parts(dataset, split)
    training = labelled_sequences(parts["train"], config, skip_bad=skip_bad)
    validation = None
    as_training = (training.channels, training.rate, "the training part")
    if "validation" in parts:
        validation = labelled_sequences(
            parts["validation"],
            config,
            classes=training.classes,
            expected=as_training,
            skip_bad=skip_bad,
        )
    _check(config, kind, training, validation)
    test = [each for each in parts.get("test", {}).values() if has_labels(each, config.labels)]
    if test and not skip_bad:
        # Nothing is kept of it: what could not be scored is refused before hours are spent.
        labelled_sequences(Dataset(test), config, classes=training.classes, expected=as_training)
    if config.folds >= 2 and len(training.names) < 2:
        raise DataError(
            f"folds={config.folds} needs two training recordings or more, found one "
            f"({', '.join(training.names)!r}). Set folds=0, or name parts of its time in a split."
        )
    splits = {name: list(part) for name, part in parts.items()}
    splits |= {"train": list(training.names)}
    inputs = {"training": _hash(training)}
    if validation is not None:
        inputs["validation"] = _hash(validation)
    run = RunFolder.start(
        out, config, seed=config.seed, inputs=inputs, splits=splits, resume=resume
    )
    if run.status["state"] == "done":
        return run
    stopped: PreemptedError | None = None
    with run.writing(split=split):
        for note in [*training.notes, *(validation.notes if validation else ())]:
            run.note(note)
        print(_plan(config, training), file=sys.stderr)
        try:
            _fit(run, config, training, validation, resume)
        except PreemptedError as error:
            stopped = error
            run.update_status(state="preempted", reason=str(error))
    if stopped is not None:
        raise stopped
    return run


def _fit(
    run: RunFolder,
    config: ActionConfig,
    training: Sequences,
    validation: Sequences | None,
    resume: bool,
) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    segmenter = _segmenter(config)
    held = None if validation is None else (validation.x, validation.codes)
    more: dict[str, Any] = {}
    if training.weak is not None:
        more["weak"] = training.weak
    if isinstance(segmenter, FoldEnsemble):
        more |= {"folder": run.path / "members", "resume": resume}
    segmenter.fit(training.x, training.codes, classes=training.classes, validation=held, **more)
    seconds = {"elapsed_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    if segmenter.absent_:
        run.note(f"No training frame is labelled {', '.join(segmenter.absent_)}: never predicted.")
    decoder, choice = _decoder(config, segmenter, training, validation)
    if choice is not None:
        write_csv(run.path / "decoders.csv", choice.table)
    _log_members(run)
    model = ActionModel(segmenter, decoder, config, training.channels, training.rate)
    model.save(run.path / MODEL)
    frames = int(sum((codes >= 0).sum() for codes in training.codes))
    run.update_status(
        state="done",
        reason="finished",
        losses=[*training.lost, *(validation.lost if validation else ())],
        metrics={**seconds, "labelled_frames": frames},
        decoder=decoder.parameters,
    )


def _segmenter(config: ActionConfig) -> Segmenter:
    if config.folds >= 2:
        return FoldEnsemble(
            member=config.model,
            settings=config.settings,
            folds=config.folds,
            weighting=config.weighting,
            random_state=config.seed,
        )
    return new_segmenter(config.model, config.settings, config.seed)


def _decoder(
    config: ActionConfig,
    segmenter: Segmenter,
    training: Sequences,
    validation: Sequences | None,
) -> tuple[Decoder, Choice | None]:
    """Return the decoder that is asked for, or the best on what the model has not seen."""
    if config.decoder is not None:
        return _asked_decoder(config.decoder, config, training), None
    if isinstance(segmenter, FoldEnsemble):
        choice = choose_decoder(segmenter.held_out, training.codes)
    elif validation is not None:
        found = segmenter.predict_proba(validation.x)
        choice = choose_decoder(found, validation.codes, training=training.codes)
    else:
        return _asked_decoder(DecoderConfig(), config, training), None
    return choice.decoder, choice


def _asked_decoder(asked: DecoderConfig, config: ActionConfig, training: Sequences) -> Decoder:
    background = config.labels.background
    code = None if background is None else training.classes.index(background)
    decoder = Decoder(**asked.model_dump(), background=code)
    return decoder.fit(training.codes, len(training.classes))


def _parts(dataset: Dataset, split: str | None) -> dict[str, Dataset]:
    if split is None:
        return {"train": dataset}
    parts = dataset.split(split)
    if "train" not in parts or not len(parts["train"]):
        raise DataError(
            f"Split {split!r} has the parts {', '.join(parts)}; expected one called 'train' with "
            "a recording or more."
        )
    return {name: part for name, part in parts.items() if len(part)}


def _check(
    config: ActionConfig,
    kind: type[Segmenter],
    training: Sequences,
    validation: Sequences | None,
) -> None:
    """Refuse what could only fail later, when hours have been spent."""
    for what, part in (("training", training), ("validation", validation)):
        if part is not None and not any((codes >= 0).any() for codes in part.codes):
            raise DataError(
                f"None of the {len(part.names)} {what} recordings has a labelled frame of "
                f"{', '.join(part.classes) or 'any class'}."
            )
    if training.weak is not None:
        if not kind.takes_weak:
            raise ConfigError(f"labels.weak: {config.model!r} does not learn from weak labels.")
        if not any((codes >= 0).any() for codes in training.weak):
            raise ConfigError(
                f"labels.weak: no training recording has labels under {config.labels.weak!r}."
            )
    segmenter = _segmenter(config)
    if isinstance(segmenter, FoldEnsemble):
        segmenter.new_member(0)
    _check_tokens(config, training.channels)
    if config.decoder is not None:
        decoder = _asked_decoder(config.decoder, config, training)
        decoder.decode([np.full((2, len(training.classes)), 1 / len(training.classes))])


def _check_tokens(config: ActionConfig, channels: tuple[str, ...]) -> None:
    """See that features are tokens where the model takes them for such."""
    tokens = config.settings.get("tokens", 1)
    if tokens == 1:
        return
    others = [name for name in channels if name.partition(":")[0] not in config.features.series]
    if others:
        raise ConfigError(
            f"settings.tokens: all features have to be tokens, and {others[0]!r} is none. Name "
            "the tokens in features.series; set features.velocity to false, features.windows and "
            "features.sets to []."
        )
    if len(channels) % tokens:
        raise ConfigError(
            f"settings.tokens: {len(channels)} features are not {tokens} tokens of one width."
        )


def _hash(sequences: Sequences) -> str:
    digest = hashlib.sha256(json.dumps([sequences.names, sequences.classes]).encode())
    for arrays in (sequences.x, sequences.codes, sequences.weak or ()):
        for each in arrays:
            digest.update(np.ascontiguousarray(each).tobytes())
    return digest.hexdigest()


def _log_members(run: RunFolder) -> None:
    """Write the mean of the members' metrics as the run's own, for its curves."""
    tables = [
        RunFolder(path.parent).metrics() for path in run.path.glob("members/*/metrics.jsonl")
    ]
    rows = [table for table in tables if "step" in table]
    if not rows or run.metrics_path.is_file():
        return
    mean: Any = pd.concat(rows).groupby("step").mean(numeric_only=True)
    mean = mean.reset_index()
    for row in mean.to_dict("records"):
        known = {str(k): v for k, v in row.items() if v == v and k not in ("elapsed_s", "cpu_s")}
        run.log({**known, "step": int(row["step"])})


def _plan(config: ActionConfig, training: Sequences) -> str:
    codes = np.concatenate(training.codes)
    counts = np.bincount(codes[codes >= 0], minlength=len(training.classes))
    frames = ", ".join(f"{n} {name}" for name, n in zip(training.classes, counts, strict=True))
    labelled = sum(bool((each >= 0).any()) for each in training.codes)
    members = f"{min(config.folds, labelled)} x " if config.folds >= 2 else ""
    return (
        f"{len(training.names)} recordings at {training.rate:.4g} frames/s, "
        f"{len(training.channels)} features; labelled frames: {frames}. Model: {members}"
        f"{config.model}."
    )
