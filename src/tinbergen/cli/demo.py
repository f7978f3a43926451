"""``tinbergen demo``: the whole way on virtual animals, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[
        Path | None, typer.Argument(help="Folder to make; default: demo, demo-2, ...")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimizer steps of the pretraining.", min=1)] = 300,
    seed: Annotated[int, typer.Option(help="Seed of animals and training.", min=0)] = 0,
) -> None:
    """Simulate animals, pretrain on their videos, embed them, probe, and write the report."""
    from tinbergen import simulate
    from tinbergen.beast import embed, pretrain
    from tinbergen.files import ensure_output_folder
    from tinbergen.report import write_report

    out = out or free_folder("demo")
    ensure_output_folder(out)
    print(f"1/4 simulating four animals into {out / 'study'}")
    data = simulate(out / "study", animals=4, duration=20.0, views=("oblique",), seed=seed)
    print(f"2/4 pretraining into {out / 'run'}")
    small = {
        "encoder": {"image_size": (128, 160), "depth": 6, "channels": 1},
        "decoder": {"width": 128, "depth": 2, "heads": 4},
        "frames": {"per_video": 200},
        "train": {"seed": seed},
    }
    run = pretrain(data, out / "run", size="ti", steps=steps, overrides=small)
    print(f"3/4 embedding into {out / 'embeddings'}")
    embed(run, data, out / "embeddings")
    print("4/4 writing the report")
    page = write_report(run.path)
    print(f"\nOpen {page} in a browser.")


def free_folder(name: str) -> Path:
    """Return the first of ``name``, ``name-2``, ... that is not there or empty."""
    number = 1
    while True:
        path = Path(name if number == 1 else f"{name}-{number}")
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            return path
        number += 1
