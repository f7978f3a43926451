"""``tinbergen simulate``: write a study of virtual animals."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class _View(StrEnum):
    oblique = "oblique"
    side = "side"
    top = "top"


def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to write; empty or not there yet.")],
    animals: Annotated[int, typer.Option(min=1, help="Number of animals (or of groups).")] = 4,
    recordings: Annotated[int, typer.Option(min=1, help="Recordings of each animal.")] = 1,
    individuals: Annotated[int, typer.Option(min=1, help="Animals in view at once.")] = 1,
    duration: Annotated[float, typer.Option(help="Length of each recording, s.")] = 60.0,
    fps: Annotated[float, typer.Option(help="Frame rate, Hz.")] = 30.0,
    height: Annotated[int, typer.Option(help="Height of the videos, px, even.")] = 192,
    width: Annotated[int, typer.Option(help="Width of the videos, px, even.")] = 256,
    view: Annotated[
        list[_View] | None,
        typer.Option(help="View of the cameras; repeat for several, taken in turn. Default: all."),
    ] = None,
    jitter: Annotated[
        float, typer.Option(help="Spread of the frame interval relative to its mean.")
    ] = 0.0,
    neurons: Annotated[
        int, typer.Option(min=0, help="Units that follow what the animal does; 0 for none.")
    ] = 0,
    visual_neurons: Annotated[
        int, typer.Option(min=0, help="Units that are driven by the video's frames.")
    ] = 0,
    task: Annotated[
        bool, typer.Option("--task", help="Add trials of a visual decision task (not filmed).")
    ] = False,
    fano: Annotated[
        float, typer.Option(min=1.0, help="Fano factor of the spike counts; 1 is Poisson.")
    ] = 1.0,
    labels: Annotated[
        int, typer.Option(min=0, help="Frames of each recording to label, for pose train.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything.")] = 0,
) -> None:
    """Write videos of virtual animals with true keypoints, behaviours and latents."""
    from tinbergen.simulation import simulate as simulate_study
    from tinbergen.simulation.scene import VIEWS

    data = simulate_study(
        out,
        animals=animals,
        recordings_per_animal=recordings,
        individuals=individuals,
        duration=duration,
        fps=fps,
        size=(height, width),
        seed=seed,
        views=[item.value for item in view] if view else VIEWS,
        jitter=jitter,
        neurons=neurons,
        visual_neurons=visual_neurons,
        task=task,
        fano=fano,
        labels=labels,
    )
    print(f"Wrote {len(data)} recordings of {duration:g} s to {out / 'dataset.yaml'}")
    print(f"Next: tinbergen check {out}    tinbergen pretrain {out} --out runs/first")
