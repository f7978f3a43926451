"""``tinbergen actions suggest | correct``: what to label next, and what came of it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class _Measure(StrEnum):
    entropy = "entropy"
    margin = "margin"
    disagreement = "disagreement"


def suggest(
    run: Annotated[Path, typer.Argument(help="A finished run of actions.", metavar="RUN")],
    paths: Annotated[
        list[Path],
        typer.Argument(help="A dataset.yaml, or a folder that holds one.", metavar="DATA"),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV of the clips, to be filled in.")],
    number: Annotated[int, typer.Option("--number", "-n", help="Clips.", min=1)] = 20,
    length: Annotated[float, typer.Option(help="Length of a clip, s.", min=0.01)] = 2.0,
    by: Annotated[
        _Measure | None,
        typer.Option(help="Default: disagreement of an ensemble, else entropy."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Stream of the labels that are there; default: the only one."),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option("--videos", help="Also write the clips into this folder.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave recordings out that cannot be used.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the list.")] = False,
) -> None:
    """Choose the clips that are worth labelling next: undecided ones, each unlike the others.

    Write their labels (or none) into the list and take them back with actions correct. Exits with
    3 when recordings were left out.
    """
    import sys

    from tinbergen.actions import export_clips, suggest_clips
    from tinbergen.actions.model import ActionModel
    from tinbergen.cli.pose_common import refuse_existing
    from tinbergen.errors import TinbergenError
    from tinbergen.recordings import Dataset

    refuse_existing(out, overwrite)
    model = ActionModel.load(run / "model")
    dataset = Dataset.open(paths)
    predictions, lost = [], 0
    for name, recording in dataset.items():
        try:
            predictions.append(model.predict(recording))
        except TinbergenError as error:
            if not skip_bad:
                raise
            lost += 1
            print(f"left out: {name}: {error}", file=sys.stderr)
    known = {name: each for name in dataset if (each := _labels(dataset[name], labels))}
    clips = suggest_clips(
        predictions, number, length=length, by=None if by is None else by.value, labelled=known
    )
    clips.write(out)
    for row in clips.rows:
        print(f"{row.recording} {row.start:.2f} to {row.stop:.2f} s: {row.why}")
    print(out)
    if videos is not None:
        filmed = {name: next(iter(r.videos.values())) for name, r in dataset.items() if r.videos}
        print(*export_clips(clips, filmed, videos), sep="\n")
    if lost:
        raise typer.Exit(3)


def correct(
    source: Annotated[Path, typer.Argument(help="Labels so far, in any format.")],
    corrections: Annotated[
        Path, typer.Argument(help="A filled-in list of clips, or labels in any format.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV of labels to write (s).")],
    recording: Annotated[
        str | None, typer.Option(help="Whose clips, where the list is of several recordings.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames per second, where files count frames.", min=1e-6)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Take corrections back: where they were watched they win; the rest stays as it was."""
    from tinbergen.actions import read_answers
    from tinbergen.cli.pose_common import refuse_existing
    from tinbergen.errors import ConfigError
    from tinbergen.recordings import merge_labels, open_labels

    refuse_existing(out, overwrite)
    labels = open_labels(source, fps=fps).labels
    if _is_list(corrections):
        answers = read_answers(corrections, labels.classes)
        name = recording or (next(iter(answers)) if len(answers) == 1 else None)
        if name not in answers:
            raise ConfigError(
                f"{corrections} has answers for {', '.join(answers) or 'no recording'}; choose "
                "with --recording."
            )
        new = answers[name]
    else:
        new = open_labels(corrections, fps=fps).labels
    merged = merge_labels(labels, new)
    merged.labels.write(out)
    print(f"{out}: {merged}")


def _is_list(path: Path) -> bool:
    """Whether a file is a list of clips: it names recordings."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.readline().startswith(b"recording,start,stop,label")


def _labels(recording, stream: str | None):
    from tinbergen.recordings import Labels

    if stream is not None:
        return recording[stream]
    found = [each for each in recording.streams.values() if isinstance(each, Labels)]
    return found[0] if len(found) == 1 else None
