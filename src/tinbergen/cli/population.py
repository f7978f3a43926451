"""``tinbergen population``: one masked transformer over spikes and behaviour."""

from __future__ import annotations

import typer

from tinbergen.cli.population_sweep import sweep

population = typer.Typer(
    help="Spikes and behaviour of many sessions in one masked transformer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
population.command("sweep")(sweep)
