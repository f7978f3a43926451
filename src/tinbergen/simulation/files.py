"""Long videos out of short ones, for example to see that memory stays flat."""

from __future__ import annotations

import os
from pathlib import Path

import av
from av.error import FFmpegError

from tinbergen.errors import ConfigError, MissingFileError, OutputError, VideoError
from tinbergen.files import explain_os_errors


def loop_video(source: str | os.PathLike, path: str | os.PathLike, repeats: int) -> None:
    """Write ``source`` ``repeats`` times in a row to ``path`` without encoding anything again.

    Parameters
    ----------
    source
        A video of constant frame rate whose first frame is a keyframe.
    path
        File to write.
    repeats
        How often the video runs.
    """
    if repeats < 1:
        raise ConfigError(f"Expected repeats >= 1, found {repeats}.")
    if not Path(source).is_file():
        raise MissingFileError(f"Expected a video at {source}, found none.")
    if Path(path).exists():
        raise OutputError(f"{path} is already there; choose another name.")
    try:
        with av.open(str(source)) as reader:
            template = reader.streams.video[0]
            with explain_os_errors(path), av.open(str(path), "w") as container:
                stream = container.add_stream_from_template(template)
                offset = 0
                for _ in range(repeats):
                    offset += _copy_packets(reader, container, stream, offset)
                    reader.seek(0, stream=template)
    except (FFmpegError, IndexError) as error:
        Path(path).unlink(missing_ok=True)
        raise VideoError(
            f"Expected a video in {source}, found none that opens: {error}"
        ) from error


def _copy_packets(reader, container, stream, offset: int) -> int:
    """Copy all packets ``offset`` ticks later; return the length of the video in ticks."""
    length = 0
    for packet in reader.demux(video=0):
        if packet.pts is None or packet.dts is None:  # the empty packet at the end
            continue
        length = max(length, packet.pts + (packet.duration or 0))
        packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
        packet.stream = stream
        container.mux(packet)
    return length
