"""Read a dataset through, and say what is wrong with each file and what to do about it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.errors import MissingFileError, TinbergenError
from tinbergen.progress import Progress
from tinbergen.recordings.array_files import list_arrays
from tinbergen.recordings.bare import bare_recording
from tinbergen.recordings.check_streams import NOTE, compare, describe
from tinbergen.recordings.dataset import Dataset
from tinbergen.recordings.dataset_entries import Failures
from tinbergen.recordings.frames import FrameSource, VideoCheck, joined
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.labels import Labels
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.video import Video

_PIECE = 500  # frames that one process decodes in one go
_ARRAYS = (".npz", ".npy", ".mat")
_PLACES = 5  # damaged stretches that are written out
_VARIABLE = 0.05  # frame intervals that differ by more than this share of the median


@dataclass(frozen=True)
class CheckRow:
    """What was found in one file.

    Attributes
    ----------
    file
        Its path.
    recording, stream
        Where it belongs.
    kind
        ``video``, ``keypoints``, ``labels``, ...
    state
        ``ok``, ``losses`` (usable, but not all of it), or ``unusable``.
    n_frames, ok, corrupt, missing
        Numbers of frames (of samples, for other streams).
    damaged
        First and last frame of each damaged stretch.
    fps, duration
        Hz and s.
    width, height
        px; 0 where there are no images.
    variable_rate
        Whether frames come at uneven intervals.
    problems, hint
        What is wrong, and what to do.
    found
        What it holds: units, spikes, trials, channels.
    """

    file: str
    recording: str
    stream: str
    kind: str
    state: str = "ok"
    n_frames: int = 0
    ok: int = 0
    corrupt: int = 0
    missing: int = 0
    damaged: tuple[tuple[int, int], ...] = ()
    fps: float | None = None
    duration: float | None = None
    width: int = 0
    height: int = 0
    variable_rate: bool = False
    problems: tuple[str, ...] = field(default=())
    hint: str = ""
    found: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"problems": list(self.problems)}


def check_dataset(
    source: str | os.PathLike | Iterable[str | os.PathLike] | Dataset, *, workers: int = 0
) -> list[CheckRow]:
    """Decode every frame of every video, and compare the other streams with them.

    Parameters
    ----------
    source
        What :meth:`Dataset.open` takes; and, as they are, NWB files, the output folders of
        Kilosort or phy, ALF folders, and files of arrays (``.npz``, ``.npy``, ``.mat``).
    workers
        Processes that decode; 0 = one a core.

    Returns
    -------
    A row a file, in the order of the dataset.

    Raises
    ------
    MissingFileError, ConfigError, DataError
        If there is nothing to check.
    """
    failures: Failures = {}
    dataset, arrays = _open(source, failures)
    videos = dataset.videos()
    found = _check_videos([video for _, _, video in videos], workers or os.cpu_count() or 1)
    rows = {
        (name, stream): replace(row, recording=name, stream=stream)
        for (name, stream, _), row in zip(videos, found, strict=True)
    }
    for name, recording in dataset.items():
        for stream, value in recording.streams.items():
            if not isinstance(value, FrameSource):
                rows[name, stream] = _check_stream(recording, stream, value)
    for (name, stream), (kind, file, error) in failures.items():
        rows[name, stream] = _unusable(kind, file, error, name, stream)
    wanted = [(name, stream) for name, each in dataset.items() for stream in each.streams]
    return [*(rows[key] for key in [*wanted, *failures]), *map(_array_row, arrays)]


def _open(source: Any, failures: Failures) -> tuple[Dataset, list[Path]]:
    """Open a dataset, or sessions as they lie on the disk; return files of arrays beside it."""
    if isinstance(source, Mapping):
        return Dataset.open(source, failures=failures), []
    single = isinstance(source, str | os.PathLike)
    paths = [Path(path) for path in ([source] if single else source)]
    sessions: list[Recording] = []
    arrays, others = [], []
    for path in paths:
        if (session := bare_recording(path, failures)) is not None:
            sessions.append(session)
        elif path.is_file() and path.suffix.lower() in _ARRAYS:
            arrays.append(path)
        else:
            others.append(path)
    if others or not (sessions or arrays):
        sessions += Dataset.open(others, failures=failures).values()
    return Dataset(sessions), arrays


def _array_row(path: Path) -> CheckRow:
    """Say which arrays a file holds; what they mean, only a dataset.yaml can tell."""
    try:
        found = list_arrays(path)
    except TinbergenError as error:
        return _unusable("arrays", str(path), error, path.name, "arrays")
    text = ", ".join(f"{key} {about}".strip() for key, about in found.items())
    hint = (
        "to use them, name them in a dataset.yaml: kind series, spikes or trials, with the keys "
        "of values and times."
    )
    state = "ok" if found else "unusable"
    return CheckRow(
        str(path), path.name, "arrays", "arrays", state, found=text or "no array", hint=hint
    )


def _check_videos(videos: list[FrameSource], workers: int) -> list[CheckRow]:
    pieces: list[list[tuple[int, int]]] = []
    rows: list[CheckRow | None] = []
    for video in videos:
        try:
            pieces.append(list(_pieces(video)))
            rows.append(None)
        except TinbergenError as error:
            pieces.append([])
            rows.append(_unusable("video", str(video.path), error))
    total = sum(video.n_frames for video, each in zip(videos, pieces, strict=True) if each)
    jobs = [(v, span) for v, each in enumerate(pieces) for span in each]
    results: dict[int, list[tuple[int, VideoCheck]]] = {v: [] for v in range(len(videos))}
    with Progress(total, "checking", "frames") as progress:
        for v, start, result in _run(videos, jobs, workers):
            results[v].append((start, result))
            progress.advance(result.n_frames, videos[v].path.name)
    return [
        row or _video_row(video, _together(results[v]))
        for v, (video, row) in enumerate(zip(videos, rows, strict=True))
    ]


def _pieces(video: FrameSource) -> Iterator[tuple[int, int]]:
    """Cut a video into pieces that begin at keyframes, so that no frame is decoded twice."""
    n = video.n_frames
    video.geometry  # noqa: B018 - a bad size or region shows here
    starts = np.arange(0, n, _PIECE)
    if isinstance(video, Video) and not video.is_clip:
        whole = video.index.keyframes[video.index.closed]
        keys = np.searchsorted(video.index.pts, whole)
        starts = keys[np.searchsorted(keys, starts[starts <= keys.max(initial=-1)])]
    starts = np.unique(np.concatenate([[0], starts]))
    yield from zip(starts.tolist(), [*starts[1:].tolist(), n], strict=True)


def _run(
    videos: list[FrameSource], jobs: list[tuple[int, tuple[int, int]]], workers: int
) -> Iterator[tuple[int, int, VideoCheck]]:
    if workers == 1 or len(jobs) <= 1:
        for v, span in jobs:
            yield v, span[0], videos[v].check(*span)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy locks of other threads
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        yield from _in_flight(pool, videos, jobs, 4 * workers)


def _in_flight(
    pool: Executor, videos: list[FrameSource], jobs: list[tuple[int, tuple[int, int]]], limit: int
) -> Iterator[tuple[int, int, VideoCheck]]:
    """Run ``jobs`` with at most ``limit`` of them queued."""
    queue = iter(jobs)
    running: dict[Future, tuple[int, tuple[int, int]]] = {}
    while True:
        for v, span in queue:
            running[pool.submit(videos[v].check, *span)] = (v, span)
            if len(running) >= limit:
                break
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            v, span = running.pop(future)
            yield v, span[0], future.result()


def _together(results: list[tuple[int, VideoCheck]]) -> VideoCheck:
    results = sorted(results, key=lambda item: item[0])
    spans = [(start + a, start + b) for start, each in results for a, b in each.damaged]
    checks = [each for _, each in results]
    return VideoCheck(
        n_frames=sum(each.n_frames for each in checks),
        ok=sum(each.ok for each in checks),
        corrupt=sum(each.corrupt for each in checks),
        missing=sum(each.missing for each in checks),
        damaged=joined(spans),
        problems=checks[0].problems,
    )


def _places(spans: tuple[tuple[int, int], ...], times: np.ndarray) -> str:
    """Say which frames, and when."""
    said = ", ".join(
        f"{first}-{last} ({times[first]:.3f}-{times[last]:.3f} s)"
        if last > first
        else f"{first} ({times[first]:.3f} s)"
        for first, last in spans[:_PLACES]
    )
    more = len(spans) - _PLACES
    return said if more <= 0 else f"{said} and {more} more stretches; --json lists all"


def _video_row(video: FrameSource, check: VideoCheck) -> CheckRow:
    problems = list(check.problems)
    bad = check.corrupt + check.missing
    if bad:
        problems.insert(
            0,
            f"{bad} of {check.n_frames} frames cannot be used: "
            f"{_places(check.damaged, video.times)}",
        )
    uneven, notes = _timing(video.times)
    hint = ""
    if problems:
        hint = (
            "nothing, if you can do without: what is damaged is marked and left out, all else is "
            "used. A new copy may be whole. Re-encoding mends nothing, it hides the damage."
        )
    return CheckRow(
        file=str(video.path),
        recording="",
        stream="",
        kind="video",
        state="unusable" if not check.ok else "losses" if problems else "ok",
        n_frames=check.n_frames,
        ok=check.ok,
        corrupt=check.corrupt,
        missing=check.missing,
        damaged=check.damaged,
        fps=None if np.isnan(video.fps) else round(video.fps, 4),
        duration=video.duration,
        width=video.width,
        height=video.height,
        variable_rate=uneven,
        problems=(*problems, *notes),
        hint=hint,
    )


def _timing(times: np.ndarray) -> tuple[bool, list[str]]:
    """Return whether the rate varies, and what is to be said about gaps."""
    steps = np.diff(times)
    if len(steps) < 2:
        return False, []
    median = float(np.median(steps))
    notes = []
    if repeated := int((steps <= 0).sum()):
        notes.append(f"note: {repeated} frames have the time of the frame before")
    gaps = len(Intervals.of_samples(times)) - 1
    if gaps:
        notes.append(f"note: {gaps} gaps, the longest of {steps.max():.3f} s; windows stop there")
    uneven = (np.abs(steps - median) > _VARIABLE * median).mean() > 0.01
    return bool(uneven), notes


def _unusable(
    kind: str, file: str, error: TinbergenError, recording: str = "", stream: str = ""
) -> CheckRow:
    missing = isinstance(error, MissingFileError)
    return CheckRow(
        file=file,
        recording=recording,
        stream=stream,
        kind=kind,
        state="unusable",
        problems=(str(error),),
        hint="correct the path." if missing else "",
    )


def _check_stream(recording: Recording, stream: str, value: Any) -> CheckRow:
    report = describe(value)
    against = [
        problem
        for name, video in recording.videos.items()
        for problem in _against_video(value, name, video)
    ]
    against += compare(recording, stream, value)
    hints = ["see that the file belongs to this recording and that all use one clock."] * bool(
        [problem for problem in against if not problem.startswith(NOTE)]
    )
    problems = [*report.problems, *against]
    if isinstance(value, Keypoints) and not np.isfinite(value.positions).any():
        problems.append("holds no position at all")
    if stream == next(iter(recording.streams)):
        problems += [NOTE + note for note in recording.notes]
    losses = [problem for problem in problems if not problem.startswith(NOTE)]
    n = len(value.table) if isinstance(value, Labels) else len(value)
    return CheckRow(
        file=f"{recording.name}/{stream}",
        recording=recording.name,
        stream=stream,
        kind=type(value).__name__.lower(),
        state="unusable" if report.empty else "losses" if losses else "ok",
        n_frames=n,
        ok=n,
        fps=report.fps,
        duration=report.duration,
        problems=(*losses, *(problem for problem in problems if problem not in losses)),
        hint=" ".join([*report.hints, *hints]),
        found=report.found,
    )


def _against_video(value: Any, name: str, video: FrameSource) -> Iterator[str]:
    try:
        filmed = Intervals([video.times[0]], [video.times[-1] + 1 / (video.fps or 1)])
    except (TinbergenError, IndexError):
        return  # the video has a row of its own
    covered = value.observed if isinstance(value, Labels) else getattr(value, "valid", None)
    if covered is None or not len(covered):
        return
    if not len(covered & filmed):
        yield (
            f"has no time in common with {name}: {covered.starts[0]:.3f} to "
            f"{covered.stops[-1]:.3f} s against {filmed.starts[0]:.3f} to {filmed.stops[-1]:.3f} s"
        )
    elif isinstance(value, Labels) and (outside := (covered - filmed).duration) > 1.0:
        yield f"{outside:.1f} s of labels lie outside {name}"
    if isinstance(value, Keypoints) and len(value) < video.n_frames and len(covered & filmed):
        yield f"{len(value)} rows, but {name} has {video.n_frames} frames"
    if isinstance(value, Keypoints) and value.unit == "px":
        yield from _outside_image(value, name, video)


def _outside_image(value: Keypoints, name: str, video: FrameSource) -> Iterator[str]:
    height, width = video.view(roi=None, size=None).geometry.size
    points = value.positions[..., :2]
    inside = (points > -0.5 * np.array([width, height])) & (
        points < 1.5 * np.array([width, height])
    )
    share = 1 - inside[np.isfinite(points)].mean() if np.isfinite(points).any() else 0.0
    if share > 0.05:
        yield f"{share:.0%} of the positions lie far outside the {width} x {height} px of {name}"


def usable(rows: Iterable[CheckRow]) -> bool:
    """Whether at least one video can be used; without any video, at least one file."""
    rows = list(rows)
    videos = [row for row in rows if row.kind == "video"]
    return any(row.state != "unusable" for row in videos or rows)
