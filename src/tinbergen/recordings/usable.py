"""Looking at all inputs before any work starts: bad ones are refused at once, or left out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from tinbergen.errors import ConfigError, DataError, TinbergenError
from tinbergen.files import safe_name
from tinbergen.recordings.dataset import Dataset
from tinbergen.recordings.frames import FrameSource

Key = TypeVar("Key")
Item = TypeVar("Item")
Seen = TypeVar("Seen")


def usable(
    items: Mapping[Key, Item], look: Callable[[Item], Seen], what: str, skip_bad: bool
) -> tuple[dict[Key, Seen], dict[Key, str]]:
    """Look at every item; those that can be used, and what is wrong with the others.

    Parameters
    ----------
    items
        Name -> recording, video, ...
    look
        Raises if an item cannot be used; what it returns is kept.
    what
        What the items are, in the plural, for messages.
    skip_bad
        Leave out what cannot be used instead of refusing.

    Raises
    ------
    ConfigError
        Of ``look``: a setting is wrong, not an item.
    DataError
        If there are bad items and they are not to be skipped, or no item is left. The error of an
        item that stands alone is raised as it is.
    """
    good, bad = {}, {}
    for key, item in items.items():
        try:
            good[key] = look(item)
        except TinbergenError as error:
            if isinstance(error, ConfigError) or len(items) == 1:
                raise
            bad[key] = str(error)
    refuse(bad, len(items), what, skip_bad)
    return good, bad


def refuse(bad: Mapping[Key, str], total: int, what: str, skip_bad: bool) -> None:
    """Raise a DataError for bad items that are not to be skipped, or if no other is left."""
    if not total:
        raise DataError(f"The data hold no {what}. 'tinbergen check' says what they hold.")
    if bad and (not skip_bad or len(bad) == total):
        lines = "\n  ".join(bad.values())
        raise DataError(
            f"{len(bad)} of {total} {what} cannot be used:\n  {lines}\nRepair or remove them, or "
            "go on without them: --skip-bad (skip_bad=True). 'tinbergen check' looks at each."
        )


def say_left_out(bad: Mapping[Key, str]) -> None:
    """Say on stderr what is left out, and why."""
    for message in bad.values():
        print(f"left out: {message}", file=sys.stderr)


def named_videos(dataset: Dataset) -> dict[str, FrameSource]:
    """Name what is made of each video, as a path: recording, and camera where it has several.

    Raises
    ------
    DataError
        If two videos would have one name.
    """
    found: dict[str, FrameSource] = {}
    for recording, stream, video in dataset.videos():
        parts = [*recording.split("/"), *([stream] if len(dataset[recording].videos) > 1 else [])]
        name = Path(*(safe_name(part) for part in parts)).as_posix()
        if name in found:
            raise DataError(
                f"What is made of {found[name].path} and of {video.path} would both be called "
                f"{name!r}. Give one of the recordings another name."
            )
        found[name] = video
    return found
