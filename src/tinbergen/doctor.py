"""Find out whether this machine is ready, by doing the real thing in small."""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

_LITTLE_SPACE = 5e9  # bytes; a frame cache of 30,000 RGB frames of 224 px


@dataclass(frozen=True)
class Check:
    """One finding; only ``failed`` means that Tinbergen cannot work."""

    name: str
    state: Literal["ok", "warning", "failed"]
    found: str
    advice: str = ""


def examine(folder: str | os.PathLike = ".") -> Iterator[Check]:
    """Run all checks, yielding each finding as it is made.

    Parameters
    ----------
    folder
        Where results would be written.
    """
    checks: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("packages", _packages),
        ("processor", _processor),
        ("GPU", _gpus),
        ("training step", _training),
        ("video", _video),
        ("processes", _processes),
        ("disk", lambda: _disk(Path(folder))),
        ("extras", _extras),
    ]
    for name, check in checks:
        try:
            yield from check()
        except Exception as error:  # whatever it is, it is the finding
            yield Check(name, "failed", f"{type(error).__name__}: {error}")


def _packages() -> Iterator[Check]:
    from packaging.requirements import Requirement

    yield Check("python", "ok", f"{platform.python_version()} on {platform.platform()}")
    for text in metadata.requires("tinbergen") or []:
        need = Requirement(text)
        if need.marker is not None:  # an extra
            continue
        advice = f'pip install "{need}"'
        try:
            version = metadata.version(need.name)
        except metadata.PackageNotFoundError:
            yield Check(need.name, "failed", "not installed", advice)
            continue
        fits = need.specifier.contains(version, prereleases=True)
        found = version if fits else f"{version}, expected {need.specifier}"
        yield Check(need.name, "ok" if fits else "failed", found, "" if fits else advice)


def _processor() -> Iterator[Check]:
    import psutil
    import torch

    from tinbergen.training.device import has_fast_bf16

    granted = (
        len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else 0
    )
    granted = granted or os.cpu_count() or 1
    memory = psutil.virtual_memory()
    precision = "bf16" if has_fast_bf16("cpu") else "fp32"
    yield Check(
        "processor",
        "ok",
        f"{granted} of {os.cpu_count()} cores, {memory.available / 1e9:.0f} of "
        f"{memory.total / 1e9:.0f} GB memory free, trains in {precision}",
    )
    threads = torch.get_num_threads()
    crowded = threads > granted
    yield Check(
        "threads",
        "warning" if crowded else "ok",
        f"torch computes with {threads}",
        f"set OMP_NUM_THREADS={granted}; more threads than cores slow each other"
        if crowded
        else "",
    )


def _gpus() -> Iterator[Check]:
    import torch

    from tinbergen.training.device import has_fast_bf16

    if torch.cuda.is_available():
        precision = "bf16" if has_fast_bf16("cuda") else "fp32"
        for number in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(number)
            found = f"{about.name}, {about.total_memory / 1e9:.0f} GB, trains in {precision}"
            yield Check(f"GPU {number}", "ok", found)
    elif torch.backends.mps.is_available():
        yield Check("GPU", "ok", "Apple GPU (mps), trains in fp32")
    elif shutil.which("nvidia-smi") and torch.version.cuda is None:
        advice = "install a CUDA build of torch: https://pytorch.org/get-started/locally"
        yield Check("GPU", "warning", f"torch {torch.__version__} is built without CUDA", advice)
    elif shutil.which("nvidia-smi"):
        found = f"torch (CUDA {torch.version.cuda}) cannot use the GPU"
        yield Check("GPU", "warning", found, "run nvidia-smi and compare its CUDA version")
    else:
        yield Check("GPU", "ok", "none; everything runs on the CPU")


def _training() -> Iterator[Check]:
    """Take real steps of the real loop on every kind of device."""
    import torch

    from tinbergen.training.trial import try_training

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    for device in ("cpu", *(kind for kind, yes in there.items() if yes)):
        start = time.perf_counter()
        name = f"training on {device}"
        try:
            before, after = try_training(device)
        except Exception as error:
            essential = device == "cpu"
            found = f"{type(error).__name__}: {error}"
            advice = "" if essential else "train with --set device=cpu until this is repaired"
            yield Check(name, "failed" if essential else "warning", found, advice)
            continue
        seconds = time.perf_counter() - start
        learned = after < 0.5 * before
        found = f"40 steps in {seconds:.1f} s, loss {before:.3g} -> {after:.3g}"
        yield Check(
            name, "ok" if learned else "failed", found, "" if learned else "reinstall torch"
        )


def _video() -> Iterator[Check]:
    """Write a lossless and an H.264 video; read frames back in order and at random."""
    import av
    import numpy as np

    from tinbergen.recordings import Video

    libraries = ", ".join(
        f"{name.removeprefix('lib')} {'.'.join(map(str, version))}"
        for name, version in av.library_versions.items()
        if name in ("libavcodec", "libavformat", "libswscale")
    )
    yield Check("FFmpeg in av", "ok", libraries)
    frames = np.random.default_rng(0).integers(0, 256, (12, 48, 64), dtype=np.uint8)
    smooth = np.cumsum(frames[:, :1, :1] // 16, axis=0).astype(np.uint8) + np.zeros_like(frames)
    trials = (
        ("lossless video", "ffv1", "gray", ".mkv", frames, 0),
        ("H.264 video", "libx264", "yuv420p", ".mp4", smooth, 6),
    )
    with tempfile.TemporaryDirectory(prefix="tinbergen-") as folder:
        for name, codec, pixels, suffix, expected, tolerance in trials:
            path = Path(folder) / f"try{suffix}"
            _write_video(path, codec, pixels, expected)
            order = [7, 0, 11, 3, 7]
            found = Video(path, gray=True).frames(order).frames.astype(int)
            worst = int(np.abs(found - expected[order]).max())
            good = worst <= tolerance
            yield Check(
                name,
                "ok" if good else "failed",
                f"5 frames at random, largest difference {worst} of at most {tolerance}",
                "" if good else "reinstall av: pip install --force-reinstall av",
            )


def _write_video(path: Path, codec: str, pixels: str, frames: np.ndarray) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:], pixels  # type: ignore
        for image in frames:
            frame = av.VideoFrame.from_ndarray(image, format="gray")
            container.mux(stream.encode(frame.reformat(format=pixels)))  # type: ignore
        container.mux(stream.encode())  # type: ignore


def _processes() -> Iterator[Check]:
    """Start a worker process the way that frame selection and several devices do."""
    start = time.perf_counter()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        other = pool.submit(os.getpid).result(timeout=60)
    seconds = time.perf_counter() - start
    if other == os.getpid():
        yield Check("worker processes", "failed", "the worker is this process")
    yield Check("worker processes", "ok", f"started and answered in {seconds:.1f} s")


def _disk(folder: Path) -> Iterator[Check]:
    import filelock

    from tinbergen.files import atomic_write, ensure_output_folder

    ensure_output_folder(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".tinbergen-") as inside:
        data, path = os.urandom(1 << 20) * 16, Path(inside) / "try"
        start = time.perf_counter()
        with atomic_write(path, "wb") as file:
            file.write(data)
        speed = len(data) / (time.perf_counter() - start)
        if path.read_bytes() != data:
            yield Check("disk", "failed", f"{folder}: what was read is not what was written")
        free = shutil.disk_usage(folder).free
        little = free < _LITTLE_SPACE
        yield Check(
            "disk",
            "warning" if little else "ok",
            f"{folder.resolve()}: {free / 1e9:.1f} GB free, writes {speed / 1e6:.0f} MB/s",
            "a frame cache and checkpoints take several GB" if little else "",
        )
        try:
            with filelock.FileLock(Path(inside) / "lock", timeout=1):
                yield Check("file locks", "ok", "work; two processes cannot write one run")
        except (NotImplementedError, OSError):
            advice = "see to it that no two processes write one run"
            yield Check("file locks", "warning", f"{folder} has none", advice)


def _extras() -> Iterator[Check]:
    """Look for what is optional; import it where an installed one is often broken."""
    extras = (
        ("pynwb", "to export NWB", 'pip install "tinbergen[nwb]"'),
        ("torchcodec", "to decode on a GPU", "pip install torchcodec"),
    )
    for name, purpose, advice in extras:
        if importlib.util.find_spec(name) is None:
            yield Check(name, "warning", f"not installed ({purpose})", advice)
        else:
            yield _imports(name, f"pip install --force-reinstall {name}")
    if importlib.util.find_spec("torchvision") is not None:
        yield _imports("torchvision", "remove it or match it to torch: a broken one breaks others")


def _imports(name: str, advice: str) -> Check:
    try:
        importlib.import_module(name)
    except Exception as error:
        first_line = str(error).strip().partition("\n")[0]
        return Check(name, "warning", f"installed but broken: {first_line}", advice)
    return Check(name, "ok", metadata.version(name))
