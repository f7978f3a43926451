"""Files that run a command when somebody unpickles them, or loads them as YAML's Python objects.

The command makes a file; what reads the payload says what came of it.
"""

from __future__ import annotations

import pickle
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from tinbergen.configuration import read_yaml
from tinbergen.errors import TinbergenError
from tinbergen.nn.weights import read_tensors
from tinbergen.recordings import (
    Dataset,
    Keypoints,
    read_array,
    read_deepfly3d,
    read_keypoints,
    read_mc2p,
    read_nwb,
    read_series,
    read_spikes,
    write_dlc_h5,
)

Payload = Callable[[Path, Path], tuple[str, str]]


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, sentinel: Path):
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.sentinel,)


def _said(read: Callable[[], Any]) -> tuple[str, str]:
    try:
        read()
    except TinbergenError as error:
        return "refused", str(error)
    except Exception:
        return "traceback", traceback.format_exc()
    return "read", ""


def _objects(sentinel: Path) -> np.ndarray:
    bombs = np.empty(3, object)
    bombs[:] = Bomb(sentinel)
    return bombs


def _npz(read: Callable[[Path], Any], *names: str) -> Payload:
    def run(folder: Path, sentinel: Path) -> tuple[str, str]:
        path = folder / "bomb.npz"
        np.savez(path, allow_pickle=True, **dict.fromkeys(names, _objects(sentinel)))  # type: ignore
        return _said(lambda: read(path))

    return run


def _npy(folder: Path, sentinel: Path) -> tuple[str, str]:
    np.save(folder / "bomb.npy", _objects(sentinel), allow_pickle=True)
    return _said(lambda: read_array(folder / "bomb.npy"))


def _pickle(name: str, read: Callable[[Path], Any], content: Callable[[Any], Any]) -> Payload:
    def run(folder: Path, sentinel: Path) -> tuple[str, str]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(content(Bomb(sentinel))))
        return _said(lambda: read(path))

    return run


def _torch(zipped: bool) -> Payload:
    def run(folder: Path, sentinel: Path) -> tuple[str, str]:
        path = folder / "bomb.pt"
        content = {"state_dict": {"a": torch.zeros(2), "b": Bomb(sentinel)}}
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        return _said(lambda: read_tensors(path))

    return run


def _dlc_h5(folder: Path, sentinel: Path) -> tuple[str, str]:
    path = folder / "bomb.h5"
    write_dlc_h5(path, Keypoints(np.arange(5) / 30, np.zeros((5, 1, 2, 2))))
    with h5py.File(path, "a") as file:
        (group,) = file.values()
        table = group["table"]
        table.attrs["values_block_0_kind"] = np.void(pickle.dumps(Bomb(sentinel), 0))
    return _said(lambda: read_keypoints(path, fps=30))


def _nwb(folder: Path, sentinel: Path) -> tuple[str, str]:
    path = folder / "bomb.nwb"
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        file.attrs["neurodata_type"] = "NWBFile"
        file["scratch/bomb"] = np.void(pickle.dumps(Bomb(sentinel)))
        file.attrs["tinbergen"] = np.void(pickle.dumps(Bomb(sentinel)))
    return _said(lambda: read_nwb(path))


def _yaml(text: str, read: Callable[[Path], Any]) -> Payload:
    def run(folder: Path, sentinel: Path) -> tuple[str, str]:
        path = folder / "dataset.yaml"
        path.write_text(text.format(sentinel=sentinel), encoding="utf-8")
        return _said(lambda: read(path))

    return run


_CALL = "!!python/object/apply:os.system [\"touch '{sentinel}'\"]"


def _zip_slip(folder: Path, sentinel: Path) -> tuple[str, str]:
    """Write an archive whose member wants to be written elsewhere."""
    with zipfile.ZipFile(folder / "slip.npz", "w") as file:
        file.writestr(f"../{sentinel.name}", b"")
        file.writestr(f"{sentinel}.npy", b"")
    return _said(lambda: read_series(folder / "slip.npz"))


PAYLOADS: dict[str, Payload] = {
    "signals of objects (.npz)": _npz(read_series, "times", "values"),
    "spikes of objects (.npz)": _npz(read_spikes, "times", "units"),
    "an array of objects (.npy)": _npy,
    "members that leave the folder (.npz)": _zip_slip,
    "DeepFly3D (.pkl)": _pickle(
        "pose_result__data.pkl", read_deepfly3d, lambda bomb: {"points3d": bomb}
    ),
    "DeepFly3D, at the top (.pkl)": _pickle(
        "pose_result__data.pkl", read_deepfly3d, lambda bomb: bomb
    ),
    "MC2P (.pkl)": _pickle(
        "trial/behData/images/df3d/post_processed_data.pkl",
        *(lambda p: read_mc2p(p.parents[3]), lambda bomb: {"angles": bomb}),
    ),
    "weights of torch, zipped": _torch(True),
    "weights of torch, old": _torch(False),
    "DeepLabCut's column names (.h5)": _dlc_h5,
    "NWB with pickles": _nwb,
    "settings (.yaml)": _yaml(f"train: {_CALL}\n", read_yaml),
    "dataset.yaml": _yaml(f"schema_version: 1\nrecordings: {_CALL}\n", Dataset.open),
}
