"""How long a step takes and how much it needs, before it runs.

A step that was done before, with other settings or inputs, is expected to take what it took then.
The others get rough sums from the number of frames, the steps of training and the size of the
network, with constants measured on one core of a CPU. They tell minutes from hours: expect a
factor of 3 either way, and far less time on a GPU. Each estimate says which of the two it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tinbergen.study.catalogue import FRAMES, Catalogue
from tinbergen.study.job import DONE
from tinbergen.study.plan import Plan, Planned

MEASURED, ROUGH = "an earlier run", "constants"
HOW = (
    "Constants were measured on one CPU core: within a factor of 3, and far less time on a GPU; "
    "an earlier run is what the step took with other settings or inputs."
)
_START = 3.0  # s, until a command has imported and opened everything, and of its report
_DECODED = 6e7  # px/s: decoded, scaled and chosen from
_FLOPS = 8e10  # FLOP/s of a core in matrix products, with all that lies between
_STEP = 0.04  # s, of a small network, beside its products


@dataclass(frozen=True)
class Estimate:
    """What a step is expected to take.

    Attributes
    ----------
    seconds, memory_gb, disk_gb
        Time with the cores of the step, most memory at once, size of its folder.
    source
        Where the numbers come from.
    """

    seconds: float
    memory_gb: float
    disk_gb: float
    source: str


@dataclass(frozen=True)
class Amount:
    """How much there is: frames, pixels of all of them, and seconds of recording."""

    frames: int
    pixels: float
    seconds: float


def estimate(plan: Plan) -> dict[str, Estimate]:
    """Return an estimate for each step of a plan; only headers of videos are read."""
    amount = amount_of(Catalogue.read(plan.study.data))
    found = {}
    for name, step in plan.steps.items():
        rough = _KINDS[step.step.kind]
        found[name] = _earlier(step) or rough(plan, step, amount)
    return found


def amount_of(data: Catalogue) -> Amount:
    """Add up what the headers of the videos say; those that cannot be opened count as nothing."""
    frames, pixels, seconds = 0, 0.0, 0.0
    for recording in data.recordings.values():
        lengths = [0.0]
        for entry in recording["streams"].values():
            if entry["kind"] in FRAMES:
                n, size, length = _header(entry["kind"], entry["file"])
                frames, pixels = frames + n, pixels + n * size
                lengths.append(length)
        seconds += max(lengths)
    return Amount(frames, pixels, seconds)


def _header(kind: str, file: str) -> tuple[int, int, float]:
    """Return frames, px of each, and s."""
    if kind != "video":
        return 0, 0, 0.0
    import av
    from av.error import FFmpegError

    try:
        with av.open(file) as container:
            stream = container.streams.video[0]
            seconds = (container.duration or 0) / av.time_base
            frames = stream.frames or round(seconds * float(stream.average_rate or 0))
            return frames, stream.width * stream.height, seconds
    except (FFmpegError, IndexError):
        return 0, 0, 0.0


def _earlier(step: Planned) -> Estimate | None:
    found = sorted(step.folder.parent.glob(f"*/{DONE}"), key=lambda path: path.stat().st_mtime)
    if not found:
        return None
    done: Mapping[str, Any] = json.loads(found[-1].read_text(encoding="utf-8"))
    return Estimate(done["seconds"], done["memory_gb"], done["disk_gb"], MEASURED)


# ---- constants


def _network(settings: Mapping[str, Any]) -> tuple[float, int, int, int]:
    """Return FLOP of an image through the encoder, its width, images and steps of training."""
    from tinbergen.beast.config import beast_config

    config = beast_config(
        settings.get("preset", "tinbergen"),
        size=settings.get("size"),
        overrides=settings.get("set") or {},
    )
    shape = config.encoder
    height, width = shape.image_size
    tokens = (height // shape.patch) * (width // shape.patch) + 1
    flops = shape.depth * (24 * tokens * shape.width**2 + 4 * tokens**2 * shape.width)
    return flops, shape.width, config.train.batch_size, config.train.steps


def _pretraining(plan: Plan, step: Planned, amount: Amount) -> Estimate:
    flops, width, batch, steps = _network(step.step.settings)
    steps = step.step.settings.get("steps", steps)
    work = amount.pixels / _DECODED + steps * (_STEP + 3 * batch * flops / _FLOPS)
    seconds = (2 * _START + work) / step.step.cores
    return Estimate(seconds, 1.0 + 4e-5 * batch * width, 0.1, ROUGH)


def _embedding(plan: Plan, step: Planned, amount: Amount) -> Estimate:
    settings = plan.study.steps[plan.study.used(step.name, "run")[0]].settings
    flops, width, _, _ = _network(settings)
    work = amount.pixels / _DECODED + amount.frames * flops / _FLOPS
    size = 2e-9 * width * amount.frames  # float16, one token a frame
    return Estimate((_START + work) / step.step.cores, 0.8, size, ROUGH)


def _frames(seconds: float, memory_gb: float) -> Callable[[Plan, Planned, Amount], Estimate]:
    """Return a sum of a start and ``seconds`` a frame."""

    def rough(plan: Plan, step: Planned, amount: Amount) -> Estimate:
        work = _START + seconds * amount.frames + amount.pixels / _DECODED
        return Estimate(work / step.step.cores, memory_gb, 1e-6 * amount.frames, ROUGH)

    return rough


def _training(
    steps: int, seconds: float, beside: float, memory_gb: float
) -> Callable[[Plan, Planned, Amount], Estimate]:
    """Return a sum of a start, ``seconds`` a step and ``beside`` a second of recording."""

    def rough(plan: Plan, step: Planned, amount: Amount) -> Estimate:
        settings = step.step.settings
        wanted = settings.get("steps") or _under(settings, "set", "train", "steps") or steps
        start = 2 * _START if wanted else _START
        work = start + seconds * wanted + beside * amount.seconds
        return Estimate(work / step.step.cores, memory_gb, 0.02, ROUGH)

    return rough


def _under(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


_KINDS: dict[str, Callable[[Plan, Planned, Amount], Estimate]] = {
    "check": _frames(2e-4, 0.3),
    "pretrain": _pretraining,
    "embed": _embedding,
    "pose": _training(1000, 0.08, 0.05, 0.6),
    "actions": _frames(5e-3, 0.6),
    "encode": _training(0, 0.0, 0.03, 0.4),
    "decode": _training(0, 0.0, 0.01, 0.4),
    "population": _training(1000, 0.1, 0.6, 1.0),
    "crossanimal": _training(1200, 0.05, 0.03, 0.6),
}
