"""``tinbergen convert``: a dataset as NWB files, or its spikes as one cache of counts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinbergen.cli.options import SkipBad

if TYPE_CHECKING:
    from tinbergen.recordings import Dataset


class _Kind(StrEnum):
    nwb = "nwb"
    cache = "cache"


def convert(
    data: Annotated[Path, typer.Argument(help="A dataset.yaml, or a folder that holds one.")],
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    to: Annotated[
        _Kind, typer.Option(help="nwb: a file a recording; cache: binned spikes, for training.")
    ] = _Kind.nwb,
    run: Annotated[
        Path | None,
        typer.Option(help="Add the predictions of this run of encode or decode (nwb)."),
    ] = None,
    bin_width: Annotated[
        float, typer.Option("--bin", help="Width of the bins, s (cache).", min=1e-6)
    ] = 0.02,
    align: Annotated[
        str | None, typer.Option(help="Column of the trials to lay windows around (cache).")
    ] = None,
    before: Annotated[float, typer.Option(help="Window before that time, s (cache).")] = 0.0,
    after: Annotated[float, typer.Option(help="Window after it, s (cache).")] = 1.0,
    length: Annotated[
        float, typer.Option(help="Length of windows without --align, s (cache).")
    ] = 1.0,
    spikes: Annotated[str, typer.Option(help="Name of the stream of spikes (cache).")] = "spikes",
    skip_bad: SkipBad = False,
) -> None:
    """Write a dataset in another form; nothing is overwritten.

    Exits with 3 when it is done but recordings were left out.
    """
    from tinbergen.files import ensure_output_folder
    from tinbergen.recordings import Dataset

    dataset = Dataset.open(data)
    if to is _Kind.nwb:
        lost = _to_nwb(dataset, ensure_output_folder(out), run, skip_bad)
    else:
        window = {"align": align, "before": before, "after": after}
        window = window if align else {"length": length}
        lost = _to_cache(dataset, out, {"width": bin_width, "spikes": spikes, **window}, skip_bad)
    if lost:
        raise typer.Exit(3)


def _to_nwb(dataset: Dataset, out: Path, run: Path | None, skip_bad: bool) -> int:
    import sys

    from tinbergen.errors import OutputError, TinbergenError
    from tinbergen.files import safe_names
    from tinbergen.progress import track
    from tinbergen.recordings import write_nwb

    predictions = {} if run is None else _predictions(run)
    files = {name: out / f"{part}.nwb" for name, part in safe_names(dataset).items()}
    if there := [file for file in files.values() if file.exists()]:
        raise OutputError(f"{there[0]} exists already. Choose another folder.")
    lost = 0
    for name, recording in track(list(dataset.items()), "writing NWB", "recordings"):
        try:
            write_nwb(files[name], recording, predictions=predictions.get(name))
            print(files[name])
        except TinbergenError as error:
            if not skip_bad or isinstance(error, OutputError):
                raise
            lost += 1
            print(f"left out: {name}: {error}", file=sys.stderr)
    return lost


def _predictions(run: Path) -> dict[str, dict]:
    """Return recording -> name -> predicted series on the bins of a study."""
    from tinbergen.encoding import open_study
    from tinbergen.recordings import Intervals, Series

    result = open_study(run)
    own = result.scores["features"].iloc[0]
    series = {}
    for name, p in result.predicted.items():
        unit = {"counts": "spikes/bin", "classes": "class"}.get(p.kind, "")
        valid = Intervals(p.starts, p.stops)
        found = Series(p.starts, p.models[own], p.names, unit, valid)
        series[name] = {result.summary["title"].split(" by ")[0].replace("/", " "): found}
    return series


def _to_cache(dataset: Dataset, out: Path, settings: dict, skip_bad: bool) -> int:
    import sys

    from tinbergen.configuration import resolve
    from tinbergen.errors import DataError
    from tinbergen.recordings import Spikes, build_counts_cache
    from tinbergen.recordings.counts_cache import CountsConfig

    stream = settings["spikes"]
    good = {
        name: recording
        for name, recording in dataset.items()
        if isinstance(recording.streams.get(stream), Spikes)
    }
    bad = [name for name in dataset if name not in good]
    if bad and (not skip_bad or not good):
        raise DataError(
            f"{len(bad)} of {len(dataset)} recordings have no spikes {stream!r}, for example "
            f"{bad[0]!r}. Name their stream (--spikes), or leave them out (--skip-bad)."
        )
    for name in bad:
        print(f"left out: {name} has no spikes {stream!r}", file=sys.stderr)
    cache = build_counts_cache(good, out, resolve(CountsConfig, settings))
    print(f"{cache.path}: {len(cache.recordings)} recordings, {len(cache)} windows")
    for name in cache.recordings:
        left_out = cache.left_out(name)
        if left_out or left_out.note:
            print(f"{name}: {left_out}")
    print(*cache.notes, sep="\n", end="\n" * bool(cache.notes))
    return len(bad)
