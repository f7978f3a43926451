"""Embedding: whole videos in, one row of features per frame out."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from tinbergen.beast.cache import fingerprint
from tinbergen.beast.config import BeastConfig
from tinbergen.beast.embed_io import EmbeddingWriter, embed_video
from tinbergen.beast.embedding import Embedding
from tinbergen.beast.pooling import coarse, texture
from tinbergen.beast.pretraining import Data
from tinbergen.configuration import resolve
from tinbergen.errors import ConfigError, DataError
from tinbergen.files import ensure_output_folder
from tinbergen.nn.backbone import load_encoder
from tinbergen.nn.backgrounds import BACKGROUNDS, load_backgrounds
from tinbergen.nn.pixels import nearest_background, to_input
from tinbergen.nn.vit import ViT, patchify
from tinbergen.recordings import Dataset
from tinbergen.recordings.background import video_background
from tinbergen.recordings.usable import named_videos, say_left_out, usable
from tinbergen.training import RunFolder, TrainConfig
from tinbergen.training.device import choose_hardware
from tinbergen.training.heap import heap_kept

if TYPE_CHECKING:
    from tinbergen.recordings import FrameSource

Token = Literal["cls", "mean", "grid", "texture", "patch"]
TOKENS: tuple[Token, ...] = get_args(Token)
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


class Embedder:
    """The encoder of a finished run, as a function of frames.

    Parameters
    ----------
    run
        A finished run folder.
    tokens
        ``cls`` (width), ``mean`` of the patch tokens (width), ``grid``: their means in 4 x 4 parts
        of the image (4, 4, width), ``texture``: how much neighbours differ in 3 x 3 parts, along
        rows, columns and both diagonals (3, 3, 4, width), ``patch`` (rows, columns, width).
    layers
        Blocks whose output is wanted, counted from 1; their tokens are put side by side. None is
        the encoder's output, after the last norm.
    device, precision
        As :class:`~tinbergen.training.TrainConfig` has them.

    Raises
    ------
    DeviceError
        If this machine lacks the device or the precision.
    """

    def __init__(
        self,
        run: RunFolder | str | os.PathLike,
        *,
        tokens: Iterable[Token] = ("cls",),
        layers: Iterable[int] | None = None,
        device: Device = "auto",
        precision: Precision = "auto",
    ):
        self.run = run if isinstance(run, RunFolder) else RunFolder.open(run)
        self.config = resolve(BeastConfig, self.run.config)
        self.tokens = tuple(tokens)
        self.layers = None if layers is None else tuple(layers)
        self._check()
        asked = resolve(TrainConfig, {"device": device, "precision": precision})
        hardware = choose_hardware(asked)
        self.device = torch.device(hardware.device)
        dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
        self.dtype = dtypes[hardware.precision]
        # Whole-network casts cost nothing per batch; norms of bf16 inputs still sum in float32.
        self.encoder: ViT = load_encoder(self.run.path).to(self.device, self.dtype)
        self._bank = load_backgrounds(self.run.path)

    def _check(self) -> None:
        unknown = [token for token in self.tokens if token not in TOKENS]
        if unknown or not self.tokens:
            raise ConfigError(
                f"tokens: expected some of {', '.join(TOKENS)}, found {', '.join(unknown) or '-'}."
            )
        if "texture" in self.tokens and min(grid := self.config.encoder.grid) < 2:
            raise ConfigError(f"tokens: texture needs 2 x 2 patches or more, found {grid}.")
        depth = self.config.encoder.depth
        wrong = [layer for layer in self.layers or () if not 1 <= layer <= depth]
        if wrong:
            raise ConfigError(f"layers: expected 1 to {depth}, found {wrong[0]}.")

    def source(self, video: FrameSource) -> FrameSource:
        """Return ``video`` at the encoder's size and channels."""
        return video.view(
            gray=self.config.encoder.channels == 1,
            size=self.config.encoder.image_size,
            keep_aspect=self.config.frames.keep_aspect,
        )

    def background(self, video: FrameSource) -> np.ndarray | None:
        """Background of a source at the encoder's size, ``(H, W, C)``; None if none is needed.

        A video's own mean image; for a few stills the background of the training video that they
        resemble most.
        """
        if not self.config.objective.background:
            return None
        own = video_background(video)
        if own is not None:
            return own
        if self._bank is None:
            raise DataError(f"{self.run.path} has lost its {BACKGROUNDS}; train it again.")
        batch = video.frames(np.arange(min(video.n_frames, 64)))
        frames = batch.frames[batch.status == 0]
        if not len(frames):
            raise DataError(f"{video.path}: not one frame can be decoded.")
        return nearest_background(frames.reshape(len(frames), *self._bank.shape[1:]), self._bank)

    @torch.inference_mode()
    def encode(
        self, frames: np.ndarray, background: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Encode frames.

        Parameters
        ----------
        frames
            ``(N, H, W, C)`` uint8, at the encoder's size.
        background
            ``(H, W, C)`` for all, or ``(N, H, W, C)``; see :meth:`background`.

        Returns
        -------
        dict
            Kind -> float32: cls and mean ``(N, width)``, grid ``(N, 4, 4, width)`` (fewer rows or
            columns where the patches have no more), texture ``(N, 3, 3, 4, width)``, patch ``(N,
            rows, columns, width)``.
        """
        images = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device)
        shared = None
        if background is not None:
            shared = torch.from_numpy(np.array(background)).to(self.device)
            shared = shared[None] if shared.ndim == 3 else shared
        patches = patchify(to_input(images, shared), self.config.encoder.patch).to(self.dtype)
        if self.layers is None:
            wanted = slice(0, 1) if self.tokens == ("cls",) else slice(None)
            x = self.encoder(patches, wanted=wanted)
        else:
            outputs = self.encoder.layers(patches, last=max(self.layers))
            x = torch.cat([outputs[layer - 1] for layer in self.layers], dim=-1)
        return {token: self._pick(x, token).float().cpu().numpy() for token in self.tokens}

    def _pick(self, x: Tensor, token: Token) -> Tensor:
        if token == "cls":
            return x[:, 0]
        if token == "mean":
            return x[:, 1:].mean(dim=1)
        patches = x[:, 1:].unflatten(1, self.config.encoder.grid)
        if token == "texture":
            return texture(patches)
        return coarse(patches) if token == "grid" else patches


def embed(
    run: RunFolder | str | os.PathLike,
    data: Data,
    out: str | os.PathLike,
    *,
    tokens: Iterable[Token] = ("cls",),
    layers: Iterable[int] | None = None,
    dtype: Literal["float16", "float32"] = "float16",
    batch_size: int = 32,
    device: Device = "auto",
    precision: Precision = "auto",
    skip_bad: bool = False,
    overwrite: bool = False,
) -> dict[str, Embedding]:
    """Embed every frame of every video, written as it is made.

    A run that was killed goes on where it stopped when called again; finished videos are kept.
    Memory does not grow with the length of a video.

    Parameters
    ----------
    run
        A finished run folder.
    data
        A dataset, or videos, folders, a ``dataset.yaml``.
    out
        Folder to write; one folder per recording below it (and per camera, where a recording has
        several), see :mod:`tinbergen.beast.embed_io`.
    tokens, layers, device, precision
        See :class:`Embedder`.
    dtype
        Of the files.
    batch_size
        Frames encoded at once.
    skip_bad
        Leave out videos that cannot be read instead of refusing to start.
    overwrite
        Make finished embeddings again.

    Returns
    -------
    dict
        Recording (or recording/camera) -> :class:`~tinbergen.beast.embedding.Embedding`: rows on
        the video's own frame times, NaN with a status where a frame could not be decoded.
    """
    embedder = Embedder(run, tokens=tokens, layers=layers, device=device, precision=precision)
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    out = ensure_output_folder(out)
    weights = fingerprint(embedder.run.weights_path)
    videos, bad = usable(_apart(named_videos(dataset)), _with_frames, "videos", skip_bad)
    say_left_out(bad)
    results: dict[str, Embedding] = {}
    for name, video in videos.items():
        folder = out / name
        source = {
            "weights": weights,
            "video": fingerprint(video.path),
            "roi": video.roi,
            **({"follow": video.follow} if video.follow else {}),
            "times": hashlib.sha256(video.times.tobytes()).hexdigest(),
            "tokens": list(embedder.tokens),
            "layers": None if embedder.layers is None else list(embedder.layers),
            "precision": str(embedder.dtype).removeprefix("torch."),
        }
        if overwrite or not _is_finished(folder, source, dtype):
            try:
                _embed_one(embedder, video, folder, source, dtype, batch_size, overwrite)
            except DataError as error:  # not one sound frame
                if not skip_bad:
                    raise
                print(f"left out: {error}", file=sys.stderr)
                continue
        results[name] = Embedding(folder)
    return results


def _with_frames(video: FrameSource) -> FrameSource:
    if not video.n_frames:
        raise DataError(f"{video.path} holds no frame.")
    return video


def _apart(videos: Mapping[str, FrameSource]) -> dict[str, FrameSource]:
    """Name the folder of each so that none lies in another.

    Beside ``day1/left.mp4`` the embedding of ``day1.mp4`` lies in ``day1.mp4``, so that replacing
    it does not take the other along.
    """
    parents = {parent.as_posix() for name in videos for parent in Path(name).parents}
    return {
        Path(name).with_name(video.path.name).as_posix() if name in parents else name: video
        for name, video in videos.items()
    }


def _is_finished(folder: Path, source: dict, dtype: str) -> bool:
    if not (folder / "meta.json").is_file():
        return False
    meta = Embedding(folder).meta
    return meta.get("source") == json.loads(json.dumps(source)) and meta.get("dtype") == dtype


def _embed_one(
    embedder: Embedder,
    video: FrameSource,
    folder: Path,
    source: dict,
    dtype: Literal["float16", "float32"],
    batch_size: int,
    overwrite: bool,
) -> None:
    view = embedder.source(video)
    background = embedder.background(view)
    writer = EmbeddingWriter(
        folder, times=view.times, source=source, dtype=dtype, overwrite=overwrite
    )
    with writer, heap_kept(embedder.device.type == "cpu"):
        embed_video(view, lambda frames: embedder.encode(frames, background), writer, batch_size)
