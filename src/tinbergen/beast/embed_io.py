"""Embeddings on disk: written while a video is read, resumed after a kill, read as memory maps.

A finished folder holds one recording's video::

    cls.npy, mean.npy   (T, D), float16 or float32, one row per frame; likewise
    grid.npy, patch.npy (T, 4, 4, D), (T, h, w, D)
    index.parquet       row -> frame, time (s), status (0 ok, 1 corrupt, 2 missing)
    index.csv           the same as text
    meta.json           kinds, shapes, source, number of damaged frames

Rows of frames that cannot be decoded are NaN. While it is written the folder has a hidden name
beside the final one; ``progress.json`` in it counts the rows that are safely on the disk.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Literal, Self

import numpy as np
import pandas as pd

from tinbergen.beast.npy import npy_header
from tinbergen.errors import DataError, OutputError
from tinbergen.files import (
    atomic_write,
    ensure_output_folder,
    explain_os_errors,
    fsync_folder,
    write_csv,
    write_json,
)
from tinbergen.progress import Progress
from tinbergen.recordings import FrameSource
from tinbergen.recordings.reading_ahead import decode_ahead

_ROWS_PER_MARK = 2048
Encode = Callable[[np.ndarray], Mapping[str, np.ndarray]]


class EmbeddingWriter:
    """Writes the tokens of one video, row after row.

    Parameters
    ----------
    path
        Folder that appears when all is written.
    times
        ``(T,)`` s, of all frames of the video.
    source
        What the rows come from (JSON values: weights, video, settings). A half-written folder of
        another source is thrown away, one of the same is gone on with.
    dtype
        ``float16`` or ``float32``.
    overwrite
        Replace a finished folder at ``path``.

    Raises
    ------
    OutputError
        If ``path`` exists, cannot be written, or the disk is too small or becomes full.

    Examples
    --------
    >>> writer = EmbeddingWriter(folder, times=video.times, source={})    # doctest: +SKIP
    >>> with writer:                                                      # doctest: +SKIP
    ...     writer.write({"cls": tokens}, status)
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        times: np.ndarray,
        source: Mapping[str, Any],
        dtype: Literal["float16", "float32"] = "float16",
        overwrite: bool = False,
    ):
        self.path = Path(path)
        self.times = np.asarray(times, np.float64)
        self.dtype = np.dtype(dtype)
        self._source = {"source": dict(source), "n_frames": len(self.times), "dtype": dtype}
        self._folder = self.path.parent / f".{self.path.name}.partial"
        if self.path.exists() and not overwrite:
            raise OutputError(
                f"{self.path} exists already. "
                "Choose another output, or make it again with --overwrite (overwrite=True)."
            )
        self.rows = 0
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._files: dict[str, IO[bytes]] = {}
        self._marked = 0
        ensure_output_folder(self._folder)
        self._status = np.zeros(len(self.times), np.uint8)
        self._resume()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type | None, *_: object) -> None:
        if error is None:
            self.finish()
        else:
            self.close()

    def write(self, tokens: Mapping[str, np.ndarray], status: np.ndarray) -> None:
        """Append rows of the next frames.

        Parameters
        ----------
        tokens
            Kind -> ``(m, ...)`` for the ``m`` sound ones among them, the same kinds and shapes
            each time (not looked at if m = 0). Damaged frames become NaN.
        status
            ``(n,)``, 0 for a sound frame.
        """
        sound, n = np.asarray(status) == 0, len(status)
        if self.rows + n > len(self.times):
            raise DataError(f"{self.path}: {self.rows + n} rows for {len(self.times)} frames.")
        if sound.any():
            self._check(tokens, int(sound.sum()))
        with explain_os_errors(self.path):
            for kind, file in self._files.items():
                rows = np.full((n, *self._shapes[kind]), np.nan, self.dtype)
                if sound.any():
                    rows[sound] = tokens[kind]
                file.write(rows.data.cast("B"))
        self._status[self.rows : self.rows + n] = status
        self.rows += n
        if self._files and self.rows - self._marked >= _ROWS_PER_MARK:
            self._mark()

    def finish(self) -> None:
        """Write the index and give the folder its final name.

        Raises
        ------
        DataError
            If rows are missing.
        """
        if self.rows != len(self.times):
            self.close()
            raise DataError(f"{self.path}: {self.rows} of {len(self.times)} rows were written.")
        if not self._files:
            shutil.rmtree(self._folder)
            raise DataError(f"{self.path}: not one of {self.rows} frames could be decoded.")
        self._mark()
        self.close()
        index = pd.DataFrame(
            {"frame": np.arange(self.rows), "time": self.times, "status": self._status}
        )
        with atomic_write(self._folder / "index.parquet", "wb") as file:
            index.to_parquet(file, index=False)
        write_csv(self._folder / "index.csv", index)
        meta = self._source | {
            "kinds": {kind: list(shape) for kind, shape in self._shapes.items()},
            "n_damaged": int((self._status != 0).sum()),
        }
        write_json(self._folder / "meta.json", meta)
        (self._folder / "progress.json").unlink()
        with explain_os_errors(self.path):
            if self.path.exists():
                shutil.rmtree(self.path)
            self._folder.rename(self.path)
            fsync_folder(self.path.parent)

    def close(self) -> None:
        """Stop here; another writer with the same source goes on from the last mark."""
        for file in self._files.values():
            file.close()
        self._files = {}

    def _resume(self) -> None:
        marker = self._folder / "progress.json"
        if marker.is_file():
            mark = json.loads(marker.read_text(encoding="utf-8"))
            if mark["source"] == json.loads(json.dumps(self._source)):
                self.rows = self._marked = mark["rows"]
                self._shapes = {kind: tuple(shape) for kind, shape in mark["kinds"].items()}
                for row, status in mark["damaged"]:
                    self._status[row] = status
                for kind in self._shapes:
                    self._files[kind] = open(self._folder / f"{kind}.npy", "r+b")  # noqa: SIM115
                    self._files[kind].seek(len(self._header(kind)) + self.rows * self._bytes(kind))
                return
        shutil.rmtree(self._folder)
        ensure_output_folder(self._folder)

    def _check(self, tokens: Mapping[str, np.ndarray], n: int) -> None:
        shapes = {kind: tuple(np.shape(values)[1:]) for kind, values in tokens.items()}
        if not self._shapes:
            self._begin(shapes)
        if shapes != self._shapes or any(len(values) != n for values in tokens.values()):
            found = {kind: np.shape(values) for kind, values in tokens.items()}
            raise DataError(f"{self.path}: expected {n} rows of {self._shapes}, found {found}.")

    def _begin(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self._shapes = shapes
        need = sum(self._bytes(kind) for kind in shapes) * len(self.times)
        ensure_output_folder(self._folder, need)
        with explain_os_errors(self.path):
            for kind, shape in shapes.items():
                self._files[kind] = open(self._folder / f"{kind}.npy", "w+b")  # noqa: SIM115
                self._files[kind].write(self._header(kind))
                damaged = np.full(shape, np.nan, self.dtype).tobytes()
                for _ in range(self.rows):  # frames before the first sound one
                    self._files[kind].write(damaged)

    def _mark(self) -> None:
        """Put all rows on the disk, then say so."""
        with explain_os_errors(self.path):
            for file in self._files.values():
                file.flush()
                os.fsync(file.fileno())
        damaged = np.flatnonzero(self._status[: self.rows])
        write_json(
            self._folder / "progress.json",
            {
                "source": self._source,
                "rows": self.rows,
                "kinds": {kind: list(shape) for kind, shape in self._shapes.items()},
                "damaged": [[int(row), int(self._status[row])] for row in damaged],
            },
        )
        self._marked = self.rows

    def _bytes(self, kind: str) -> int:
        return int(np.prod(self._shapes[kind], dtype=np.int64)) * self.dtype.itemsize

    def _header(self, kind: str) -> bytes:
        return npy_header(self.dtype, (len(self.times), *self._shapes[kind]))


def embed_video(
    video: FrameSource, encode: Encode, writer: EmbeddingWriter, batch_size: int = 32
) -> None:
    """Encode a video from the writer's row on; a thread decodes ahead of ``encode``.

    Memory does not grow with the length of the video: at most three batches wait.

    Parameters
    ----------
    video
        Frames at the size that ``encode`` takes.
    encode
        ``(n, height, width, channels)`` uint8, n <= batch_size -> kind -> ``(n, ...)`` floats.
        Damaged frames are not shown to it.
    writer
        Open writer for this video; it is not finished here.
    batch_size
        Frames per call of ``encode``.
    """
    with Progress(len(video), f"embedding {video.name}", "frames", writer.rows) as progress:
        for batch in decode_ahead(video, writer.rows, batch_size):
            sound = batch.frames[batch.ok]
            sound = sound.reshape(-1, video.height, video.width, video.channels)
            writer.write(encode(sound) if len(sound) else {}, batch.status)
            progress.advance(len(batch))
