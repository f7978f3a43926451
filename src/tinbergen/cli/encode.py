"""``tinbergen encode``: how much of the neural activity features explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tinbergen.cli.common import show
from tinbergen.cli.options import Data, Report, RunOut, SkipBad

if TYPE_CHECKING:
    from tinbergen.encoding import StudyResult

Bin = Annotated[
    float | None,
    typer.Option("--bin", help="Width of the bins, s; default: that of counts, else 0.05."),
]
Align = Annotated[
    str | None,
    typer.Option(help="Column of the trials with the time to lay windows around, such as start."),
]
Before = Annotated[float | None, typer.Option(help="Window before that time, s; default: 0.")]
After = Annotated[
    float | None, typer.Option(help="Window after it, s; default: to the shortest trial's end.")
]
Folds = Annotated[int, typer.Option(help="Parts of the data that are held out in turn.", min=2)]
RandomFolds = Annotated[
    bool,
    typer.Option("--random-folds", help="Deal trials at random, as some papers do; optimistic."),
]
Gap = Annotated[float, typer.Option(help="Left out beside each held-out part, s.", min=0)]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting of the model, as key=value: lags=[-3,3]."),
]
Compare = Annotated[bool, typer.Option("--compare", help="Also score each feature set by itself.")]
Together = Annotated[
    bool,
    typer.Option(
        "--together",
        help="One bilinear or tcn model for all recordings, beside fits of each by itself.",
    ),
]
MinRate = Annotated[
    float, typer.Option(help="Units that fire less are left out of the target, Hz.", min=0)
]
Seed = Annotated[int, typer.Option(help="Of everything that is drawn.", min=0)]


def encode(
    paths: Data,
    features: Annotated[
        list[str],
        typer.Option(
            "--from",
            help="Features: streams (wheel, pose, video:motion, video:pca), columns of trials, "
            "or a folder of embeddings. Several: again, or with commas.",
        ),
    ],
    out: RunOut,
    target: Annotated[str, typer.Option("--to", help="Spikes, counts or traces.")] = "spikes",
    model: Annotated[
        str, typer.Option(help="ridge, rrr, glm, tcn, bilinear, mean or psth.")
    ] = "ridge",
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
    seed: Seed = 0,
    skip_bad: SkipBad = False,
    report: Report = True,
) -> None:
    """Predict spikes from features on held-out time, beside nulls and a plain baseline.

    Exits with 3 when it is done but recordings were left out.
    """
    from tinbergen.configuration import parse_overrides
    from tinbergen.encoding import encode as run_encoding
    from tinbergen.recordings import Dataset

    result = run_encoding(
        Dataset.open(paths),
        features=features,
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
        seed=seed,
        skip_bad=skip_bad,
    )
    finish(result, report)


def finish(result: StudyResult, report: bool) -> None:
    """Say what came out, write the page, and exit with 3 if recordings were lost."""
    show(result, report)
    if result.lost:
        raise typer.Exit(3)
