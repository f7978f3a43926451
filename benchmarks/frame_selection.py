"""CPU time of choosing and of caching the frames of one video, decoding included.

Run: ``OMP_NUM_THREADS=1 python benchmarks/frame_selection.py [VIDEO] [--frames 100]``; prints
JSON. Without a video it simulates one of 994 frames of 406 x 396 px.
The reference's figure: BEAST's ``extract`` on the 994-frame mirror-mouse clip, 34 s wall on a busy
machine, single-threaded.
"""

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path

import cv2

from tinbergen.beast.cache import CacheConfig
from tinbergen.beast.cache_build import build_cache
from tinbergen.beast.selection import Selection, select_frames
from tinbergen.recordings import Video
from tinbergen.simulation import simulate

REFERENCE = {"wall_s": 34.0, "clip": "mirror-mouse, 994 frames", "note": "busy machine, 1 thread"}


def timed(function) -> dict:
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return {
        "cpu_s": round(time.process_time() - cpu, 3),
        "wall_s": round(time.perf_counter() - wall, 3),
    }


def simulated_video(folder: Path) -> Path:
    """Write a video as long and as large as the mirror-mouse clip."""
    data = simulate(folder / "study", animals=1, duration=994 / 30, size=(406, 396))
    return Path(next(iter(data.videos()))[2].path)


def measure(path: Path, frames: int) -> dict:
    """Measure selection by each method, and building a cache of what was selected."""
    cv2.setNumThreads(1)
    result: dict = {"video": path.name, "n_frames": Video(path).n_frames, "reference": REFERENCE}
    for method in ("pca_kmeans", "uniform", "random"):
        selection = Selection(method=method, frames_per_video=frames)
        result[method] = timed(partial(select_frames, Video(path), selection))
    for name, gray in (("cache_rgb_224", False), ("cache_gray_224", True)):
        config = CacheConfig(selection=Selection(frames_per_video=frames), gray=gray)
        with tempfile.TemporaryDirectory() as folder:
            result[name] = timed(partial(build_cache, path, Path(folder) / "cache", config))
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path, nargs="?", help="default: a simulated one")
    parser.add_argument("--frames", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.video or simulated_video(Path(folder))
        print(json.dumps(measure(path, arguments.frames), indent=2))
