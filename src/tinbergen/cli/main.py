"""The ``tinbergen`` command: collects the verbs and turns errors into messages and exit codes."""

from __future__ import annotations

import importlib
import os
import sys

import typer

from tinbergen import __version__
from tinbergen.errors import TinbergenError

VERBS = (
    *("demo", "simulate", "check", "convert", "pretrain", "embed", "pose", "actions", "encode"),
    *("decode", "population", "crossanimal", "study", "report", "doctor"),
)


class _App(typer.Typer):
    """Says what went wrong in one message, without a traceback, and exits with its code."""

    def __call__(self, *args: object, **kwargs: object) -> object:
        # Read when torch is loaded: threads sleep while they wait. Spinning, as by default, they
        # keep the core from the one they wait for as soon as another job is on the machine.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        try:
            return super().__call__(*args, **kwargs)
        except TinbergenError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(error.exit_code) from None


app = _App(
    name="tinbergen",
    help="From an animal's video and its spikes to what it did and what its brain encodes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


for _verb in VERBS:
    _found = getattr(importlib.import_module(f"tinbergen.cli.{_verb}"), _verb)
    if isinstance(_found, typer.Typer):  # a verb with verbs of its own
        app.add_typer(_found, name=_verb)
    else:
        app.command(_verb)(_found)


if __name__ == "__main__":
    app()
