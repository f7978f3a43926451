"""``tinbergen embed``: one row of features per frame of every video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def embed(
    run: Annotated[Path, typer.Argument(help="A finished run folder.")],
    paths: Annotated[
        list[Path], typer.Argument(help="Videos, folders of videos, or a dataset.yaml.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
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
    batch_size: Annotated[int, typer.Option(help="Frames at once.", min=1)] = 32,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave broken videos out, with a warning.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make finished embeddings again.")
    ] = False,
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

    try:
        wanted = [int(layer) for layer in layers.split(",")] if layers else None
    except ValueError:
        raise ConfigError(f"--layers: expected numbers as 4,8,12, found {layers!r}.") from None
    if dtype not in ("float16", "float32"):
        raise ConfigError(f"--dtype: expected float16 or float32, found {dtype!r}.")
    dataset = Dataset.open(paths)
    with preemptible("What is written stays; run the same command again to go on."):
        results = run_embedding(
            run,
            dataset,
            out,
            tokens=[token.strip() for token in tokens.replace("+", ",").split(",")],  # type: ignore[misc]
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
