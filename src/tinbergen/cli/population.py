"""``tinbergen population``: one model of many sessions, trained, adapted, scored and asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinbergen.cli.common import AGAIN, chosen_recordings, names_of, runs_of, settings_of, show
from tinbergen.cli.options import (
    Data,
    FolderOut,
    HoldOut,
    Only,
    Preset,
    Recordings,
    Report,
    Resume,
    Run,
    RunOut,
    ScoresOut,
    Settings,
    Steps,
)
from tinbergen.cli.population_sweep import sweep

if TYPE_CHECKING:
    from tinbergen.training import RunFolder

population = typer.Typer(
    help="One masked transformer over the spikes and behaviour of many sessions.",
    no_args_is_help=True,
)
population.command("sweep")(sweep)

Folds = Annotated[
    int, typer.Option(help="Groups in which units are hidden to be predicted.", min=2)
]
Exact = Annotated[bool, typer.Option("--exact", help="Hide units one by one; slower.")]


@population.command()
def pretrain(
    paths: Data,
    out: RunOut,
    preset: Preset = "tinbergen",
    spikes: Annotated[
        str | None, typer.Option(help="Stream of spikes, or of counts; default: spikes.")
    ] = None,
    modalities: Annotated[
        list[str] | None,
        typer.Option(
            "--modality",
            help="What is known beside spikes: NAME[=SOURCE][:kind][:static], such as "
            "wheel=wheel/velocity or choice=trials/choice:categorical. Kinds: continuous, "
            "categorical, counts. Several: again.",
        ),
    ] = None,
    align: Annotated[
        str | None,
        typer.Option(
            help="Column of the trials with the event of each window; default: no event."
        ),
    ] = None,
    before: Annotated[float | None, typer.Option(help="Of a window before the event, s.")] = None,
    after: Annotated[float | None, typer.Option(help="Of a window after it, s.")] = None,
    bin_width: Annotated[float | None, typer.Option("--bin", help="Width of the bins, s.")] = None,
    steps: Steps = None,
    settings: Settings = None,
    recordings: Recordings = None,
    only: Only = None,
    hold_out: HoldOut = None,
    resume: Resume = False,
) -> None:
    """Train on the windows of one or many sessions.

    Exits with 75 when a signal stopped it and everything is saved (run it again with --resume).
    """
    from tinbergen.configuration import merge
    from tinbergen.population import pretrain as run_pretraining
    from tinbergen.training.signals import preemptible

    windows = {"align": align, "before": before, "after": after, "width": bin_width}
    windows = {key: v for key, v in {**windows, "spikes": spikes}.items() if v is not None}
    named = parse_modalities(modalities or [])
    overrides = merge({"windows": windows, "modalities": named}, settings_of(settings, steps))
    data = chosen_recordings(paths, recordings, only, hold_out)
    with preemptible(AGAIN):
        run = run_pretraining(
            data,
            out,
            preset=preset,  # type: ignore[arg-type]  # refused with a list of presets if unknown
            overrides=overrides,
            resume=resume,
        )
    _said(run)


@population.command()
def adapt(
    run: Run,
    paths: Data,
    out: RunOut,
    strategy: Annotated[
        str,
        typer.Option(help="frozen (the core stays), gradual (it stays at first) or full."),
    ] = "gradual",
    steps: Steps = None,
    settings: Settings = None,
    recordings: Recordings = None,
    only: Only = None,
    hold_out: HoldOut = None,
    resume: Resume = False,
) -> None:
    """Carry a trained model over to new sessions: new vectors for their units.

    Exits with 75 when a signal stopped it and everything is saved (run it again with --resume).
    """
    from tinbergen.population import adapt as run_adapting
    from tinbergen.training.signals import preemptible

    data = chosen_recordings(paths, recordings, only, hold_out)
    with preemptible(AGAIN):
        adapted = run_adapting(
            run,
            data,
            out,
            strategy=strategy,  # type: ignore[arg-type]  # refused by the settings if unknown
            overrides=settings_of(settings, steps),
            resume=resume,
        )
    _said(adapted)


@population.command()
def evaluate(
    run: Run,
    paths: Data,
    out: ScoresOut = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            help="Of co_smoothing, forward, intra_region, inter_region, encoding, decoding, "
            "imputation; with commas between. Default: all that can be asked."
        ),
    ] = None,
    part: Annotated[str, typer.Option(help="Windows to score: test, validation or train.")] = (
        "test"
    ),
    folds: Folds = 20,
    exact: Exact = False,
    baselines: Annotated[bool, typer.Option(help="Fit the classical models as well.")] = True,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=RUN",
            help="Another run that knows the same sessions, such as the animal alone or after "
            "fewer animals: one more method in all tables.",
        ),
    ] = None,
    recordings: Recordings = None,
    report: Report = True,
) -> None:
    """Score a model on windows that it was not trained on, beside classical models."""
    from tinbergen.population import evaluate as run_evaluation

    result = run_evaluation(
        run,
        chosen_recordings(paths, recordings),
        out=out,
        tasks=names_of(tasks),
        part=part,  # type: ignore[arg-type]  # refused if the split has no such part
        folds=folds,
        exact=exact,
        baselines=baselines,
        beside=_each_once(runs_of(beside)),
    )
    show(result, report)


@population.command()
def predict(
    run: Run,
    paths: Data,
    out: FolderOut,
    given: Annotated[
        str, typer.Option(help="What is visible: spikes and modalities, with commas between.")
    ] = "spikes",
    target: Annotated[str, typer.Option(help="What is predicted: spikes or a modality.")] = (
        "spikes"
    ),
    task: Annotated[
        str | None,
        typer.Option(
            help="Of spikes from spikes: co_smoothing (default), intra_region, inter_region or "
            "forward."
        ),
    ] = None,
    folds: Folds = 20,
    exact: Exact = False,
    recordings: Recordings = None,
) -> None:
    """Write predictions for every window: a folder with npy and index.csv a session."""
    from tinbergen.population import predict as run_prediction

    paths_of = run_prediction(
        run,
        chosen_recordings(paths, recordings),
        out,
        given=names_of(given) or [],
        target=target,
        task=task,  # type: ignore[arg-type]  # refused if unknown
        folds=None if exact else folds,
    )
    for name, path in paths_of.items():
        print(f"{name}: {path}")


# ---- what options say


def parse_modalities(texts: list[str]) -> dict[str, dict[str, Any]]:
    """Read ``NAME[=SOURCE][:kind][:static]``; a column of the trials is static by itself.

    Raises
    ------
    ConfigError
        For another form, or a name that stands twice.

    Examples
    --------
    >>> parse_modalities(["wheel", "side=trials/side:categorical"])["side"]
    {'source': 'trials/side', 'kind': 'categorical', 'static': True}
    """
    from tinbergen.errors import ConfigError

    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        first, *flags = text.split(":")
        name, _, source = first.partition("=")
        kinds = [flag for flag in flags if flag != "static"]
        wrong = [kind for kind in kinds if kind not in ("continuous", "categorical", "counts")]
        if not name or wrong or len(kinds) > 1 or name in found:
            raise ConfigError(
                "--modality: expected NAME[=SOURCE][:continuous|categorical|counts][:static], "
                f"each name once, found {text!r}."
            )
        settings: dict[str, Any] = {"source": source} if source else {}
        settings |= {"kind": kinds[0]} if kinds else {}
        if "static" in flags or source.startswith("trials/"):
            settings["static"] = True
        found[name] = settings
    return found


def _each_once(runs: list[tuple[str, str]]) -> dict[str, str]:
    from tinbergen.errors import ConfigError

    found = dict(runs)
    if len(found) < len(runs):
        raise ConfigError(f"--beside: expected each name once, found {[n for n, _ in runs]}.")
    return found


def _said(run: RunFolder) -> None:
    from tinbergen.population.pretraining import load_vocabulary

    vocabulary = load_vocabulary(run)
    units = sum(s.n_units for s in vocabulary.sessions)
    print(f"{len(vocabulary.sessions)} sessions, {units} units, {vocabulary.n_bins} bins a window")
    print(run.path)
