"""``tinbergen study``: a whole study from one file, on one machine or a cluster."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import typer

if TYPE_CHECKING:
    from tinbergen.study import Option, Plan, StepStatus
    from tinbergen.study.estimates import Estimate

study = typer.Typer(
    help="A whole study from one file: what is out of date runs, in order and side by side.",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Argument(help="A study.yaml, or its folder.", metavar="STUDY")]


@study.command()
def run(
    file: File,
    cores: Annotated[int, typer.Option(help="Cores to use; 0 = all.", min=0)] = 0,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="Give every step to SLURM, as study.yaml says.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would run, and what it would take.")
    ] = False,
) -> None:
    """Run what is not done or out of date, and write the report.

    Stopped or killed, it goes on when called again. Exits with 3 when it is done but something
    was lost, 75 when it was stopped, 1 when a step failed.
    """
    import os

    from tinbergen.study import check_settings, estimate, require_snakemake, run_plan, study_status
    from tinbergen.study.report import write_study_report

    require_snakemake(slurm)
    plan = _plan(file)
    check_settings(plan)
    estimates = estimate(plan)
    if dry_run:
        _show_estimates(plan, estimates)
        return
    run_plan(plan, estimates, cores=cores or os.cpu_count() or 1, slurm=slurm)
    steps = study_status(plan)
    _show(steps)
    print(write_study_report(plan))
    states = {step.state for step in steps}
    if "failed" in states:
        raise typer.Exit(1)
    if states != {"done"}:
        why = "Not all is done" if "stopped" not in states else "Stopped before all was done"
        print(f"{why}; run it again to go on. Log: {plan.study.out / 'snakemake.log'}")
        raise typer.Exit(75)
    if any(step.done["losses"] for step in steps):
        raise typer.Exit(3)


@study.command()
def status(
    file: File,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, no table.")] = False,
) -> None:
    """Say what is done, stale, running, failed (and why) or waiting."""
    import json
    from dataclasses import asdict

    from tinbergen.study import leftovers, study_status

    plan = _plan(file)
    steps, found = study_status(plan), leftovers(plan)
    if as_json:
        content = {"steps": [asdict(step) for step in steps], "leftovers": found}
        print(json.dumps(content, indent=2, default=str))
        return
    _show(steps)
    if found:
        print(f"Results of other settings or inputs, which can be deleted: {len(found)} folders")
        for folder in found:
            print(f"  {folder}")


@study.command()
def report(
    file: File,
    open_it: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
) -> None:
    """Write one page for the whole study: the scores of every step, and links to their pages."""
    from tinbergen.study.report import write_study_report

    page = write_study_report(_plan(file))
    print(page)
    if open_it:
        typer.launch(page.resolve().as_uri())


def _plan(file: Path) -> Plan:
    from tinbergen.study import make_plan, read_study

    return make_plan(read_study(file), Commands())


class Commands:
    """The commands of this program, as a study asks for them."""

    def options(self, verb: tuple[str, ...]) -> Mapping[str, Option]:
        """Return the options of a command by their long names."""
        from tinbergen.study import Option

        found = {}
        command = self._command(verb)
        hints = get_type_hints(command.callback)
        for each in command.params:
            types = _parts(hints.get(each.name))
            flag = next((text for text in each.opts if text.startswith("--")), "")
            off = next((text for text in each.secondary_opts if text.startswith("--")), "")
            name = flag.removeprefix("--") or str(each.name)
            found[name] = Option(
                flag=flag,
                off=off,
                switch=bool(getattr(each, "is_flag", False)),
                path=Path in types,
                many=list in types,
            )
        found.pop("help", None)
        return found

    def check(self, verb: tuple[str, ...], arguments: list[str]) -> None:
        """Raise a ConfigError if the command would not take the arguments."""
        from tinbergen.errors import ConfigError

        usage_error: Any = typer.BadParameter.__mro__[1]  # not exported; the base of all of them
        try:
            self._command(verb).make_context(verb[-1], list(arguments))
        except usage_error as error:
            raise ConfigError(error.format_message()) from None

    def _command(self, verb: tuple[str, ...]) -> Any:
        command = self._program
        for part in verb:
            command = command.commands[part]
        return command

    @functools.cached_property
    def _program(self) -> Any:
        from tinbergen.cli.main import app

        return typer.main.get_command(app)


def _parts(hint: Any) -> set[Any]:
    """Return a type and everything in it: ``list[Path] | None`` has a list, a Path and None."""
    parts = {get_origin(hint) or hint}
    return parts.union(*(_parts(each) for each in get_args(hint)))


def _show(steps: list[StepStatus]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"done": "green", "running": "cyan", "failed": "red", "stopped": "yellow"}
    table = Table(box=None, pad_edge=False)
    table.add_column("step")
    table.add_column("kind")
    table.add_column("state")
    table.add_column("s", justify="right")
    for each in steps:
        seconds = "" if each.seconds is None else f"{each.seconds:.0f}"
        state = Text(each.state, colours.get(each.state, ""))
        table.add_row(each.name, each.kind, state, seconds)
    console = Console(soft_wrap=True)
    console.print(table)
    for each in steps:
        if each.note:
            console.print(Text(f"{each.name}: {each.note}"))
        if each.state == "failed":
            console.print(Text(f"  log: {each.log}"))


def _show_estimates(plan: Plan, estimates: dict[str, Estimate]) -> None:
    from rich.console import Console
    from rich.table import Table

    from tinbergen.study import study_status
    from tinbergen.study.estimates import HOW

    table = Table(box=None, pad_edge=False)
    for name in ("step", "kind", "state"):
        table.add_column(name)
    for name in ("time", "memory", "disk"):
        table.add_column(name, justify="right")
    table.add_column("estimated from")
    total = 0.0
    for each in study_status(plan):
        cells = ["", "", "", ""]
        if each.state != "done":
            found = estimates[each.name]
            total += found.seconds
            cells = [_time(found.seconds), f"{found.memory_gb:.1f} GB", f"{found.disk_gb:.2f} GB"]
            cells.append(found.source)
        table.add_row(each.name, each.kind, each.state, *cells)
    Console(soft_wrap=True).print(table)
    print(f"One after the other: {_time(total)}. " + HOW)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
