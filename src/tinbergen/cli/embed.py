"""``tinbergen embed``: one row of features per frame of every video."""

from __future__ import annotations

from typing import Annotated

import typer

from tinbergen.cli.common import names_of, numbers_of
from tinbergen.cli.options import (
    BatchSize,
    Device,
    FolderOut,
    Overwrite,
    Precision,
    Run,
    SkipBad,
    Videos,
)


def embed(
    run: Run,
    paths: Videos,
    out: FolderOut,
    tokens: Annotated[
        str,
        typer.Option(
            help="What to keep, as cls,texture: cls, mean, grid, texture, patch. cls+texture says "
            "that the steps of a study take both as one stream."
        ),
    ] = "cls",
    layers: Annotated[
        str | None,
        typer.Option(help="Blocks to take tokens from, as 4,8,12; default: the output."),
    ] = None,
    dtype: Annotated[str, typer.Option(help="float16 or float32.")] = "float16",
    batch_size: BatchSize = 32,
    device: Device = "auto",
    precision: Precision = "auto",
    skip_bad: SkipBad = False,
    overwrite: Overwrite = False,
    nwb: Annotated[bool, typer.Option("--nwb", help="Also write an NWB file for each.")] = False,
) -> None:
    """Embed every frame of every video, on the video's own frame times.

    Killed, it goes on where it stopped when called again. Exits with 3 when it is done but
    frames could not be decoded (their rows are NaN) or videos were left out.
    """
    from tinbergen.beast import embed as run_embedding
    from tinbergen.beast import write_nwb
    from tinbergen.errors import ConfigError
    from tinbergen.recordings import Dataset
    from tinbergen.training.signals import preemptible

    wanted = numbers_of(layers, "--layers", int, "4,8,12") if layers else None
    if dtype not in ("float16", "float32"):
        raise ConfigError(f"--dtype: expected float16 or float32, found {dtype!r}.")
    dataset = Dataset.open(paths)
    with preemptible("What is written stays; run the same command again to go on."):
        results = run_embedding(
            run,
            dataset,
            out,
            tokens=names_of(tokens.replace("+", ",")) or [],  # type: ignore[misc]
            layers=wanted,
            dtype=dtype,  # type: ignore[arg-type]
            batch_size=batch_size,
            device=device,  # type: ignore[arg-type]
            precision=precision,  # type: ignore[arg-type]
            skip_bad=skip_bad,
            overwrite=overwrite,
        )
    lost = len(dataset.videos()) - len(results)
    for name, embedding in results.items():
        bad = int((embedding.status != 0).sum())
        lost += bad
        note = f", {bad} frames could not be decoded (NaN)" if bad else ""
        print(f"{name}: {len(embedding)} frames in {embedding.path}{note}")
        if nwb and not (file := embedding.path / "embedding.nwb").is_file():
            write_nwb(embedding, file)
    if lost:
        raise typer.Exit(3)
