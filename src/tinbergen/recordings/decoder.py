"""Frames by position out of one open file, with as few seeks as possible."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import av
import av.error
import numpy as np

from tinbergen.recordings.video_index import VideoIndex, open_container, shown_at

_KEPT_OPEN = 4


class Decoder:
    """One open file and the place in it that decoding has reached.

    Frames are told apart by their presentation time, never by counting, so it does not matter
    where decoding started. One thread decodes (decoding is then the same everywhere, and other
    cores are free for other videos).
    """

    def __init__(self, path: Path, index: VideoIndex):
        self._path, self._index = path, index
        self._resources = ExitStack()
        self._key_positions = np.searchsorted(index.pts, index.keyframes)
        self._open()

    def close(self) -> None:
        """Close the file."""
        self._resources.close()

    def get(self, position: int) -> av.VideoFrame | None:
        """Return the frame at ``position``, or None if it never comes out of the decoder."""
        if not self._lies_ahead(position):
            self._seek(position)
        while self._held_at < position:
            self._held_at, self._held = next(self._stream)
        self._asked = position
        return self._held if self._held_at == position else None

    def _lies_ahead(self, position: int) -> bool:
        """Whether going on from here is right and no more work than starting at a keyframe."""
        if position < self._asked:
            return False
        if position <= self._held_at:  # what lies between asked and held never came out
            return True
        return self._start_for(position) <= self._held_at + 1

    def _start_for(self, position: int) -> int:
        """Position of the keyframe from which ``position`` is decoded."""
        before = np.searchsorted(self._key_positions, position, side="right") - 1
        return int(self._key_positions[before]) if before >= 0 else 0

    def _open(self) -> None:
        self._resources.close()
        self._container = self._resources.enter_context(open_container(self._path))
        self._video = self._container.streams.video[0]
        self._video.codec_context.thread_count = 1
        self._begin(self._container.demux(self._video))

    def _begin(self, packets: Iterator[av.Packet], first: av.Packet | None = None) -> None:
        self._stream = self._decode(packets, first)
        self._asked, self._held_at, self._held = -1, -1, None

    def _seek(self, position: int) -> None:
        """Start again exactly at the keyframe of ``position``, at an earlier one, or anew."""
        last = int(np.searchsorted(self._key_positions, position, side="right")) - 1
        for k in range(last, -1, -1):
            packets, first = self._packets_from(int(self._index.keyframes[k]))
            if first is not None:
                self._begin(packets, first)
                self._asked = self._held_at = int(self._key_positions[k]) - 1
                return
        self._open()

    def _packets_from(self, key: int) -> tuple[Iterator[av.Packet], av.Packet | None]:
        """Seek to the keyframe shown at ``key``; its packet is None if the seek went beyond it."""
        packets: Iterator[av.Packet] = iter(())
        try:
            self._container.seek(key, stream=self._video)
            packets = self._container.demux(self._video)
            for packet in packets:
                time = shown_at(packet)
                if time is None or not packet.is_keyframe or time < key:
                    continue
                return packets, packet if time == key else None
        except av.error.FFmpegError:
            pass
        return packets, None

    def _decode(
        self, packets: Iterator[av.Packet], first: av.Packet | None
    ) -> Iterator[tuple[int, av.VideoFrame | None]]:
        """Yield (position, frame) in ascending order; at the end (n, None) for ever."""
        pts = self._index.pts
        last_time, repeats, last_position = None, 0, -1
        for frame in self._frames(packets, first):
            time = shown_at(frame)
            if not self._index.reliable and last_position + 1 < len(pts):
                time = pts[last_position + 1]
            if time is None:
                continue
            repeats = repeats + 1 if time == last_time else 0
            last_time = time
            position = int(np.searchsorted(pts, time)) + repeats
            if position < len(pts) and pts[position] == time and position > last_position:
                last_position = position
                yield position, frame
        while True:
            yield len(pts), None

    def _frames(
        self, packets: Iterator[av.Packet], first: av.Packet | None
    ) -> Iterator[av.VideoFrame]:
        if first is not None:
            yield from _decoded(first)
        try:
            for packet in packets:
                yield from _decoded(packet)
        except av.error.FFmpegError:  # the container breaks off: drain what the decoder holds
            yield from self._video.codec_context.decode(None)


def _decoded(packet: av.Packet) -> list[av.VideoFrame]:
    try:
        return packet.decode()  # type: ignore[return-value]
    except av.error.FFmpegError:
        return []  # a damaged packet costs its own frame


class _Open(threading.local):
    """Decoders that this thread keeps open between questions; the least used is closed first."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.decoders: OrderedDict[int, tuple[VideoIndex, Decoder]] = OrderedDict()


_open = _Open()


def kept_decoder(path: Path, index: VideoIndex) -> Decoder:
    """Return this thread's open decoder for ``index``, opening one if need be."""
    if _open.process != os.getpid():  # a fork shares file positions with its parent: start anew
        _open.__init__()
    if id(index) not in _open.decoders:
        _open.decoders[id(index)] = (index, Decoder(path, index))
    _open.decoders.move_to_end(id(index))
    while len(_open.decoders) > _KEPT_OPEN:
        _open.decoders.popitem(last=False)[1][1].close()
    return _open.decoders[id(index)][1]
