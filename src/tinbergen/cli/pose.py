"""``tinbergen pose``: keypoints from labelled frames; trained, predicted, scored, tracked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinbergen.cli.common import AGAIN, names_of, refuse_existing, say, settings_of
from tinbergen.cli.options import (
    BatchSize,
    Device,
    FolderOut,
    Fps,
    Overwrite,
    Part,
    Precision,
    Report,
    Resume,
    Run,
    RunOut,
    ScoresOut,
    Settings,
    SkipBad,
    Steps,
    TableVideo,
    Videos,
)
from tinbergen.cli.pose_animals import cut, identify, track
from tinbergen.cli.pose_common import clock_of

pose = typer.Typer(
    help="Keypoints of animals from a hundred labelled frames.",
    no_args_is_help=True,
)

LabelPaths = Annotated[
    list[Path],
    typer.Argument(
        help="A DeepLabCut or Lightning Pose project, or tables of labels.", metavar="LABELS"
    ),
]


@pose.command()
def train(
    labels: LabelPaths,
    out: RunOut,
    backbone: Annotated[
        Path | None,
        typer.Option(
            help="A BEAST run folder, or a weights file of a vision transformer; default: the "
            "small convolutional network, from scratch."
        ),
    ] = None,
    videos: Annotated[
        list[Path] | None,
        typer.Option(
            help="Video without labels to learn from too: a file, a folder, a dataset.yaml. "
            "Several: again."
        ),
    ] = None,
    keypoints: Annotated[
        str | None, typer.Option(help="Names of those to learn, with commas between.")
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option(help="JSON with lists of image names under train, validation and test."),
    ] = None,
    validation: Annotated[
        float, typer.Option(help="Share of the frames that choose the best weights.", min=0, max=1)
    ] = 0.1,
    test: Annotated[
        float, typer.Option(help="Share of the frames that are only scored.", min=0, max=1)
    ] = 0.1,
    steps: Steps = None,
    resume: Resume = False,
    settings: Settings = None,
    skip_bad: SkipBad = False,
    report: Report = True,
) -> None:
    """Learn keypoints from labelled frames.

    Exits with 0 when done, 3 when done but images were left out, 75 when a signal stopped it and
    everything is saved (run it again with --resume).
    """
    from tinbergen.pose import evaluate as run_evaluation
    from tinbergen.pose import train as run_training
    from tinbergen.training.signals import preemptible

    with preemptible(AGAIN):
        run = run_training(
            labels,
            out,
            backbone=backbone,
            videos=videos,
            keypoints=names_of(keypoints),
            split=split,
            validation=validation,
            test=test,
            overrides=settings_of(settings, steps),
            resume=resume,
            skip_bad=skip_bad,
        )
        print(run.path)
        held_out = any((run.splits or {}).get(part) for part in ("test", "validation"))
        if report and held_out:
            from tinbergen.report import write_report

            say(run_evaluation(run, labels, skip_bad=skip_bad).scores)
            print(write_report(run.path))
    if run.status.get("losses"):
        raise typer.Exit(3)


@pose.command()
def predict(
    run: Run,
    paths: Videos,
    out: FolderOut,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also write each video with its keypoints drawn.")
    ] = False,
    batch_size: BatchSize = 16,
    any_size: Annotated[
        bool, typer.Option("--any-size", help="Also videos of another aspect than the labels.")
    ] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    skip_bad: SkipBad = False,
    overwrite: Overwrite = False,
) -> None:
    """Predict keypoints on every frame of every video: a DeepLabCut table each.

    Killed, it goes on with the next video when called again. Exits with 3 when it is done but
    videos were left out or frames could not be decoded (their rows are empty).
    """
    import numpy as np

    from tinbergen.pose import predict as run_prediction
    from tinbergen.pose import write_overlay
    from tinbergen.recordings import Dataset
    from tinbergen.recordings.usable import named_videos
    from tinbergen.training.signals import preemptible

    dataset = Dataset.open(paths)
    with preemptible("What is written stays; run the same command again to go on."):
        results = run_prediction(
            run,
            dataset,
            out,
            batch_size=batch_size,
            any_size=any_size,
            device=device,
            precision=precision,
            skip_bad=skip_bad,
            overwrite=overwrite,
        )
        videos = named_videos(dataset)
        lost = len(videos) - len(results)
        for name, found in results.items():
            bad = int((~np.isfinite(found.confidence).any(axis=(1, 2))).sum())
            lost += bad
            note = f", {bad} could not be decoded" if bad else ""
            print(f"{name}: {len(found)} frames{note}, {out / name}.csv")
            drawn = out / f"{name}.overlay.mp4"
            if overlay and (overwrite or not drawn.is_file()):
                write_overlay(drawn, videos[name], found)
    if lost:
        raise typer.Exit(3)


@pose.command()
def evaluate(
    run: Run,
    labels: LabelPaths,
    part: Part = None,
    out: ScoresOut = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Other finished runs, to compare on the same labels. Several: again."),
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """Score a run on labelled frames: those it held out, or those of other animals."""
    from tinbergen.pose import ensemble_disagreement
    from tinbergen.pose import evaluate as run_evaluation

    options = {"part": part, "device": device, "precision": precision, "skip_bad": skip_bad}
    found = run_evaluation(run, labels, out=out, **options)  # type: ignore[arg-type]
    say(found.scores)
    others = {
        str(other): run_evaluation(other, labels, out=False, **options)  # type: ignore[arg-type]
        for other in against or []
    }
    for other, theirs in others.items():
        test = found.compared_with(theirs)
        print(
            f"against {other}: {test.mean:+.2f} px ({test.interval.low:+.2f} to "
            f"{test.interval.high:+.2f}), p = {test.p:.3g}, {test.n} labels in {test.n_groups} "
            "groups; negative: this run is better"
        )
    if others:
        hard = ensemble_disagreement([found, *others.values()])
        for name, each in {str(run): found, **others}.items():
            curve = each.by_difficulty(hard)
            steps = zip(curve.threshold, curve.error, curve.n, strict=True)
            text = ", ".join(f"{e:.2f} from {t:g} on ({n})" for t, e, n in steps if n)
            print(f"px where the runs disagree by so many px, {name}: {text}")


@pose.command()
def smooth(
    tables: Annotated[
        list[Path],
        typer.Argument(help="Tables of predictions on one video, one a run.", metavar="TABLES"),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Table to write (.csv).")],
    fps: Fps = None,
    video: TableVideo = None,
    views: Annotated[
        str | None,
        typer.Option(
            help="Endings that tell the views of a part apart, as _top,_bot; default: one view."
        ),
    ] = None,
    smoothing: Annotated[
        float | None,
        typer.Option(help="Variance of the walk per frame, px^2; default: fitted.", min=0),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Join the predictions of several runs: ensemble Kalman smoother.

    Beside x, y and likelihood the table has the median and variance of the ensemble, and the
    posterior variance.
    """
    from tinbergen.pose import smooth as run_smoothing
    from tinbergen.pose.smoothing_table import write_smoothed
    from tinbergen.pose.views import views_by_ending
    from tinbergen.recordings import read_dlc_csv

    times = clock_of(video, fps)
    refuse_existing(out, overwrite)
    members = [read_dlc_csv(table, times, fps=fps) for table in tables]
    named = views_by_ending(members[0].keypoints, views.split(",")) if views else None
    result = run_smoothing(members, views=named, smoothing=smoothing)
    write_smoothed(out, result)
    print(out)


pose.command("track")(track)
pose.command("cut")(cut)
pose.command("identify")(identify)


@pose.command()
def suggest(
    video: Annotated[Path, typer.Argument(help="A video.")],
    runs: Annotated[
        list[Path],
        typer.Option("--run", help="A finished pose run. Several, which say more: again."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Project folder that the frames are added to.")
    ],
    number: Annotated[int, typer.Option("--number", "-n", help="Frames.", min=1)] = 20,
    gap: Annotated[float, typer.Option(help="Least time between two of them, s.", min=0)] = 0.2,
    context: Annotated[
        int, typer.Option(help="Also write so many frames before and after each.", min=0)
    ] = 0,
    scorer: Annotated[
        str,
        typer.Option(help="Name in the table; DeepLabCut takes that of its config.yaml."),
    ] = "tinbergen",
    device: Device = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Choose frames to label next, and write them with what is predicted on them, to correct.

    Frames that the project has images of are not chosen again.
    """
    from tinbergen.errors import DataError
    from tinbergen.files import safe_name
    from tinbergen.pose import Predictor, export_frames, suggest_frames
    from tinbergen.pose.suggesting import frames_with_images
    from tinbergen.recordings import Video

    source = Video(video)
    table = out / "labeled-data" / safe_name(source.name) / f"CollectedData_{scorer}.csv"
    refuse_existing(table, overwrite)
    members = [Predictor(run, device=device, precision=precision).video(source) for run in runs]
    taken = frames_with_images(source, out)
    found = suggest_frames(members, number, gap=gap, taken=taken)
    if not len(found.frames):
        raise DataError(f"{video}: no frame is {gap:g} s away from those that {out} has already.")
    export_frames(source, found.frames, out, members[0], scorer=scorer, context=context)
    for frame, difficulty in zip(found.frames, found.difficulty, strict=True):
        doubt = (
            f"{difficulty:.3g} px of disagreement"
            if len(members) > 1
            else f"mean confidence {1 - difficulty:.2f}"
        )
        print(f"frame {frame}: {doubt}")
    if len(found.frames) < number:
        print(
            f"{len(found.frames)} of the {number} asked for: no others are {gap:g} s away from "
            "these and from those with images already; a smaller --gap finds more"
        )
    print(f"{table}: holds predictions; correct them before you train on this project")


@pose.command()
def convert(
    source: Annotated[
        Path,
        typer.Argument(help="A table (.csv, .h5), a SLEAP project (.slp) or COCO (.json)."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="File to write: .csv or .h5 (DeepLabCut), .slp or .analysis.h5 (SLEAP), .json "
            "(COCO), .nwb.",
        ),
    ],
    video: Annotated[
        Path | None,
        typer.Option(help="The video that was tracked; .slp names it, .nwb has its frame times."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Convert the labels of a SLEAP project; folder for their frames."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Convert keypoints between DeepLabCut, Lightning Pose, SLEAP, COCO and NWB.

    Rows that name images are labels, rows of numbers are frames of a video.
    """
    from tinbergen.pose import convert as run_conversion
    from tinbergen.recordings import LabelledFrames

    found = run_conversion(source, out, video=video, images=images, overwrite=overwrite)
    what = "labelled" if isinstance(found, LabelledFrames) else "tracked"
    print(
        f"{out}: {len(found)} {what} frames, {len(found.keypoints)} keypoints of "
        f"{len(found.individuals)} individuals"
    )
