"""What a step can be: the commands it runs, what it may use, and what others can take from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tinbergen.files import safe_name, safe_names


@dataclass(frozen=True)
class Command:
    """A command of a step.

    Attributes
    ----------
    verb
        As ``("pose", "train")``.
    part
        Key of the step with its options: settings, evaluate or predict.
    out
        Name of what it writes, in the folder of the step.
    fixed
        Arguments that the study sets; ``{data}``, ``{out}``, ``{first}`` (what the first command
        of the step wrote) and ``{used}`` (the run of another step) are filled in. Those with
        ``{used}`` are left out where no run is used.
    again
        What to do after a stop: ``resume`` adds ``--resume``, ``same`` calls it as it was, which
        goes on by itself, ``anew`` throws away what it left.
    """

    verb: tuple[str, ...]
    part: Literal["settings", "evaluate", "predict"]
    out: str
    fixed: tuple[tuple[str, ...], ...]
    again: Literal["resume", "same", "anew"]


Videos = Mapping[str, Sequence[str]]
"""Recording -> its streams of frames."""
Provided = Callable[[str, Mapping[str, Any], Videos], Iterator[tuple[str, str, dict[str, Any]]]]
"""Name and settings of a step, videos -> (recording, stream, entry of ``dataset.yaml`` with a path
in the step's folder)."""


@dataclass(frozen=True)
class Kind:
    """A kind of step.

    Attributes
    ----------
    commands
        Run one after the other.
    uses
        Kind of a step that it may use -> as what: its ``run``, its ``streams`` (which join the
        data), or only its ``order`` (it has to end well before).
    needs_run
        Whether it must use a run.
    frames_only
        Whether it reads nothing but frames.
    provides
        Streams that other steps can take; None: none.
    headline
        Where ``summary.json`` lies, in the folder of the step; None: it has no scores.
    """

    commands: tuple[Command, ...]
    uses: Mapping[str, Literal["run", "streams", "order"]]
    needs_run: bool = False
    frames_only: bool = False
    provides: Provided | None = None
    headline: str | None = None

    @property
    def parts(self) -> set[str]:
        """Keys of a step that hold options."""
        return {command.part for command in self.commands}


def _by_video(step: str, videos: Videos) -> Iterator[tuple[str, str, str, str]]:
    """Yield recording, stream, video and file name: of the step's name, if there is one video."""
    for recording, names in videos.items():
        parts = [safe_name(part) for part in recording.split("/")]
        for name in names:
            several = len(names) > 1
            own = [*parts, safe_name(name)] if several else parts
            yield recording, f"{step}_{name}" if several else step, name, "/".join(own)


def _embeddings(
    step: str, settings: Mapping[str, Any], videos: Videos
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    tokens = settings.get("tokens", "cls")
    first = (tokens.split(",") if isinstance(tokens, str) else list(tokens))[0].strip()
    for recording, stream, _, file in _by_video(step, videos):
        yield recording, stream, {"kind": "embedding", "file": f"run/{file}", "tokens": first}


def _keypoints(
    step: str, settings: Mapping[str, Any], videos: Videos
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for recording, stream, video, file in _by_video(step, videos):
        entry = {"kind": "keypoints", "file": f"predicted/{file}.csv", "times": video}
        yield recording, stream, entry


def _bouts(
    step: str, settings: Mapping[str, Any], videos: Videos
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for recording, name in safe_names(videos).items():
        yield recording, step, {"kind": "labels", "file": f"predicted/{name}.bouts.csv"}


_DATA, _OUT = ("{data}",), ("--out", "{out}")
_STREAMS: dict[str, Literal["run", "streams", "order"]] = {
    "embed": "streams",
    "pose": "streams",
    "actions": "streams",
    "check": "order",
}
KINDS: dict[str, Kind] = {
    "check": Kind(
        (Command(("check",), "settings", "rows.json", (_DATA, ("--json", "{out}")), "anew"),), {}
    ),
    "pretrain": Kind(
        (
            Command(
                *(("pretrain",), "settings", "run"),
                (_DATA, _OUT, ("--from", "{used}")),
                "resume",
            ),
        ),
        {"pretrain": "run", "check": "order"},
        frames_only=True,
        headline="run",
    ),
    "embed": Kind(
        (Command(("embed",), "settings", "run", (("{used}",), _DATA, _OUT), "same"),),
        {"pretrain": "run", "check": "order"},
        needs_run=True,
        frames_only=True,
        provides=_embeddings,
    ),
    "pose": Kind(
        (
            Command(
                ("pose", "train"), "settings", "run", (_OUT, ("--backbone", "{used}")), "resume"
            ),
            Command(
                *(("pose", "predict"), "predict", "predicted"),
                (("{first}",), _DATA, _OUT),
                "same",
            ),
        ),
        {"pretrain": "run", "check": "order"},
        frames_only=True,
        provides=_keypoints,
        headline="run",
    ),
    "actions": Kind(
        (
            Command(("actions", "train"), "settings", "run", (_DATA, _OUT), "resume"),
            Command(
                *(("actions", "predict"), "predict", "predicted"),
                (("{first}",), _DATA, _OUT),
                "anew",
            ),
        ),
        _STREAMS,
        provides=_bouts,
        headline="run",
    ),
    "encode": Kind(
        (Command(("encode",), "settings", "run", (_DATA, _OUT), "anew"),),
        _STREAMS,
        headline="run",
    ),
    "decode": Kind(
        (Command(("decode",), "settings", "run", (_DATA, _OUT), "anew"),),
        _STREAMS,
        headline="run",
    ),
    **{
        name: Kind(
            (
                Command((name, first), "settings", "run", (_DATA, _OUT), "resume"),
                Command(
                    *((name, "evaluate"), "evaluate", "evaluation"),
                    (("{first}",), _DATA, _OUT),
                    "anew",
                ),
            ),
            _STREAMS,
            headline="evaluation",
        )
        for name, first in (("population", "pretrain"), ("crossanimal", "train"))
    },
}
