"""``tinbergen crossanimal``: representations of several animals that tell what they do."""

from __future__ import annotations

from typing import Annotated

import typer

from tinbergen.cli.common import (
    AGAIN,
    chosen_recordings,
    names_of,
    numbers_of,
    runs_of,
    settings_of,
    show,
)
from tinbergen.cli.options import (
    Data,
    FolderOut,
    HoldOut,
    Only,
    Recordings,
    Report,
    Resume,
    Run,
    RunOut,
    ScoresOut,
    Settings,
    Steps,
)

crossanimal = typer.Typer(
    help="Neural representations that tell the action and not the animal.",
    no_args_is_help=True,
)


@crossanimal.command()
def train(
    paths: Data,
    out: RunOut,
    neural: Annotated[str, typer.Option(help="Stream of traces, or of spikes.")] = "neural",
    pose: Annotated[
        list[str] | None,
        typer.Option(help="Stream of the pose; several, which are put side by side: again."),
    ] = None,
    objective: Annotated[
        str, typer.Option(help="contrast, simclr, regression or syllables.")
    ] = "contrast",
    bin_width: Annotated[
        float | None, typer.Option("--bin", help="Width of bins of spikes, s.")
    ] = None,
    trials: Annotated[
        str | None, typer.Option(help="Stream of trials, which windows do not leave.")
    ] = None,
    test: Annotated[
        float,
        typer.Option(help="Share of each recording that is for the test.", min=0.01, max=0.9),
    ] = 0.2,
    gap: Annotated[int, typer.Option(help="Neural frames between training and test.", min=0)] = 10,
    blocks: Annotated[
        int,
        typer.Option(
            help="Blocks of time to draw the test from; 0: the end of a recording.", min=0
        ),
    ] = 0,
    by_trial: Annotated[
        bool, typer.Option("--by-trial", help="Draw whole trials for the test.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of training, and of drawn blocks.")] = 0,
    steps: Steps = None,
    settings: Settings = None,
    recordings: Recordings = None,
    only: Only = None,
    hold_out: HoldOut = None,
    resume: Resume = False,
) -> None:
    """Train on pose and neural activity of several animals, without labels.

    Exits with 75 when a signal stopped it and everything is saved (run it again with --resume).
    """
    from tinbergen.configuration import merge
    from tinbergen.crossanimal import train as run_training
    from tinbergen.training.signals import preemptible

    streams = {
        **{"neural": neural, "pose": tuple(pose or ["pose"]), "bin_width": bin_width},
        **{"trials": trials, "test": test, "gap": gap, "blocks": blocks, "by_trial": by_trial},
        "seed": seed,
    }
    fixed = {"objective": objective, "train": {"seed": seed}}
    with preemptible(AGAIN):
        model = run_training(
            chosen_recordings(paths, recordings, only, hold_out),
            out,
            streams=streams,
            overrides=merge(fixed, settings_of(settings, steps)),
            resume=resume,
        )
    print(f"{len(model.animals_)} recordings: {', '.join(model.animals_)}")
    print(out)


@crossanimal.command()
def adapt(
    run: Run,
    paths: Data,
    out: RunOut,
    steps: Steps = None,
    settings: Settings = None,
    recordings: Recordings = None,
    only: Only = None,
) -> None:
    """Carry a model over to new animals: an input layer each, from their pose, without labels."""
    from tinbergen.crossanimal import adapt as run_adapting

    model = run_adapting(
        run,
        chosen_recordings(paths, recordings, only),
        out,
        overrides=settings_of(settings, steps),
    )
    print(f"{len(model.animals_)} recordings: {', '.join(model.animals_)}")
    print(out)


@crossanimal.command()
def embed(
    run: Run,
    paths: Data,
    out: FolderOut,
    space: Annotated[
        str, typer.Option(help="h (of the encoder) or z (what the loss compares).")
    ] = "h",
    recordings: Recordings = None,
) -> None:
    """Write the representation of every recording as a series, an npz each."""
    from tinbergen.crossanimal import embed as run_embedding

    found = run_embedding(run, chosen_recordings(paths, recordings), out, space=space)  # type: ignore[arg-type]  # refused if unknown
    for name, path in found.items():
        print(f"{name}: {path}")


@crossanimal.command()
def evaluate(
    run: Run,
    paths: Data,
    out: ScoresOut = None,
    labels: Annotated[
        str, typer.Option(help="Stream of labels, or a series of whole numbers.")
    ] = "actions",
    actions: Annotated[
        str | None, typer.Option(help="Actions to tell apart, with commas between; default: all.")
    ] = None,
    fractions: Annotated[
        str, typer.Option(help="Shares of the training labels, with commas between.")
    ] = "0.5,1",
    probe: Annotated[
        str, typer.Option(help="discriminant, which is fast, or logistic.")
    ] = "discriminant",
    beside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=RUN",
            help="Another run on the same recordings: one more row. Runs of one name are seeds.",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Also train anew without each animal, and carry over to it."
        ),
    ] = False,
    baselines: Annotated[bool, typer.Option(help="Raw traces and aligned animals too.")] = True,
    recordings: Recordings = None,
    report: Report = True,
) -> None:
    """Score within and across animals, and whether the animal can be told; with nulls."""
    from tinbergen.crossanimal import evaluate as run_evaluation

    result = run_evaluation(
        run,
        chosen_recordings(paths, recordings),
        labels=labels,
        out=out,
        actions=names_of(actions),
        fractions=numbers_of(fractions, "--fractions", float, "0.5,1"),
        probe=probe,  # type: ignore[arg-type]  # refused if unknown
        beside=runs_of(beside),
        strict=strict,
        baselines=baselines,
    )
    show(result, report)
