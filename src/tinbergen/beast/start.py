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
from tinbergen.errors import WeightsError
from tinbergen.nn.foreign import from_foreign, is_foreign
from tinbergen.nn.pixels import to_input
from tinbergen.nn.vit import ViT, low_resolution, patchify
from tinbergen.nn.weights import LoadReport, load_weights, read_tensors

_SAMPLE_FRAMES = 512
_STEM_DEVIATION = 0.5
_SEED = 0


def initialise(
    model: Beast,
    cache: FrameCache,
    rows: np.ndarray,
    backgrounds: np.ndarray | None,
    weights: Mapping[str, Tensor] | None,
) -> None:
    """Give ``model`` its first weights: from the data if it asks for it, then ``weights``.

    Parameters
    ----------
    rows
        Training rows of the cache; nothing else is looked at.
    weights
        Laid over the rest by name, from :func:`starting_weights`.
    """
    goal = model.config.objective
    given = set(weights or ())
    if goal.data_init or (goal.eigenframes and "eigenframes" not in given):
        patches = _sample_patches(model, cache, rows, backgrounds)
        if goal.data_init and "encoder.embed.weight" not in given:
            start_embedding(model.encoder, patches)
            start_stem(model.encoder, patches)
        if model.coefficients is not None:
            model.eigenframes.copy_(principal_frames(patches, goal.eigenframes))
    if weights is not None:
        model.load_state_dict(dict(weights), strict=False)


def _sample_patches(
    model: Beast, cache: FrameCache, rows: np.ndarray, backgrounds: np.ndarray | None
) -> Tensor:
    """Patches of up to 512 training frames, every other one augmented as in training."""
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, _SAMPLE_FRAMES).round().astype(int))]
    config, images = model.config, []
    generator = torch.Generator().manual_seed(_SEED)
    for transformed, part in ((False, rows[::2]), (True, rows[1::2])):
        if not len(part):
            continue
        frames = torch.from_numpy(cache.read(part))
        transforms = None
        if transformed:
            transforms = config.augment.draw(len(part), config.encoder.image_size, generator)
        background = None
        if backgrounds is not None:
            videos = cache.index["video"].to_numpy()[part]
            background = torch.from_numpy(backgrounds[videos])
        images.append(to_input(frames, background, transforms))
    return patchify(torch.cat(images), config.encoder.patch)


def start_embedding(encoder: ViT, patches: Tensor) -> None:
    """Let every token start as a rotated, low-passed copy of its patch, of unit deviation.

    The rows of the embedding are the principal components of the patches, each weighted by its
    standard deviation, mixed by a random rotation: what varies most in this experiment is loudest.

    Parameters
    ----------
    patches
        ``(N, L, patch values)``.
    """
    flat = patches.flatten(0, 1)
    values, axes = torch.linalg.eigh((flat.T @ flat).double() / len(flat))
    k = min(len(values), encoder.config.width)
    scaled = axes.flip(1)[:, :k].T * values.flip(0)[:k].clamp_min(0).sqrt()[:, None]
    weight = _rotation(encoder.config.width, k).double() @ scaled
    weight = weight.float() / (flat @ weight.float().T).std().clamp_min(1e-6)
    with torch.no_grad():
        encoder.embed.weight.copy_(weight)


def start_stem(encoder: ViT, patches: Tensor) -> None:
    """Let the CLS token start as the leading principal components of the low-resolution frame."""
    if encoder.stem is None:
        return
    low = low_resolution(patches, None, encoder.config).flatten(1)
    _, _, axes = torch.linalg.svd(low, full_matrices=False)
    k = min(len(axes), encoder.config.width)
    weight = _rotation(encoder.config.width, k) @ axes[:k]
    deviation = (low @ weight.T).std().clamp_min(1e-6)
    with torch.no_grad():
        encoder.stem.weight.copy_(weight * (_STEM_DEVIATION / deviation))


def principal_frames(patches: Tensor, n: int) -> Tensor:
    """Principal frames times their deviation, ``(n, L, patch values)``; zeros beyond the rank."""
    flat = patches.flatten(1)
    values, axes = torch.linalg.eigh((flat @ flat.T).double())
    k = min(n, len(values))
    basis = torch.zeros(n, flat.shape[1])
    basis[:k] = axes.flip(1)[:, :k].T.float() @ flat / len(flat) ** 0.5
    return basis.unflatten(1, patches.shape[1:])


def _rotation(rows: int, columns: int) -> Tensor:
    """Draw ``rows >= columns`` orthonormal columns from the global generator."""
    return torch.linalg.qr(torch.randn(rows, columns)).Q


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
    path = weights_file(Path(source))
    tensors = read_tensors(path)
    if is_foreign(tensors):
        tensors = from_foreign(tensors)
        if model.config.encoder.cls_stem and not partial:
            raise WeightsError(
                f"{path} holds published weights, trained on whole images and without a CLS stem, "
                "which these settings have. Use preset beast, vit-m or vit-c (--preset beast), or "
                "accept that they fit in part (--partial)."
            )
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


def weights_file(path: Path) -> Path:
    """Return the file that holds the weights: ``path`` itself, or the one in that folder.

    Raises
    ------
    WeightsError
        If the folder holds none.
    """
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
    from tinbergen.nn.augment import IMAGENET_MEAN, IMAGENET_STD

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
