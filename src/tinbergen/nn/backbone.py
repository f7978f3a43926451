"""A pretrained encoder out of a run folder, for whoever builds on it."""

from __future__ import annotations

import os
from pathlib import Path

from tinbergen.configuration import read_yaml, resolve
from tinbergen.errors import MissingFileError
from tinbergen.nn.vit import ViT, ViTConfig
from tinbergen.nn.weights import load_weights, read_tensors


def load_encoder(run: str | os.PathLike) -> ViT:
    """Build the vision transformer of a finished run, in eval mode on the CPU.

    Any room's run will do whose ``config.yaml`` has an ``encoder`` section and whose
    ``weights.safetensors`` holds ``encoder.*``.

    Raises
    ------
    MissingFileError
        If there is no run, or it is not finished.
    WeightsError
        If configuration and weights do not belong together.
    """
    run = Path(run)
    weights = run / "weights.safetensors"
    if not weights.is_file():
        raise MissingFileError(
            f"Expected a finished run at {run}, found no weights.safetensors. Check the path, or "
            "resume the run to its end first."
        )
    encoder = ViT(resolve(ViTConfig, read_yaml(run / "config.yaml")["encoder"]))
    prefix = "encoder."
    tensors = read_tensors(weights)
    own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    load_weights(encoder, own, source=str(weights))
    return encoder.eval()
