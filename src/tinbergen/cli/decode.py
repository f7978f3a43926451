"""``tinbergen decode``: how much of behaviour the neurons tell."""

from __future__ import annotations

from typing import Annotated

import typer

from tinbergen.cli.encode import (
    After,
    Align,
    Before,
    Bin,
    Compare,
    Folds,
    Gap,
    MinRate,
    RandomFolds,
    Seed,
    Settings,
    Together,
    finish,
)
from tinbergen.cli.options import Data, Report, RunOut, SkipBad


def decode(
    paths: Data,
    target: Annotated[
        str,
        typer.Option(
            "--to",
            help="What to decode: a stream (wheel, pose/nose, head:circular), labels, or a "
            "column of the trials (choice).",
        ),
    ],
    out: RunOut,
    features: Annotated[
        list[str] | None,
        typer.Option("--from", help="Spikes or counts; spikes/VISp: of one region."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="ridge, rrr, tcn or bilinear; logistic for classes. Default: by target."
        ),
    ] = None,
    bin_width: Bin = None,
    align: Align = None,
    before: Before = None,
    after: After = None,
    folds: Folds = 5,
    random_folds: RandomFolds = False,
    gap: Gap = 1.0,
    settings: Settings = None,
    min_rate: MinRate = 0.5,
    compare: Compare = False,
    together: Together = False,
    smooth: Annotated[
        bool, typer.Option("--smooth", help="Decode each trial with the help of those around it.")
    ] = False,
    seed: Seed = 0,
    skip_bad: SkipBad = False,
    report: Report = True,
) -> None:
    """Predict behaviour from spikes on held-out time, beside nulls and a plain baseline.

    Exits with 3 when it is done but recordings were left out.
    """
    from tinbergen.configuration import parse_overrides
    from tinbergen.encoding import decode as run_decoding
    from tinbergen.recordings import Dataset

    result = run_decoding(
        Dataset.open(paths),
        features=features or ["spikes"],
        target=target,
        model=model,
        out=out,
        bin=bin_width,
        align=align,
        before=before,
        after=after,
        folds=folds,
        fold_kind="random" if random_folds else "blocks",
        gap=gap,
        options=parse_overrides(settings or []),
        min_rate=min_rate,
        compare=compare,
        together=together,
        smooth=smooth,
        seed=seed,
        skip_bad=skip_bad,
    )
    finish(result, report)
