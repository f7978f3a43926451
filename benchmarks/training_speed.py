"""CPU-seconds per image of a whole BEAST training step on one thread.

A step is what the loop does: read the cache, augment, forward, backward, clip, AdamW, log. After
each of our steps the peer takes one on as many images, so that both meet the same machine:
transformers' ``ViTMAEForPreTraining``, which the reference wraps, in fp32 with plain AdamW and
without any data path. The reference itself was measured on a machine with AMX (its bf16 products
are four times as fast as those of AVX-512), so only ratios within one run compare.

    python benchmarks/training_speed.py --out training_speed.json
    python benchmarks/training_speed.py --cases "ViT-S tinbergen" --steps 20 --profile
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from machine import describe_machine
from tinbergen.beast.cache import CacheConfig, FrameCache
from tinbergen.beast.cache_build import build_cache
from tinbergen.beast.config import BeastConfig, Preset, Size, beast_config
from tinbergen.beast.selection import Selection
from tinbergen.beast.task import PretrainTask
from tinbergen.simulation import simulate
from tinbergen.training import fit

SMALL = {
    "encoder": {"width": 192, "depth": 6, "heads": 3, "channels": 1},
    "decoder": {"width": 128, "depth": 2, "heads": 4},
}


@dataclass(frozen=True)
class Case:
    """One setting; ``reference`` is CPU-s per image of the reference on its AMX machine."""

    preset: Preset
    size: Size
    batch: int
    overrides: dict[str, Any] = field(default_factory=dict)
    reference: float | None = None
    target: float | None = None


CASES = {
    "ViT-B, decoder 8x512, batch 8": Case("beast", "b", 8, reference=0.594, target=0.20),
    "ViT-B, decoder 8x512, batch 32": Case("beast", "b", 32, reference=0.594, target=0.20),
    "ViT-S, decoder 8x512, batch 8": Case("beast", "s", 8, reference=0.400),
    "ViT-S tinbergen, batch 32": Case("tinbergen", "s", 32, reference=0.400, target=0.07),
    "192/6/3 tinbergen, decoder 2x128, batch 32": Case(
        "tinbergen", "ti", 32, SMALL, reference=1 / 54, target=1 / 100
    ),
    "192/6/3 beast, decoder 2x128, batch 32": Case("beast", "ti", 32, SMALL, reference=1 / 54),
}


class Peer:
    """``ViTMAEForPreTraining`` of the same shape, trained as the reference does."""

    def __init__(self, config: BeastConfig):
        from transformers import ViTMAEConfig, ViTMAEForPreTraining

        encoder, decoder = config.encoder, config.decoder
        # The reference has one decoder: MAE's 8 x 512, unless the case is the small one.
        full = config.preset == "tinbergen" and encoder.width != SMALL["encoder"]["width"]
        own = (decoder.width, decoder.depth, decoder.heads)
        width, depth, heads = (512, 8, 16) if full else own
        shape = ViTMAEConfig(
            hidden_size=encoder.width,
            num_hidden_layers=encoder.depth,
            num_attention_heads=encoder.heads,
            intermediate_size=4 * encoder.width,
            decoder_hidden_size=width,
            decoder_num_hidden_layers=depth,
            decoder_num_attention_heads=heads,
            decoder_intermediate_size=4 * width,
        )
        self.model = ViTMAEForPreTraining(shape).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, weight_decay=0.05)
        self.images = torch.randn(config.train.batch_size, 3, *encoder.image_size)

    def step(self) -> None:
        self.model(self.images).loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


class Clock:
    """CPU and wall time between calls."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def read(self) -> tuple[float, float]:
        return time.process_time() - self.cpu, time.perf_counter() - self.wall


class TimedTask(PretrainTask):
    """Pretraining that stops the clock between steps, where the peer has its turn."""

    peer: Peer | None = None  # it gains from the kept heap (heap_kept) as much as ours

    def loss(self, model: nn.Module, batch: Any, generator: torch.Generator) -> Any:
        if not hasattr(self, "clock"):
            self.clock, self.ours, self.theirs = Clock(), [], []
        else:
            self.ours.append(self.clock.read())
            if self.peer is not None:
                self.clock.start()
                self.peer.step()
                self.theirs.append(self.clock.read())
        self.clock.start()
        return super().loss(model, batch, generator)


def training_gflop(config: BeastConfig) -> float:
    """Matrix products of one image, forward and backward (three times forward), in GFLOP."""
    encoder, decoder, goal = config.encoder, config.decoder, config.objective
    kept = int(encoder.n_patches * (1 - goal.mask_ratio))
    asked = round((encoder.n_patches - kept) * goal.decode)
    width = encoder.width
    total = kept * encoder.patch_values * width
    total += _blocks(kept + 1, width, encoder.depth, encoder.mlp_ratio)
    if goal.reconstruction:
        total += (kept + 1) * width * decoder.width
        total += _blocks(kept + 1 + asked, decoder.width, decoder.depth, decoder.mlp_ratio)
        total += asked * decoder.width * encoder.patch_values
    return 3 * 2 * total / 1e9


def _blocks(tokens: int, width: int, depth: int, ratio: float) -> float:
    return depth * (tokens * width**2 * (4 + 2 * ratio) + 2 * tokens**2 * width)


def measure(case: Case, caches: dict[bool, FrameCache], steps: int, profile: bool) -> dict:
    """Median step of ours and of the peer."""
    train = {"batch_size": case.batch, "steps": steps + 3, "workers": 0, "tensorboard": False}
    config = beast_config(
        case.preset, size=case.size, overrides={**case.overrides, "train": train}
    )
    cache = caches[config.encoder.channels == 1]
    mean = cache.frames.mean(axis=0).round().astype(np.uint8)[None]
    nothing = np.zeros(0, int)
    task = TimedTask(config, cache, cache.usable, nothing, mean)
    if not profile:
        task.peer = Peer(config)
    if profile:
        _profile(task, config)
        return {}
    fit(task, config.train)
    ours = np.median(task.ours[2:], axis=0) / case.batch
    gflop = training_gflop(config)
    row = {
        "cpu_s_per_image": ours[0],
        "wall_s_per_image": ours[1],
        "images_per_cpu_s": 1 / ours[0],
        "gflop_per_image": gflop,
        "reference_cpu_s_per_image_amx": case.reference,
        "target_cpu_s_per_image_amx": case.target,
    }
    if task.peer is not None:
        peer = np.median(task.theirs[2:], axis=0) / case.batch
        row |= {"peer_cpu_s_per_image": peer[0], "times_as_fast_as_peer": peer[0] / ours[0]}
    return {key: round(v, 5) if v is not None else None for key, v in row.items()}


def _profile(task: TimedTask, config: BeastConfig) -> None:
    with torch.profiler.profile() as seen:
        fit(task, config.train)
    table = seen.key_averages().table(
        sort_by="self_cpu_time_total", row_limit=30, max_name_column_width=45
    )
    print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", nargs="*", default=[], help="parts of names; default: all")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--profile", action="store_true", help="print a profile instead")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"benchmark": "training_speed", "machine": describe_machine()}
    wanted = [n for n in CASES if not args.cases or any(part in n for part in args.cases)]
    rows = result["cases"] = {}
    with tempfile.TemporaryDirectory() as scratch:
        data = simulate(Path(scratch) / "study", animals=1, duration=10.0)
        everything = Selection(method="all")
        caches = {
            gray: build_cache(
                data, Path(scratch) / str(gray), CacheConfig(selection=everything, gray=gray)
            )
            for gray in (False, True)
        }
        for name in wanted:
            row = measure(CASES[name], caches, args.steps, args.profile)
            if row:
                peak = result["machine"]["peak_gflops"]["bf16"]
                row["share_of_bf16_peak"] = round(
                    row["gflop_per_image"] / row["cpu_s_per_image"] / peak, 3
                )
                print(name, json.dumps(row), flush=True)
            rows[name] = row
            if args.out:
                args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
