"""A pretrained encoder out of a run folder, for whoever builds on it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tinbergen.configuration import read_yaml, resolve
from tinbergen.errors import ConfigError, MissingFileError, WeightsError
from tinbergen.files import weights_hash
from tinbergen.nn.backgrounds import BACKGROUNDS, load_backgrounds
from tinbergen.nn.foreign import from_foreign, is_foreign
from tinbergen.nn.vit import ViT, ViTConfig
from tinbergen.nn.weights import load_weights, read_tensors

_HEAD_WIDTH = 64
_HUGGING_FACE_EPS = 1e-12


@dataclass(frozen=True, eq=False)
class Backbone:
    """A pretrained encoder and what it expects to see.

    Attributes
    ----------
    encoder
        In eval mode on the CPU.
    residual
        It sees differences to the background of a video, not images; see
        :func:`tinbergen.nn.pixels.to_input`.
    backgrounds
        ``(videos, H, W, C)`` uint8 of the videos it was trained on, where ``residual``.
    digest
        Content hash of its weights file.
    """

    encoder: ViT
    residual: bool
    backgrounds: np.ndarray | None
    digest: str

    def weights_at(self, image_size: tuple[int, int]) -> dict[str, Tensor]:
        """Return its weights by name for images of another ``(height, width)``, px.

        The table of positions is interpolated bicubically, as in Dosovitskiy et al. 2021, section
        3.2; all else is the same.

        Raises
        ------
        ConfigError
            If its CLS stem ties it to the size it was trained at.
        """
        shape = self.encoder.config
        weights = dict(self.encoder.state_dict())
        if tuple(image_size) == shape.image_size:
            return weights
        if shape.cls_stem:
            raise ConfigError(
                f"image_size: this backbone sees whole frames at low resolution (cls_stem), so it "
                f"stays at the {shape.image_size} px it was trained at, found {image_size}. "
                "Pretrain at the size you want."
            )
        positions = weights["positions"]
        table = positions[1:].T.unflatten(1, shape.grid)[None].float()
        grid = (image_size[0] // shape.patch, image_size[1] // shape.patch)
        larger = functional.interpolate(table, size=grid, mode="bicubic", align_corners=False)
        weights["positions"] = torch.cat(
            [positions[:1], larger[0].flatten(1).T.to(positions.dtype)]
        )
        return weights


def load_backbone(source: str | os.PathLike) -> Backbone:
    """Load a pretrained encoder from a run folder, or from a weights file of another project.

    Parameters
    ----------
    source
        A finished run (see :func:`load_encoder`), or a ``.safetensors`` or torch file of Hugging
        Face ViT-MAE, Meta's MAE or the reference BEAST; its shape is read off the tensors.

    Raises
    ------
    MissingFileError
        If there is nothing, or the run is not finished.
    WeightsError
        If the weights are of no vision transformer, or do not fit.
    """
    source = Path(source)
    if source.is_dir():
        encoder = load_encoder(source)
        settings = read_yaml(source / "config.yaml")
        residual = bool(settings.get("objective", {}).get("background", False))
        backgrounds = load_backgrounds(source) if residual else None
        if residual and backgrounds is None:
            raise MissingFileError(f"{source} has lost its {BACKGROUNDS}; train it again.")
        digest = weights_hash(source / "weights.safetensors")
        return Backbone(encoder, residual, backgrounds, digest)
    tensors = read_tensors(source)
    tensors = from_foreign(tensors) if is_foreign(tensors) else tensors
    prefix = "encoder."
    own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    encoder = ViT(resolve(ViTConfig, _shape_of(own, source)))
    load_weights(encoder, own, source=str(source))
    return Backbone(encoder.eval(), False, None, weights_hash(source))


def _shape_of(tensors: Mapping[str, Tensor], source: Path) -> dict[str, Any]:
    """Read the shape of a vision transformer off its tensors, under our names."""
    try:
        width = tensors["cls_token"].shape[-1]
        values = tensors["embed.weight"].shape[1]
        n_patches = tensors["positions"].shape[0] - 1
        hidden = tensors["blocks.0.mlp.0.weight"].shape[0]
    except KeyError as error:
        raise WeightsError(
            f"{source}: expected a vision transformer with a CLS token, found no {error}. Hugging "
            "Face ViT-MAE, Meta's MAE and BEAST weights can be read."
        ) from None
    blocks = [re.fullmatch(r"blocks\.(\d+)\..+", name) for name in tensors]
    depth = 1 + max(int(block[1]) for block in blocks if block)
    channels = 3 if values % 3 == 0 else 1
    patch, side = math.isqrt(values // channels), math.isqrt(n_patches)
    if side**2 != n_patches:
        raise WeightsError(f"{source}: expected a square grid of patches, found {n_patches}.")
    return {
        "image_size": (side * patch, side * patch),
        "patch": patch,
        "channels": channels,
        "width": width,
        "depth": depth,
        "heads": max(1, width // _HEAD_WIDTH),
        "mlp_ratio": hidden / width,
        "norm_eps": _HUGGING_FACE_EPS,
    }


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
