"""Where the weights of a new run come from: the data, an earlier run, or a published file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tinbergen.beast.cache import FrameCache
from tinbergen.beast.model import Beast
from tinbergen.beast.pixels import to_input
from tinbergen.errors import WeightsError
from tinbergen.nn.foreign import from_foreign, is_foreign
from tinbergen.nn.vit import patchify
from tinbergen.nn.weights import LoadReport, load_weights, read_tensors

_SAMPLE_FRAMES = 512
_EMBED_GAIN = 0.25


def initialise(
    model: Beast,
    cache: FrameCache,
    rows: np.ndarray,
    backgrounds: np.ndarray | None,
    weights: Mapping[str, Tensor] | None,
) -> None:
    """Give ``model`` its first weights: ``weights`` where there are any, else by its settings."""
    if weights is not None:
        model.load_state_dict(dict(weights), strict=False)
    elif model.config.objective.pca_init:
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, _SAMPLE_FRAMES).round().astype(int))]
        frames = torch.from_numpy(cache.read(rows))
        background = None
        if backgrounds is not None:
            videos = cache.index["video"].to_numpy()[rows]
            background = torch.from_numpy(backgrounds[videos])
        patches = patchify(to_input(frames, background), model.config.encoder.patch)
        embed_by_pca(model, patches)


def embed_by_pca(model: Beast, patches: Tensor) -> None:
    """Set the patch embedding to the principal components of ``(N, L, patch values)``.

    Every token then starts as its patch's coordinates along the directions in which patches of
    this experiment really differ, scaled so that they and the position table weigh alike; noise
    directions come last. Further channels, if the embedding is wider than a patch, stay random.
    """
    flat = patches.flatten(0, 1).double()
    _, vectors = torch.linalg.eigh(flat.T @ flat)
    components = vectors.flip(1).T  # (value, value), the strongest first
    # A component's sign is arbitrary, and libraries differ: the largest entry is made positive.
    largest = components.gather(1, components.abs().argmax(dim=1, keepdim=True))
    components = components * largest.sign()
    n = min(len(components), model.config.encoder.width)
    deviation = flat.square().mean().sqrt().clamp_min(1e-6)
    with torch.no_grad():
        model.encoder.embed.weight[:n] = (components[:n] * _EMBED_GAIN / deviation).float()


def starting_weights(
    source: str | os.PathLike, model: Beast, *, partial: bool = False
) -> tuple[dict[str, Tensor], LoadReport]:
    """Read weights to start from: a run folder, or a file.

    Parameters
    ----------
    source
        A finished run; a Hugging Face ViT-MAE file or folder; Meta's MAE; a checkpoint of the
        reference BEAST; or our own ``weights.safetensors``.
    model
        What they should fit.
    partial
        Accept an encoder that does not fit wholly. The decoder and the heads may always be
        missing or different: they start anew then, and the report says so.

    Raises
    ------
    WeightsError
        If the file is damaged, or the encoder does not fit.
    """
    path = _weights_file(Path(source))
    tensors = read_tensors(path)
    if is_foreign(tensors):
        tensors = from_foreign(tensors)
    channels = model.config.encoder.channels
    tensors = _match_channels(tensors, model.config.encoder.patch, channels)
    own = model.state_dict()
    prefix = "encoder."
    encoder = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    grid = encoder.get("positions")
    if grid is not None and grid.shape != own["encoder.positions"].shape:
        encoder["positions"] = own["encoder.positions"]  # fixed table of another image size
    load_weights(model.encoder, encoder, source=str(path), partial=partial)
    rest = {k: v for k, v in tensors.items() if not k.startswith(prefix)}
    fits = {k: v for k, v in rest.items() if k in own and own[k].shape == v.shape}
    fits |= {
        prefix + k: v
        for k, v in encoder.items()
        if prefix + k in own and own[prefix + k].shape == v.shape
    }
    report = LoadReport(
        matched=tuple(fits),
        missing=tuple(k for k in own if k not in tensors and k not in fits),
        unexpected=tuple(k for k in tensors if k not in own),
        wrong_shape=tuple(k for k in tensors if k in own and k not in fits),
    )
    return fits, report


def _weights_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in ("weights.safetensors", "model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return path / name
    raise WeightsError(
        f"Expected weights in {path} (weights.safetensors of a finished run, or model.safetensors "
        "of Hugging Face), found none. Resume the run to its end first, or name the file."
    )


def _match_channels(tensors: dict[str, Tensor], patch: int, channels: int) -> dict[str, Tensor]:
    """Turn a patch embedding of RGB images into one of gray images that gives the same tokens.

    For a gray image all three channels hold one value; only their normalisation differs, and
    that is folded into the weights and the bias. The prediction head of the decoder is averaged.
    """
    from tinbergen.beast.augment import IMAGENET_MEAN, IMAGENET_STD

    weight = tensors.get("encoder.embed.weight")
    if channels != 1 or weight is None or weight.shape[1] != 3 * patch**2:
        return tensors
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    gray_mean, gray_std = mean.mean(), std.mean()
    result = dict(tensors)
    by_channel = weight.unflatten(1, (patch**2, 3))
    result["encoder.embed.weight"] = (by_channel * (gray_std / std)).sum(dim=2)
    shift = (by_channel * ((gray_mean - mean) / std)).sum(dim=(1, 2))
    result["encoder.embed.bias"] = tensors["encoder.embed.bias"] + shift
    for part in ("weight", "bias"):
        name = f"decoder.predict.{part}"
        if name in tensors:
            values = tensors[name].unflatten(0, (patch**2, 3))
            scale = std / gray_std
            if part == "weight":
                result[name] = (values * scale[:, None]).mean(dim=1)
            else:
                result[name] = (values * scale + (mean - gray_mean) / gray_std).mean(dim=1)
    return result
