"""How well hidden patches are reconstructed, beside the mean image and the nearest frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tinbergen.beast.cache import FrameCache
from tinbergen.beast.config import BeastConfig
from tinbergen.beast.mae import random_mask
from tinbergen.beast.model import Beast
from tinbergen.beast.pretraining import hold_out
from tinbergen.configuration import resolve
from tinbergen.metrics import Score, bootstrap_interval, paired_difference
from tinbergen.metrics.score import Baseline
from tinbergen.nn.pixels import to_input, to_picture
from tinbergen.nn.vit import gather_tokens, patchify, unpatchify
from tinbergen.training import RunFolder

_JUDGED, _REFERENCE = 64, 256
_GRAY = 0.5


class Reconstruction(NamedTuple):
    """Errors per frame, in squared normalised units, and pictures.

    Attributes
    ----------
    error, mean_image, nearest
        ``(n,)``.
    pictures
        ``(n, 3, H, W, C)`` uint8: frame, masked input, reconstruction.
    """

    error: np.ndarray
    mean_image: np.ndarray
    nearest: np.ndarray
    pictures: np.ndarray


def load_model(run: RunFolder) -> Beast:
    """Build the whole network of a finished run, in eval mode on the CPU."""
    model = Beast(resolve(BeastConfig, run.config))
    model.load_state_dict(run.load_weights())
    return model.eval()


@torch.inference_mode()
def reconstruct(
    model: Beast,
    frames: np.ndarray,
    backgrounds: np.ndarray | None,
    reference: Tensor,
    mean_image: Tensor,
    *,
    seed: int = 0,
) -> Reconstruction:
    """Reconstruct frames from a random part of their patches.

    Parameters
    ----------
    frames, backgrounds
        ``(n, H, W, C)`` uint8; backgrounds may be None.
    reference
        ``(m, L, values)`` patches of training frames: the nearest one, judged on the visible
        patches, is the baseline that copies.
    mean_image
        ``(n, L, values)``: patches of the mean training image of each frame's video.
    """
    shape = model.config.encoder
    seen = None if backgrounds is None else torch.from_numpy(np.asarray(backgrounds))
    images = to_input(torch.from_numpy(frames), seen)
    patches = patchify(images, shape.patch)
    noise = torch.rand(patches.shape[:2], generator=torch.Generator().manual_seed(seed))
    mask = random_mask(noise, model.config.objective.mask_ratio)
    prediction = model(patches, noise, 1.0).prediction
    hidden = gather_tokens(patches, mask.hide)
    nearest = torch.empty_like(hidden)
    for i in range(len(frames)):
        distance = (reference[:, mask.keep[i]] - patches[i, mask.keep[i]]).square().sum((1, 2))
        nearest[i] = reference[int(distance.argmin()), mask.hide[i]]

    def error(guess: Tensor) -> np.ndarray:
        return (guess - hidden).square().mean((1, 2)).numpy()

    index = mask.hide[..., None].expand_as(hidden)
    filled = patches.scatter(1, index, prediction)
    whole = to_picture(images, seen)
    restored = to_picture(unpatchify(filled, shape.patch, shape.grid), seen)
    visible = torch.ones(patches.shape[:2]).scatter(1, mask.hide, 0.0)
    picture = visible[..., None].expand_as(patches).contiguous()
    shown = unpatchify(picture, shape.patch, shape.grid).permute(0, 2, 3, 1).numpy()
    masked = (whole * shown + 255 * _GRAY * (1 - shown)).astype(np.uint8)
    return Reconstruction(
        error(prediction),
        error(gather_tokens(mean_image, mask.hide)),
        error(nearest),
        np.stack([whole, masked, restored], axis=1),
    )


def judged_frames(
    run: RunFolder, frames: FrameCache, backgrounds: np.ndarray | None, n: int = _JUDGED
) -> tuple[np.ndarray, bool, Reconstruction] | None:
    """Reconstruct held-out frames (or, in their absence, training frames).

    Returns
    -------
    tuple or None
        Rows of the cache, whether they were held out, and the result; None for a run without a
        decoder.
    """
    model = load_model(run)
    if model.decoder is None:
        return None
    train, held_out, _ = hold_out(frames.index, model.config)
    rows = held_out if len(held_out) else train
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, n).round().astype(int))]
    videos = frames.index["video"].to_numpy()
    sample = train[np.unique(np.linspace(0, len(train) - 1, _REFERENCE).round().astype(int))]

    def patches_of(chosen: np.ndarray) -> Tensor:
        seen = None if backgrounds is None else torch.from_numpy(backgrounds[videos[chosen]])
        images = to_input(torch.from_numpy(frames.read(chosen)), seen)
        return patchify(images, model.config.encoder.patch)

    reference = patches_of(sample)
    means = torch.stack(
        [
            reference[torch.from_numpy(videos[sample] == v)].mean(0)
            if (videos[sample] == v).any()
            else reference.mean(0)
            for v in videos[rows]
        ]
    )
    seen = None if backgrounds is None else backgrounds[videos[rows]]
    result = reconstruct(model, frames.read(rows), seen, reference, means)
    return rows, bool(len(held_out)), result


def reconstruction_score(
    run: RunFolder, frames: FrameCache, backgrounds: np.ndarray | None
) -> Score:
    """Masked error on held-out frames, against the mean image and the nearest training frame."""
    judged = judged_frames(run, frames, backgrounds)
    name, direction = "Masked reconstruction", "lower"
    if judged is None:
        return Score(
            name, float("nan"), "", direction, verdict="unknown", text="This run has no decoder."
        )
    rows, held_out, result = judged
    # Frames differ far more from each other than the model from its null: compare frame by frame.
    gain = paired_difference(result.error, result.mean_image)
    better = gain.interval.high < 0
    beats_copying = result.error.mean() <= result.nearest.mean()
    return Score(
        name, float(result.error.mean()), "", direction,
        null=float(result.mean_image.mean()), null_name="mean image of the video",
        interval=bootstrap_interval(result.error), interval_name="95 % bootstrap over frames",
        baselines=(Baseline("nearest training frame", float(result.nearest.mean())),),
        n=len(rows), n_name="held-out frames" if held_out else "training frames",
        split="a held-out stretch of each video" if held_out else "none: too few frames",
        method="Mean squared error of hidden patches, in units of the usual variance of images; "
        f"frame by frame {gain.mean:+.3f} ({gain.interval.low:+.3f} to {gain.interval.high:+.3f}) "
        "against the mean image. Rule: poor unless that interval is below 0.",
        verdict=("good" if beats_copying else "fair") if better else "poor",
    )  # fmt: skip
