"""Arguments and options of several commands, worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    list[Path], typer.Argument(help="A dataset.yaml, or a folder that holds one.", metavar="DATA")
]
Videos = Annotated[
    list[Path], typer.Argument(help="Videos, folders of videos, or a dataset.yaml.")
]
Run = Annotated[Path, typer.Argument(help="A finished run folder.", metavar="RUN")]
RunOut = Annotated[Path, typer.Option("--out", "-o", help="Run folder to make.")]
FolderOut = Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")]
TableOut = Annotated[Path, typer.Option("--out", "-o", help="Table to write (.csv, .h5).")]
ScoresOut = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder to write; default: into the run.")
]
Part = Annotated[
    str | None, typer.Option(help="test, validation, train or all; default: what was held out.")
]
Preset = Annotated[str, typer.Option(help="tinbergen, neds, mtm or ndt2.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting, as key=value; see config.yaml of a run."),
]
Steps = Annotated[int | None, typer.Option(help="Optimizer steps.", min=1)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where it stopped.")]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out what cannot be used, with a warning.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Report = Annotated[bool, typer.Option(help="Write report.html at the end.")]
Recordings = Annotated[
    str | None, typer.Option(help="Names of recordings to use, with commas between.")
]
Only = Annotated[str | None, typer.Option(help="Subjects to use, with commas between.")]
HoldOut = Annotated[
    str | None, typer.Option("--hold-out", help="Subjects to leave out, with commas between.")
]
BatchSize = Annotated[int, typer.Option(help="Frames at once.", min=1)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Precision = Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")]
TableVideo = Annotated[
    Path | None, typer.Option("--video", help="The video, for its frame times.")
]
Fps = Annotated[
    float | None, typer.Option(help="Frames per second, where no video is given.", min=1e-6)
]
LabelFps = Annotated[
    float | None,
    typer.Option("--fps", help="Frames per second, where files count frames.", min=1e-6),
]
