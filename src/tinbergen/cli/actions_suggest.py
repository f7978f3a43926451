"""``tinbergen actions suggest | correct``: what to label next, and what came of it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tinbergen.cli.common import names_of, refuse_existing
from tinbergen.cli.options import Data, LabelFps, Overwrite, Run, SkipBad


class _Measure(StrEnum):
    entropy = "entropy"
    margin = "margin"
    disagreement = "disagreement"


def suggest(
    run: Run,
    paths: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV of the clips, to be filled in.")],
    number: Annotated[int, typer.Option("--number", "-n", help="Clips.", min=1)] = 20,
    length: Annotated[float, typer.Option(help="Length of a clip, s.", min=0.01)] = 2.0,
    by: Annotated[
        _Measure | None,
        typer.Option(help="Default: disagreement of an ensemble, else entropy."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Stream of the labels that are there; default: that of the run."),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option("--videos", help="Also write the clips into this folder.")
    ] = None,
    skip_bad: SkipBad = False,
    overwrite: Overwrite = False,
) -> None:
    """Choose the clips that are worth labelling next: undecided ones, each unlike the others.

    Write their labels (or none) into the list and take them back with actions correct. Exits with
    3 when recordings were left out.
    """
    from tinbergen.actions import export_clips, suggest_clips
    from tinbergen.actions.model import ActionModel
    from tinbergen.recordings import Dataset
    from tinbergen.recordings.usable import say_left_out, usable

    refuse_existing(out, overwrite)
    model = ActionModel.load(run / "model")
    dataset = Dataset.open(paths)
    predictions, bad = usable(dataset, model.predict, "recordings", skip_bad)
    say_left_out(bad)
    known = _labels(dataset, model.config.labels, labels)
    clips = suggest_clips(
        list(predictions.values()),
        number,
        length=length,
        by=None if by is None else by.value,
        labelled=known,
    )
    clips.write(out)
    for row in clips.rows:
        print(f"{row.recording} {row.start:.2f} to {row.stop:.2f} s: {row.why}")
    print(out)
    if videos is not None:
        filmed = {name: next(iter(r.videos.values())) for name, r in dataset.items() if r.videos}
        print(*export_clips(clips, filmed, videos), sep="\n")
    if bad:
        raise typer.Exit(3)


def correct(
    source: Annotated[Path, typer.Argument(help="Labels so far, in any format.")],
    corrections: Annotated[
        Path, typer.Argument(help="A filled-in list of clips, or labels in any format.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV of labels to write (s).")],
    recording: Annotated[
        str | None, typer.Option(help="Which clips, where the list is of several recordings.")
    ] = None,
    individual: Annotated[
        str | None, typer.Option(help="Whose the corrections are, where they do not say.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Names, comma-separated; default: those that the labels so far have."),
    ] = None,
    fps: LabelFps = None,
    overwrite: Overwrite = False,
) -> None:
    """Take corrections back: where they were watched they win; the rest stays as it was.

    Files that need further choices (a stream, a rater) go through actions convert before.
    """
    from tinbergen.actions.suggesting import is_clip_list, read_answers
    from tinbergen.errors import ConfigError, DataError
    from tinbergen.recordings import merge_labels, open_labels

    refuse_existing(out, overwrite)
    names = names_of(classes) or []
    labels = _said(open_labels(source, names, fps=fps))
    if is_clip_list(corrections):
        answers = read_answers(corrections, labels.classes)
        name = recording or (next(iter(answers)) if len(answers) == 1 else None)
        if not answers:
            raise DataError(f"No clip of {corrections} is answered: fill in its column 'label'.")
        if name not in answers:
            raise ConfigError(
                f"{corrections} has answers for {', '.join(answers)}; choose with --recording."
            )
        new = answers[name]
    else:
        new = _said(open_labels(corrections, names, fps=fps))
    merged = merge_labels(labels, new, individual)
    merged.labels.write(out)
    print(f"{out}: {merged}")


def _said(found):
    """Return the labels of a file, and say what was taken for granted."""
    for note in found.notes:
        print(f"note: {found.path}: {note}")
    return found.labels


def _labels(dataset, config, stream: str | None) -> dict:
    """Return the labels that each recording has; recordings without any are left out."""
    from tinbergen.actions.data import has_labels, labels_of
    from tinbergen.errors import ConfigError

    own = config if stream is None else config.model_copy(update={"stream": stream})
    found = {name: labels_of(r, own) for name, r in dataset.items() if has_labels(r, own)}
    if stream is not None and not found:
        raise ConfigError(f"--labels: no recording has labels in a stream {stream!r}.")
    return found
