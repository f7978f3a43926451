"""``tinbergen pose track | cut | identify``: several animals that look alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinbergen.cli.common import refuse_existing, say
from tinbergen.cli.options import Fps, Overwrite, TableOut, TableVideo
from tinbergen.cli.pose_common import clock_of, read_frames, table_writer


def track(
    table: Annotated[
        Path, typer.Argument(help="Table of predictions on a video: .csv, .h5 or .slp.")
    ],
    out: TableOut,
    video: TableVideo = None,
    fps: Fps = None,
    animals: Annotated[
        int | None, typer.Option(help="How many there are; default: as in the table.", min=1)
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Proofread tracks of the video, to be scored against.")
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also write the video with its tracks drawn.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Link look-alike animals from frame to frame: a track for each.

    A Kalman filter and the similarity of poses link what is beyond doubt; what joins it over
    encounters and gaps is decided on the whole video.
    """
    from tinbergen.errors import ConfigError
    from tinbergen.pose import evaluate_tracks, write_overlay
    from tinbergen.pose import track as run_tracking
    from tinbergen.recordings import read_keypoints

    source = clock_of(video, fps)
    if overlay and source is None:
        raise ConfigError("--overlay draws on the video: give --video, not --fps.")
    write = table_writer(out, overwrite)
    drawn = out.with_suffix(".overlay.mp4")
    if overlay:
        refuse_existing(drawn, overwrite)
    proofread = None if truth is None else read_keypoints(truth, source, fps=fps)
    found = read_frames(table, source, fps)
    tracks = run_tracking(found, animals=animals)
    write(out, tracks)
    print(out)
    if proofread is not None:
        say(evaluate_tracks(tracks, proofread, found))
    if overlay and source is not None:
        write_overlay(drawn, source, tracks)


def cut(
    table: Annotated[Path, typer.Argument(help="Tracks of the video: .csv, .h5 or .slp.")],
    video: Annotated[Path, typer.Option(help="The video.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for a video of each animal.")],
    overwrite: Overwrite = False,
) -> None:
    """Cut a small video of each animal out along its track: what BEAST learns its looks from."""
    from tinbergen.pose import write_animal_videos
    from tinbergen.recordings import Video

    source = Video(video)
    tracks = read_frames(table, source)
    for path in write_animal_videos(source, tracks, out, overwrite=overwrite):
        print(path)


def identify(
    table: Annotated[Path, typer.Argument(help="Tracks of the video: .csv, .h5 or .slp.")],
    video: Annotated[Path, typer.Option(help="The video, for its frame times.")],
    embeddings: Annotated[
        Path, typer.Option(help="Embeddings ('tinbergen embed') of what 'pose cut' has written.")
    ],
    out: TableOut,
    truth: Annotated[
        Path | None, typer.Option(help="Proofread tracks of the video, to be scored against.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Put right by their looks which track is which animal after encounters."""
    from tinbergen.beast import open_embeddings
    from tinbergen.pose import evaluate_tracks, looks_of
    from tinbergen.pose import identify as run_identification
    from tinbergen.recordings import Video, read_keypoints

    write = table_writer(out, overwrite)
    source = Video(video)
    tracks = read_frames(table, source)
    proofread = None if truth is None else read_keypoints(truth, source)
    series = {name: found.series() for name, found in open_embeddings(embeddings).items()}
    found = run_identification(tracks, looks_of(tracks, series))
    write(out, found)
    print(out)
    if proofread is not None:
        say(evaluate_tracks(found, proofread, tracks))
