"""Training: labelled frames in, a pose run folder out."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinbergen.configuration import resolve
from tinbergen.errors import ConfigError, DataError, MissingFileError
from tinbergen.files import write_json
from tinbergen.nn.backgrounds import save_backgrounds
from tinbergen.pose.animals import ANIMALS_TRAINING, animal_choices, check_animals
from tinbergen.pose.backgrounds import still_backgrounds
from tinbergen.pose.clips import read_clips
from tinbergen.pose.config import (
    BACKBONE_TRAINING,
    CONV_TRAINING,
    PoseConfig,
    UnlabelledConfig,
    default_size,
)
from tinbergen.pose.labels import (
    LabelledImages,
    Labels,
    Split,
    chosen_keypoints,
    hidden_labels,
    load_images,
    open_labels,
    split_rows,
    survey,
)
from tinbergen.pose.remarks import label_size, plan, remark
from tinbergen.recordings import Dataset
from tinbergen.training import RunFolder, fit

if TYPE_CHECKING:
    from tinbergen.nn.backbone import Backbone
    from tinbergen.pose.task import PoseTask
    from tinbergen.pose.unlabelled import Unlabelled
    from tinbergen.recordings import FrameSource, LabelledFrames

FRAMES_FILE = "frames.json"
"""Digest of the pixels of each labelled image of a run, by name."""


def train(
    labels: Labels | Sequence[Labels],
    out: str | os.PathLike,
    *,
    backbone: str | os.PathLike | None = None,
    videos: Any = None,
    keypoints: Sequence[str] | None = None,
    split: Split | str | os.PathLike | None = None,
    validation: float = 0.1,
    test: float = 0.0,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    skip_bad: bool = False,
) -> RunFolder:
    """Learn keypoints from labelled frames.

    Parameters
    ----------
    labels
        See :func:`tinbergen.pose.open_labels`: a DeepLabCut or Lightning Pose project as it is, a
        table, or labelled frames that were read before.
    out
        The run folder to make.
    backbone
        A pretrained vision transformer: a BEAST run folder, or a weights file (Hugging Face
        ViT-MAE, Meta's MAE, reference BEAST). Default: the small convolutional network, from
        scratch.
    videos
        Video without labels to learn from too, of the same cameras: anything that
        :meth:`tinbergen.recordings.Dataset.open` takes. See ``unlabelled`` of :class:`PoseConfig`.
    keypoints
        Names of those to learn; default: all.
    split
        Image names under ``train``, ``validation`` and ``test``, or a JSON file of them. Default:
        ``validation`` and ``test`` as shares; whole folders where there are five or more.
    overrides
        Nested settings of :class:`PoseConfig`, for example ``{"longest": 384}``.
    resume
        Go on with the run at ``out`` where it stopped, if there is one.
    skip_bad
        Leave out images that are not there or cannot be read instead of refusing.

    Returns
    -------
    RunFolder
        The finished run.

    Raises
    ------
    ConfigError, DataError, MissingFileError
        For settings or labels that cannot be used; before anything is written.
    OutputError
        If ``out`` holds something already, or cannot be written.
    PreemptedError
        After SIGTERM, SIGUSR1 or SIGINT; everything is saved.
    """
    found = chosen_keypoints(open_labels(labels), keypoints)
    sources = None if videos is None else [v for _, _, v in Dataset.open(videos).videos()]
    pretrained = _backbone(backbone)
    config = pose_config(found, pretrained, overrides, videos=videos is not None)
    images = load_images(found, config, skip_bad=skip_bad)
    parts = split_rows(
        images,
        validation=validation,
        test=test,
        seed=config.train.seed,
        split=_read_split(split),
    )
    unlabelled, left_out = _unlabelled(sources, config, images, parts)
    task = make_task(config, images, parts, pretrained, unlabelled)
    run = RunFolder.start(
        out,
        config,
        seed=config.train.seed,
        inputs=_inputs(images, pretrained, unlabelled),
        splits={name: [images.names[row] for row in rows] for name, rows in parts.items()},
        resume=resume,
    )
    if run.status["state"] == "created":
        write_json(run.path / FRAMES_FILE, images.digests())
        remark(run, images, parts)
        if left_out:
            run.note(left_out)
        if pretrained is not None and pretrained.backgrounds is not None:
            save_backgrounds(run.path, pretrained.backgrounds)
        print(plan(config, images, parts), file=sys.stderr)
    fit(task, config.train, run, resume=resume)
    return run


def pose_config(
    labels: LabelledFrames,
    backbone: Backbone | None,
    overrides: Mapping[str, Any] | None = None,
    *,
    videos: bool = False,
) -> PoseConfig:
    """Return the settings of a run on these labels; what is not given is chosen from them.

    Parameters
    ----------
    labels, backbone, overrides
        As :func:`train` takes them, read.
    videos
        Whether there is video without labels.

    Raises
    ------
    ConfigError
        For an unknown setting, an impossible value, or settings that do not go together; before
        any image is read.
    """
    names = {"keypoints": list(labels.keypoints), "individuals": list(labels.individuals)}
    layers: list[Mapping[str, Any]] = [names, CONV_TRAINING]
    if backbone is not None:
        shape = backbone.encoder.config
        layers += [
            BACKBONE_TRAINING,
            {
                "encoder": shape.model_dump(),
                "residual": backbone.residual,
                "image_size": shape.image_size,
                "channels": shape.channels,
            },
        ]
    config = resolve(PoseConfig, *layers, overrides or {})
    _check_names(config, labels)
    _check_hidden(config, labels)
    _check_video(config, videos)
    if config.animals.route != "identity":
        check_animals(config.animals, labels, backbone is not None)
    chosen: dict[str, Any] = {}
    (height, width), channels = survey(labels)
    if config.roi is not None:
        width, height = config.roi[2:]
    if config.animals.route != "identity":
        scale = None
        if config.image_size is not None:
            scale = min(config.image_size[0] / height, config.image_size[1] / width)
        elif "longest" in (overrides or {}):
            scale = config.longest / max(height, width)
        chosen_for = (config.animals.route, labels.positions, (height, width), labels.keypoints)
        layers += [ANIMALS_TRAINING, animal_choices(*chosen_for, scale)]
        config = resolve(PoseConfig, *layers, overrides or {})
    if config.hidden is None:
        chosen["hidden"] = config.animals.route == "identity" and bool(hidden_labels(labels).any())
    if config.channels is None:
        chosen["channels"] = channels
    if config.image_size is None:
        chosen["image_size"] = default_size(config, height, width)
    if config.encoder is not None:
        chosen["encoder"] = {"image_size": config.image_size}
    return resolve(PoseConfig, *layers, overrides or {}, chosen)


def _check_names(config: PoseConfig, labels: LabelledFrames) -> None:
    """Refuse names that are more or fewer than the labels have."""
    for what in ("keypoints", "individuals"):
        names, found = getattr(config, what), getattr(labels, what)
        if len(names) != len(found):
            raise ConfigError(
                f"{what}: {len(names)} names ({', '.join(names)}), but the labels have "
                f"{len(found)} ({', '.join(found)}). Leave {what} out: they are taken from the "
                "labels."
            )


def _check_hidden(config: PoseConfig, labels: LabelledFrames) -> None:
    """Refuse to learn what is hidden where no label says so, or no network could."""
    if not config.hidden:
        return
    if config.animals.route != "identity":
        raise ConfigError(f"hidden: animals.route={config.animals.route} does not learn it yet.")
    if not hidden_labels(labels).any():
        raise ConfigError(
            "hidden: no label is marked as hidden. COCO files say so with visibility 1, Lightning "
            "Pose's tables with a third coordinate, visible."
        )


def _check_video(config: PoseConfig, videos: bool) -> None:
    """Refuse video without labels, its settings and context frames where they are of no use."""
    if not videos and config.unlabelled != UnlabelledConfig():
        raise ConfigError(
            "unlabelled: these settings are for video without labels, and there is none: "
            "--videos PATH (videos=...)."
        )
    route = config.animals.route
    if route != "identity" and (videos or config.context):
        what = "videos without labels" if videos else "context frames"
        raise ConfigError(
            f"animals.route={route} does not learn from {what} yet: leave them out, or give each "
            "animal a name of its own and use animals.route=identity."
        )
    if videos and config.encoder is not None and config.head.frozen:
        raise ConfigError(
            "Unlabelled video is learned from with every weight of the network, and this backbone "
            "is frozen: leave the video out, or --set head.frozen=false."
        )


def make_task(
    config: PoseConfig,
    images: LabelledImages,
    parts: Mapping[str, np.ndarray],
    backbone: Backbone | None = None,
    unlabelled: Unlabelled | None = None,
) -> PoseTask:
    """Return what the training loop needs, for the conv net or for a head on a backbone."""
    from tinbergen.pose.task import PoseTask
    from tinbergen.pose.token_task import TokenTask

    rows = parts["train"], parts["validation"]
    if config.animals.route != "identity":
        from tinbergen.pose.animal_task import BottomUpTask
        from tinbergen.pose.top_down_task import TopDownTask

        return (TopDownTask if config.animals.route == "top_down" else BottomUpTask)(
            config, images, *rows
        )
    if backbone is None:
        return PoseTask(config, images, *rows, unlabelled=unlabelled)
    weights = backbone.weights_at(config.size)
    kind = TokenTask if config.head.frozen and config.head.views else PoseTask
    backgrounds = still_backgrounds(images, backbone.backgrounds)
    return kind(config, images, *rows, weights, backgrounds, unlabelled)


def _unlabelled(
    sources: Sequence[FrameSource] | None,
    config: PoseConfig,
    images: LabelledImages,
    parts: Mapping[str, np.ndarray],
) -> tuple[Unlabelled | None, str]:
    """Read clips of the videos, but for those of held-out recordings; say which these are."""
    if sources is None:
        return None, ""
    from tinbergen.pose.unlabelled import Unlabelled

    folders = {
        part: {Path(str(images.groups[row])).name for row in rows} for part, rows in parts.items()
    }
    held = (folders["test"] | folders["validation"]) - folders["train"]
    chosen = [video for video in sources if video.path.stem not in held]
    missed = ", ".join(video.path.name for video in sources if video not in chosen)
    if not chosen:
        raise DataError(
            f"videos: {missed} are of recordings whose labels are held out for validation or "
            "test, and nothing else is given. Add videos of other recordings, or split the labels "
            "otherwise (--split)."
        )
    left_out = missed and (
        f"Not learned from, because their labels are held out for validation or test: {missed}."
    )
    clips = read_clips(chosen, config, label_size(images))
    return Unlabelled(config, images, parts["train"], clips), left_out


def _backbone(source: str | os.PathLike | None) -> Backbone | None:
    if source is None:
        return None
    from tinbergen.nn.backbone import load_backbone

    return load_backbone(source)


def _read_split(split: Split | str | os.PathLike | None) -> Split | None:
    if split is None or isinstance(split, Mapping):
        return split
    path = Path(split)
    if not path.is_file():
        raise MissingFileError(f"Expected a split (JSON) at {path}, found none.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(part, list) for part in found.values()):
        raise DataError(f"{path}: expected lists of image names under train, validation and test.")
    return found


def _inputs(
    images: LabelledImages, backbone: Backbone | None, unlabelled: Unlabelled | None
) -> dict[str, str]:
    digest = hashlib.sha256(images.images.tobytes())
    digest.update(np.ascontiguousarray(images.positions).tobytes())
    inputs = {"labels": digest.hexdigest()}
    if backbone is not None:
        inputs["backbone"] = backbone.digest
    if unlabelled is not None:
        inputs["videos"] = unlabelled.clips.digest
    return inputs
