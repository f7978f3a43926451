"""Export of a run to the layout of the reference BEAST, which Lightning Pose loads."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from tinbergen.beast.config import BeastConfig
from tinbergen.configuration import resolve
from tinbergen.errors import OutputError
from tinbergen.files import atomic_write
from tinbergen.nn.augment import IMAGENET_MEAN, IMAGENET_STD
from tinbergen.nn.foreign import to_lightning_pose
from tinbergen.nn.pixels import RESIDUAL_SCALE
from tinbergen.training import RunFolder
from tinbergen.training.tensors import write_tensors

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, how colour frames become gray ones


def export_lightning_pose(
    run: RunFolder | str | os.PathLike, path: str | os.PathLike
) -> tuple[str, ...]:
    """Write the weights of a run under the names of the reference BEAST, ``vit_mae.vit.*``.

    The result takes RGB images normalised by the ImageNet mean and deviation. A gray encoder
    becomes one that weighs the three channels to gray, and the scale of differences to a
    background is folded into the patch embedding, so that the tokens stay the same; see Returns
    for what cannot stay.

    Parameters
    ----------
    run
        A finished run.
    path
        File to make: safetensors if it is called so, else a torch checkpoint of tensors under
        ``state_dict``, as Lightning writes it (``torch.load(path, weights_only=True)``).

    Returns
    -------
    tuple of str
        A line for everything that does not carry over; also said on stderr. Empty if the other
        side gets the whole encoder.

    Raises
    ------
    MissingFileError
        If the run is not finished.
    OutputError
        If ``path`` exists or cannot be written.
    """
    run = run if isinstance(run, RunFolder) else RunFolder.open(run)
    path = Path(path)
    if path.exists():
        raise OutputError(f"{path} exists already. Choose another file; nothing is overwritten.")
    config = resolve(BeastConfig, run.config)
    tensors = to_lightning_pose(_for_rgb(run.load_weights(), config), config.encoder.patch)
    if path.suffix == ".safetensors":
        write_tensors(path, tensors, {"format": "pt"})
    else:
        with atomic_write(path, "wb") as file:
            torch.save({"state_dict": tensors}, file)
    lost = _lost(config)
    for line in lost:
        print(f"warning: {path}: {line}", file=sys.stderr)
    return lost


def _for_rgb(weights: Mapping[str, Tensor], config: BeastConfig) -> dict[str, Tensor]:
    """Fold channels and scale into the patch embedding and the prediction of the decoder.

    With x the other side's input of a channel, of ImageNet mean m and deviation s, ours is
    u = (luma . (x s + m) - mean(m)) / mean(s) for gray images and u = d / scale for differences d
    to a background, where the other side is shown d + m.
    """
    mean, std, luma = (torch.tensor(v) for v in (IMAGENET_MEAN, IMAGENET_STD, _LUMA))
    shape, background = config.encoder, config.objective.background
    gray = shape.channels == 1
    ours = torch.tensor(RESIDUAL_SCALE) if background else std.mean() if gray else std
    result = {k: v for k, v in weights.items() if not k.startswith("encoder.stem.")}
    kernel = weights["encoder.embed.weight"].unflatten(1, (shape.patch**2, shape.channels))
    result["encoder.embed.weight"] = (kernel * (std / ours * (luma if gray else 1))).flatten(1)
    shift = torch.zeros(3)  # of what is predicted, in units of ours
    if gray and not background:
        offset = (luma @ mean - mean.mean()) / ours
        bias = weights["encoder.embed.bias"] + offset * kernel.sum(dim=(1, 2))
        result["encoder.embed.bias"] = bias
        shift = (mean.mean() - mean) / ours
    for part in ("weight", "bias"):
        name = f"decoder.predict.{part}"
        if name not in weights:
            continue
        values = weights[name].unflatten(0, (shape.patch**2, shape.channels)).movedim(1, -1)
        values = (values + shift if part == "bias" else values) * (ours / std)
        result[name] = values.expand(*values.shape[:-1], 3).movedim(-1, 1).flatten(0, 1)
    return result


def _lost(config: BeastConfig) -> tuple[str, ...]:
    shape, goal = config.encoder, config.objective
    lines = []
    if shape.cls_stem:
        lines.append(
            "encoder.stem has no place in that layout: the CLS token starts from a constant there "
            "and differs; patch tokens differ as far as they attend to it. Pretrain with "
            "encoder.cls_stem=0 to export the whole encoder."
        )
    if goal.background:
        lines.append(
            "the encoder was shown differences to the mean image of each video: show it frame - "
            "mean image + ImageNet mean. On plain frames its features are not what was trained. "
            "Pretrain with objective.background=false to use it on plain frames."
        )
    if goal.eigenframes and goal.reconstruction:
        lines.append(
            "the eigenframes have no place in that layout: the exported decoder predicts only "
            "what they leave. The encoder is not concerned."
        )
    return tuple(lines)
