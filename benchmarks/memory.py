"""Peak memory of ``pretrain`` and ``embed`` on a video of one minute and on one of an hour.

The long video is the short one many times over, so everything but the length is the same. Each
job runs in a process of its own with a tiny model and few steps; its peak resident set is what
the system says. Flat means that the two differ by no more than 10 %.

    python benchmarks/memory.py --minutes 60 --out memory.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TOLERANCE = 0.1
TINY = {
    "encoder": {"image_size": (96, 96), "width": 64, "depth": 2, "heads": 2},
    "decoder": {"width": 32, "depth": 1, "heads": 2},
    "train": {"workers": 1, "tensorboard": False},
}


def pretrain(video: Path, run: Path) -> None:
    """Select frames, cache them, train a few steps."""
    import tinbergen as tb

    tb.beast.pretrain(video, out=run, steps=20, overrides=TINY, evaluate=False)


def embed(video: Path, run: Path) -> None:
    """Embed every frame."""
    import tinbergen as tb

    tb.beast.embed(run, video, out=run.parent / "embeddings")


def measured(job: Callable[[Path, Path], None], video: Path, run: Path) -> dict:
    """Run ``job`` in a new process; peak resident set in MiB and seconds."""
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    process = context.Process(target=_measure, args=(job, video, run, answers))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{job.__name__} of {video} ended with code {process.exitcode}")
    return answers.get()


def _measure(job: Callable, video: Path, run: Path, answers) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    wall, cpu = time.perf_counter(), time.process_time()
    job(video, run)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # the largest of them
    answers.put(
        {
            "peak_mib": round(own / 1024, 1),
            "largest_child_peak_mib": round(children / 1024, 1),
            "cpu_s": round(time.process_time() - cpu, 1),
            "wall_s": round(time.perf_counter() - wall, 1),
        }
    )


def main() -> None:
    from tinbergen.simulation import simulate
    from tinbergen.simulation.files import loop_video

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result: dict = {"benchmark": "memory", "minutes": [1, args.minutes], "fps": args.fps}
    with tempfile.TemporaryDirectory() as scratch:
        data = simulate(Path(scratch) / "study", animals=1, duration=60.0, fps=args.fps)
        short = Path(data.videos()[0][2].path)
        long = Path(scratch) / "long.mp4"
        loop_video(short, long, args.minutes)
        for job in (pretrain, embed):
            rows = {}
            for name, video in (("short", short), ("long", long)):
                rows[name] = measured(job, video, Path(scratch) / name / "run")
                print(job.__name__, name, rows[name], flush=True)
            growth = rows["long"]["peak_mib"] / rows["short"]["peak_mib"] - 1
            flat = abs(growth) <= TOLERANCE
            result[job.__name__] = rows | {"growth": round(growth, 4), "flat": flat}
    text = json.dumps(result, indent=1)
    if args.out:
        args.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
