"""Frames by position out of one open file, with as few seeks as possible."""

from __future__ import annotations

import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import av
import av.error
import numpy as np
from av.video.frame import PictureType

from tinbergen.recordings.frames import FrameStatus
from tinbergen.recordings.video_index import VideoIndex, open_container, shown_at

_KEPT_OPEN = 4


class Decoder:
    """One open file and the place in it that decoding has reached.

    Frames are told apart by their presentation time, never by counting, so it does not matter
    where decoding started. The decoder is emptied before each keyframe that begins anew: thus
    damage before a keyframe has no effect after it, and a frame is the same however it was
    reached. Pictures are made from earlier ones: where one is damaged that others are made from,
    all that follow are not to be trusted until a keyframe begins anew, whatever the decoder says
    of them. One thread decodes (other cores are free for other videos).
    """

    def __init__(self, path: Path, index: VideoIndex):
        self._path, self._index = path, index
        self._resources = ExitStack()
        self._key_positions = np.searchsorted(index.pts, index.keyframes)
        self._open()

    def close(self) -> None:
        """Close the file."""
        self._resources.close()

    def get(self, position: int) -> tuple[av.VideoFrame | None, FrameStatus]:
        """Return the frame at ``position`` and its status; None if it never comes out."""
        key = self._key_of(position)
        if not self._lies_ahead(position):
            self._seek(key)
        frame, status = self._advance_to(position)
        is_bad = status != FrameStatus.OK
        if is_bad and self._began_at == key >= 0 and not self._index.closed[key]:
            self._seek(int(np.flatnonzero(np.append(True, self._index.closed[:key]))[-1]) - 1)
            frame, status = self._advance_to(position)
        return frame, status

    def _advance_to(self, position: int) -> tuple[av.VideoFrame | None, FrameStatus]:
        while self._held_at < position:
            self._held_at, self._held, self._held_status = next(self._stream)
        self._asked = position
        if self._held_at != position or self._held is None:
            return None, FrameStatus.MISSING
        return self._held, self._held_status

    def _lies_ahead(self, position: int) -> bool:
        """Whether going on from here is right and no more work than starting at a keyframe."""
        if position < self._asked:
            return False
        if position <= self._held_at:  # what lies between asked and held never came out
            return True
        key = self._key_of(position)
        return key < 0 or self._key_positions[key] <= self._held_at + 1

    def _key_of(self, position: int) -> int:
        """Return which keyframe ``position`` is decoded from; -1 = the top of the file."""
        return int(np.searchsorted(self._key_positions, position, side="right")) - 1

    def _open(self) -> None:
        self._resources.close()
        self._container = self._resources.enter_context(open_container(self._path))
        self._video = self._container.streams.video[0]
        self._video.codec_context.thread_count = 1
        self._is_new = True
        self._begin(self._container.demux(self._video), key=-1, position=0)

    def _begin(self, packets: Iterator[av.Packet], key: int, position: int) -> None:
        self._stream = self._decode(packets)
        self._began_at = key
        self._asked = self._held_at = position - 1
        self._held: av.VideoFrame | None = None
        self._held_status = FrameStatus.MISSING
        self._is_tainted = False

    def _seek(self, last: int) -> None:
        """Start again exactly at keyframe ``last``, at an earlier one, or at the top."""
        self._show_first_packet()
        for key in range(last, -1, -1):
            packets, first = self._packets_from(int(self._index.keyframes[key]))
            if first is not None:
                position = int(self._key_positions[key])
                self._begin(itertools.chain([first], packets), key, position)
                return
        self._open()

    def _show_first_packet(self) -> None:
        """Let a new decoder see the first packet before it seeks.

        Only there x264 says which version it is, and the pictures of old versions come out
        damaged from a decoder that has not been told.
        """
        if self._is_new:
            for packet in itertools.islice(self._container.demux(self._video), 1):
                self._decoded(packet)
            self._is_new = False

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
        self, packets: Iterator[av.Packet]
    ) -> Iterator[tuple[int, av.VideoFrame | None, FrameStatus]]:
        """Yield (position, frame, status), ascending; at the end (n, None, MISSING) for ever."""
        pts = self._index.pts
        last_time, repeats, last_position = None, 0, -1
        for frame in self._frames(packets):
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
                is_bad = frame.is_corrupt or self._is_tainted
                yield position, frame, FrameStatus.CORRUPT if is_bad else FrameStatus.OK
            if frame.is_corrupt and frame.pict_type != PictureType.B:
                self._is_tainted = True
        while True:
            yield len(pts), None, FrameStatus.MISSING

    def _frames(self, packets: Iterator[av.Packet]) -> Iterator[av.VideoFrame]:
        context = self._video.codec_context
        try:
            for number, packet in enumerate(packets):
                self._is_new = False
                if number and packet.is_keyframe and self._is_closed(packet):
                    yield from self._decoded(None)
                    context.flush_buffers()
                    self._is_tainted = False
                yield from self._decoded(packet if packet.size else None)
        except av.error.FFmpegError:  # the container breaks off: empty the decoder
            yield from self._decoded(None)

    def _decoded(self, packet: av.Packet | None) -> list[av.VideoFrame]:
        try:
            return self._video.codec_context.decode(packet)
        except av.error.FFmpegError:  # a damaged packet costs its own frame, and what needs it
            self._is_tainted |= packet is not None and not packet.is_disposable
            return []

    def _is_closed(self, packet: av.Packet) -> bool:
        key = int(np.searchsorted(self._index.keyframes, shown_at(packet) or 0))
        return key < len(self._index.closed) and bool(self._index.closed[key])


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
