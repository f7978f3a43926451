"""Frames per core-second of embedding a video with ViT-B/16, decoding and resizing included.

Ours is ``tinbergen.beast.embed`` as a user calls it, until the files are on the disk. The peer is
what the reference does: full-size frames as float tensors, antialiased resizing, and transformers'
ViT-MAE encoder in fp32 with nothing masked. Both take turns in one process on one thread.
The reference's figure comes from a machine with AMX; only ratios within one run compare.

    python benchmarks/embedding_speed.py [VIDEO] --frames 96 --out embedding_speed.json
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from machine import describe_machine
from tinbergen.beast import embed
from tinbergen.beast.config import beast_config
from tinbergen.beast.model import Beast
from tinbergen.nn.augment import IMAGENET_MEAN, IMAGENET_STD
from tinbergen.recordings import Video, write_video
from tinbergen.recordings.reading_ahead import decode_ahead
from tinbergen.simulation import simulate
from tinbergen.training import RunFolder

REFERENCE = {"frames_per_core_s": 2.5, "machine": "AMX Xeon, fp32, 396 x 406 px", "target": 9.0}
GFLOP = {"ti": 2.5, "s": 9.2, "b": 35.1, "l": 123.1}
"""Matrix products of one frame of 196 patches and CLS."""


def finished_run(path: Path, size: str) -> RunFolder:
    """Return a run with random weights, as if trained: speed does not depend on them."""
    config = beast_config("vit-m", size=size)  # type: ignore[arg-type]
    run = RunFolder.create(path, config, seed=0)
    run.save_weights(Beast(config).state_dict())
    run.update_status(state="done")
    return run


class Peer:
    """transformers' encoder in fp32 on frames resized as tensors."""

    def __init__(self, size: str):
        from transformers import ViTMAEConfig, ViTMAEModel

        shape = beast_config("vit-m", size=size).encoder  # type: ignore[arg-type]
        config = ViTMAEConfig(
            hidden_size=shape.width,
            num_hidden_layers=shape.depth,
            num_attention_heads=shape.heads,
            intermediate_size=4 * shape.width,
            mask_ratio=0.0,
        )
        self.model = ViTMAEModel(config).eval()
        self.mean = torch.tensor(IMAGENET_MEAN)[:, None, None]
        self.std = torch.tensor(IMAGENET_STD)[:, None, None]

    @torch.no_grad()
    def embed(self, video: Video) -> np.ndarray:
        rows = []
        for batch in video.iterate(batch_size=16):
            frames = torch.from_numpy(batch.frames).permute(0, 3, 1, 2).float() / 255
            small = F.interpolate(frames, (224, 224), mode="bilinear", antialias=True)
            output = self.model((small - self.mean) / self.std)
            rows.append(output.last_hidden_state[:, 0].numpy())
        return np.concatenate(rows)


def clocked(function, frames: int) -> tuple[float, float]:
    """Frames per CPU-second and per second."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return frames / (time.process_time() - cpu), frames / (time.perf_counter() - wall)


def measure(source: Path, size: str, frames: int, rounds: int, scratch: Path) -> dict:
    """Alternate between ours and the peer on the first frames of ``source``."""
    clip = scratch / "clip.mp4"
    whole = Video(source)
    first = whole.frames(np.arange(min(frames, whole.n_frames))).frames
    write_video(clip, first, np.arange(len(first)) / 30.0)
    video, n = Video(clip), len(first)
    run, peer = finished_run(scratch / "run", size), Peer(size)
    ours, theirs = [], []
    for i in range(rounds):
        ours.append(clocked(lambda i=i: embed(run.path, clip, scratch / f"out{i}"), n))
        theirs.append(clocked(lambda: peer.embed(video), n))
    decoding = clocked(lambda: _decode(video), n)
    ours, theirs = np.median(ours, axis=0), np.median(theirs, axis=0)
    return {
        "video": source.name,
        "size_px": [video.height, video.width],
        "frames": n,
        "model": f"ViT-{size.upper()}/16",
        "frames_per_core_s": round(ours[0], 3),
        "frames_per_wall_s": round(ours[1], 3),
        "peer_frames_per_core_s": round(theirs[0], 3),
        "times_as_fast_as_peer": round(ours[0] / theirs[0], 2),
        "decode_and_resize_ms_per_frame": round(1e3 / decoding[0], 3),
        "gflop_per_frame": GFLOP[size],
        "reference_amx": REFERENCE if size == "b" else None,
    }


def _decode(video: Video) -> None:
    for _ in decode_ahead(video.view(size=(224, 224)), 0, 32):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("video", type=Path, nargs="?", help="default: a simulated one")
    parser.add_argument("--sizes", nargs="*", choices=GFLOP, default=["b"])
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    machine = describe_machine()
    result = {"benchmark": "embedding_speed", "machine": machine, "cases": []}
    with tempfile.TemporaryDirectory() as folder:
        source = args.video
        if source is None:
            data = simulate(Path(folder) / "study", animals=1, duration=10.0, size=(396, 406))
            source = Path(data.videos()[0][2].path)
        for size in args.sizes:
            scratch = Path(folder) / size
            scratch.mkdir()
            row = measure(source, size, args.frames, args.rounds, scratch)
            done = row["frames_per_core_s"] * row["gflop_per_frame"]
            row["share_of_bf16_peak"] = round(done / machine["peak_gflops"]["bf16"], 3)
            result["cases"].append(row)
    text = json.dumps(result, indent=1)
    if args.out:
        args.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
