"""``tinbergen crossanimal``: representations of several animals that tell what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinbergen.cli.common import chosen_recordings, names_of, settings_of

crossanimal = typer.Typer(
    help="Neural representations that tell the action and not the animal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Data = Annotated[
    list[Path], typer.Argument(help="A dataset.yaml, or a folder that holds one.", metavar="DATA")
]
Run = Annotated[Path, typer.Argument(help="A finished run folder.", metavar="RUN")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to make.")]
Steps = Annotated[int | None, typer.Option(help="Optimizer steps.", min=1)]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting, as key=value; see config.yaml of a run."),
]
Recordings = Annotated[
    str | None, typer.Option(help="Names of recordings to use, with commas between.")
]
Only = Annotated[str | None, typer.Option(help="Subjects to use, with commas between.")]
HoldOut = Annotated[
    str | None, typer.Option("--hold-out", help="Subjects to leave out, with commas between.")
]
_AGAIN = "Run the same command with --resume to go on."


@crossanimal.command()
def train(
    paths: Data,
    out: Out,
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
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it stopped.")] = False,
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
    with preemptible(_AGAIN):
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
    out: Out,
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
    out: Out,
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
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to make; default: into the run.")
    ] = None,
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
    report: Annotated[bool, typer.Option(help="Write report.html at the end.")] = True,
) -> None:
    """Score within and across animals, and whether the animal can be told; with nulls."""
    from tinbergen.crossanimal import evaluate as run_evaluation
    from tinbergen.report import write_report

    result = run_evaluation(
        run,
        chosen_recordings(paths, recordings),
        labels=labels,
        out=out,
        actions=names_of(actions),
        fractions=_shares(fractions),
        probe=probe,  # type: ignore[arg-type]  # refused if unknown
        beside=_runs(beside or []),
        strict=strict,
        baselines=baselines,
    )
    print(result.text())
    print(write_report(str(result.path)) if report else result.path)


# ---- what options say


def _shares(text: str) -> list[float]:
    from tinbergen.errors import ConfigError

    try:
        return [float(part) for part in names_of(text) or []]
    except ValueError:
        raise ConfigError(
            f"--fractions: expected numbers such as 0.5,1; found {text!r}."
        ) from None


def _runs(texts: list[str]) -> list[tuple[str, str]]:
    from tinbergen.errors import ConfigError

    pairs = [text.partition("=") for text in texts]
    if wrong := [text for text, (name, _, path) in zip(texts, pairs, strict=True)
                 if not name or not path]:  # fmt: skip
        raise ConfigError(f"--beside: expected NAME=RUN, found {wrong[0]!r}.")
    return [(name, path) for name, _, path in pairs]
