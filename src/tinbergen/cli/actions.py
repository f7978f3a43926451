"""``tinbergen actions``: behaviours from labelled recordings; trained, predicted, compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinbergen.cli.actions_convert import convert
from tinbergen.cli.actions_suggest import correct, suggest
from tinbergen.cli.common import AGAIN, names_of, numbers_of, say, settings_of
from tinbergen.cli.options import (
    Data,
    FolderOut,
    Overwrite,
    Part,
    Report,
    Resume,
    Run,
    RunOut,
    ScoresOut,
    Settings,
    SkipBad,
)

actions = typer.Typer(
    help="What an animal does in every frame, from keypoints, embeddings or any signal.",
    no_args_is_help=True,
)

SplitName = Annotated[
    str | None,
    typer.Option(
        "--split",
        help="A split of the dataset: its part 'train' trains, 'validation' chooses, 'test' is "
        "scored. Default: all labelled recordings train.",
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML of settings, as config.yaml of a run.")
]
Seed = Annotated[int | None, typer.Option(help="Of the folds and the models.", min=0)]


@actions.command()
def train(
    paths: Data,
    out: RunOut,
    model: Annotated[
        str | None,
        typer.Option(
            help="trees, forest, logistic, mlp, gru, lstm, tcn, tcn_reference, mstcn, hmm, arhmm, "
            "slds, s3lds or mixture; default: tcn."
        ),
    ] = None,
    split: SplitName = None,
    config: ConfigFile = None,
    settings: Settings = None,
    seed: Seed = None,
    resume: Resume = False,
    skip_bad: SkipBad = False,
    report: Annotated[
        bool, typer.Option(help="Score what the split held out, and write report.html.")
    ] = True,
) -> None:
    """Learn behaviours from labelled recordings.

    Exits with 0 when done, 3 when done but recordings were left out, 75 when a signal stopped it
    and what is finished is kept (run it again with --resume).
    """
    from tinbergen.actions import evaluate as run_evaluation
    from tinbergen.actions import train as run_training
    from tinbergen.recordings import Dataset
    from tinbergen.training.signals import preemptible

    dataset = Dataset.open(paths)
    with preemptible(AGAIN):
        run = run_training(
            dataset,
            out,
            split=split,
            overrides=settings_of(settings, config=config, model=model, seed=seed),
            resume=resume,
            skip_bad=skip_bad,
        )
        print(run.path)
        lost = [*run.status.get("losses", ())]
        parts = dataset.split(split) if split is not None else {}
        if report and any(len(parts.get(part, ())) for part in ("test", "validation")):
            from tinbergen.report import write_report

            found = run_evaluation(run, dataset, skip_bad=skip_bad)
            say(list(found.scores))
            print(write_report(run.path))
            lost += found.sequences.lost
    if lost:
        raise typer.Exit(3)


@actions.command()
def predict(
    run: Run,
    paths: Data,
    out: FolderOut,
    skip_bad: SkipBad = False,
    overwrite: Overwrite = False,
) -> None:
    """Name the behaviour in every frame of every recording.

    Writes NAME.bouts.csv (start, stop, label, probability), NAME.frames.csv (probabilities,
    entropy, variance) and, of all, bouts_per_minute.csv. Exits with 3 when recordings were left
    out.
    """
    import pandas as pd

    from tinbergen.actions import ActionModel
    from tinbergen.errors import OutputError
    from tinbergen.files import ensure_output_folder, safe_names, write_csv
    from tinbergen.recordings import Dataset
    from tinbergen.recordings.usable import say_left_out, usable

    model = ActionModel.load(run / "model")
    dataset = Dataset.open(paths)
    names = safe_names(dataset)
    taken = [name for name in names.values() if (out / f"{name}.bouts.csv").exists()]
    if taken and not overwrite:
        raise OutputError(
            f"{out / taken[0]}.bouts.csv already exists; choose another folder, or --overwrite."
        )
    good, bad = usable(dataset, model.check, "recordings", skip_bad)
    say_left_out(bad)
    ensure_output_folder(out)
    rates = []
    for name, recording in good.items():
        found = model.predict(recording)
        path = found.write(out, names[name])
        print(f"{name}: {len(found.times)} frames, {len(found.bouts())} bouts, {path}")
        rates.append(found.rates().assign(recording=name))
    table = pd.concat(rates).set_index("recording").reset_index()
    write_csv(out / "bouts_per_minute.csv", table)
    if bad:
        raise typer.Exit(3)


@actions.command()
def evaluate(
    run: Run,
    paths: Data,
    part: Part = None,
    rater: Annotated[
        list[str] | None,
        typer.Option(
            help="Labels of the same recordings by somebody else, to stand beside; again."
        ),
    ] = None,
    out: ScoresOut = None,
    skip_bad: SkipBad = False,
    movies: Annotated[
        bool, typer.Option(help="Show predicted bouts of recordings that have a video.")
    ] = True,
    report: Report = True,
) -> None:
    """Score a run on labelled recordings: those it held out, or those of other animals."""
    from tinbergen.actions import evaluate as run_evaluation
    from tinbergen.cli.common import say
    from tinbergen.recordings import Dataset
    from tinbergen.report import write_report

    found = run_evaluation(
        run, Dataset.open(paths), part=part, rater=rater, out=out, skip_bad=skip_bad, movies=movies
    )
    say(list(found.scores))
    if report:
        print(write_report(out or run))
    if found.sequences.lost:
        raise typer.Exit(3)


@actions.command()
def compare(
    paths: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder: a run a model, and a table.")],
    models: Annotated[
        str | None, typer.Option(help="Names, with commas between; default: every model.")
    ] = None,
    split: SplitName = None,
    part: Part = None,
    config: ConfigFile = None,
    settings: Settings = None,
    seed: Seed = None,
    resume: Resume = False,
    skip_bad: SkipBad = False,
) -> None:
    """Train and score several models on the same recordings: one table, best first."""
    from tinbergen.actions import SEGMENTERS
    from tinbergen.actions import compare as run_comparison
    from tinbergen.recordings import Dataset
    from tinbergen.training.signals import preemptible

    with preemptible(AGAIN):
        table = run_comparison(
            Dataset.open(paths),
            out,
            names_of(models) or list(SEGMENTERS),
            split=split,
            part=part,
            overrides=settings_of(settings, config=config, seed=seed),
            resume=resume,
            skip_bad=skip_bad,
        )
    print(table.to_string(index=False, float_format="{:.3f}".format))
    if any(table["left_out"]):
        raise typer.Exit(3)


@actions.command()
def density(
    run: Run,
    paths: Data,
    goals: Annotated[
        str | None,
        typer.Option(help="Labelled frames a class, with commas between; default: 50 to 3000."),
    ] = None,
    draws: Annotated[int, typer.Option(help="Of the labels that stay.", min=1, max=5)] = 3,
    part: Part = None,
    skip_bad: SkipBad = False,
    report: Report = True,
) -> None:
    """Train a run's model on few of its labels and on ever more, to see how many are enough.

    A single model each time, scored on what the run held out. Goes on where it stopped.
    """
    from tinbergen.actions import label_density
    from tinbergen.actions.thinning import GOALS
    from tinbergen.recordings import Dataset
    from tinbergen.report import write_report

    wanted = numbers_of(goals, "--goals", int, "50,200") if goals else list(GOALS)
    table = label_density(
        run, Dataset.open(paths), goals=wanted, draws=draws, part=part, skip_bad=skip_bad
    )
    print(table.to_string(index=False))
    if report:
        print(write_report(run))


actions.command("convert")(convert)
actions.command("suggest")(suggest)
actions.command("correct")(correct)
