"""Checkpoints without pickle: safetensors for tensors, JSON for the rest, each write atomic.

``step_0000000500.safetensors`` holds the tensors and ``step_0000000500.json`` the scalars and the
content hash of the former. The JSON file is written last: without it there is no checkpoint.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinbergen.errors import DataError, WeightsError
from tinbergen.files import content_hash, write_json
from tinbergen.nn.weights import read_tensors
from tinbergen.training.tensors import write_tensors

_KEPT = 2  # the last, and the one before in case the last is damaged


class Checkpoints:
    """The checkpoints of one run, in ``folder``."""

    def __init__(self, folder: Path):
        self.folder = folder

    def steps(self, kind: str = "step") -> list[int]:
        """Return the steps that have a checkpoint, oldest first."""
        pattern = re.compile(rf"{kind}_(\d+)\.json")
        found = (pattern.fullmatch(path.name) for path in self.folder.glob(f"{kind}_*.json"))
        return sorted(int(match[1]) for match in found if match)

    def save(self, step: int, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
        """Write the checkpoint of ``step`` and delete those that are no longer needed.

        Raises
        ------
        OutputError
            If it cannot be written; the checkpoints before are untouched.
        """
        self._write("step", step, tensors, scalars)
        self._prune()

    def save_best(self, step: int, weights: Mapping[str, Tensor], score: float) -> None:
        """Write the weights of the best validation so far."""
        self._write("best", step, weights, {"score": score})

    def load_last(self) -> tuple[dict[str, Tensor], dict[str, Any], list[str]] | None:
        """Return (tensors, scalars, complaints) of the newest undamaged checkpoint, if any.

        Raises
        ------
        DataError
            If there are checkpoints, but every one is damaged.
        """
        complaints: list[str] = []
        for step in reversed(self.steps()):
            try:
                return *self._read("step", step), complaints
            except DataError as error:
                complaints.append(str(error))
        if complaints:
            raise DataError(
                "No checkpoint can be used:\n"
                + "\n".join(complaints)
                + f"\nDelete {self.folder} and resume to start over."
            )
        return None

    def load_best(self, step: int) -> dict[str, Tensor]:
        """Return the weights of the best validation, which was after ``step`` steps."""
        return self._read("best", step)[0]

    def clean(self) -> None:
        """Delete what a kill in the middle of a save left behind."""
        for path in self.folder.glob(".*.tmp"):
            path.unlink()
        for path in self.folder.glob("*.safetensors"):
            if not path.with_suffix(".json").exists():
                path.unlink()

    def _paths(self, kind: str, step: int) -> tuple[Path, Path]:
        stem = self.folder / f"{kind}_{step:010d}"
        return stem.with_suffix(".safetensors"), stem.with_suffix(".json")

    def _write(
        self, kind: str, step: int, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]
    ) -> None:
        tensor_path, scalar_path = self._paths(kind, step)
        scalar_path.unlink(missing_ok=True)
        try:
            digest = write_tensors(tensor_path, tensors)
            write_json(scalar_path, {"step": step, "sha256": digest, **scalars})
        except BaseException:
            tensor_path.unlink(missing_ok=True)
            raise

    def _read(self, kind: str, step: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensor_path, scalar_path = self._paths(kind, step)
        try:
            scalars = json.loads(scalar_path.read_text(encoding="utf-8"))
            if content_hash(tensor_path) != scalars.pop("sha256"):
                raise ValueError("its content hash is not the one it was written with")
            return read_tensors(tensor_path), scalars
        except (ValueError, KeyError, OSError) as error:
            raise DataError(f"Checkpoint {tensor_path} is damaged: {error}.") from error

    def _prune(self) -> None:
        kept = self.steps()[-_KEPT:]
        best = {self._scalars(step).get("best_step") for step in kept}
        for kind, wanted in (("step", set(kept)), ("best", best)):
            for step in self.steps(kind):
                if step not in wanted:
                    tensor_path, scalar_path = self._paths(kind, step)
                    scalar_path.unlink(missing_ok=True)
                    tensor_path.unlink(missing_ok=True)

    def _scalars(self, step: int) -> dict[str, Any]:
        try:
            return json.loads(self._paths("step", step)[1].read_text(encoding="utf-8"))
        except ValueError:
            return {}


def flatten_optimizer(
    optimizer: torch.optim.Optimizer, model: nn.Module
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an optimizer's state as named tensors and as plain scalars.

    Tensors are named ``optimizer/<parameter>/<key>``; scalars hold the rest of each parameter's
    state and of each parameter group.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {"state": {}, "groups": []}
    for parameter, state in optimizer.state.items():
        name = names[id(parameter)]
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{name}/{key}"] = value
            else:
                scalars["state"].setdefault(name, {})[key] = value
    for group in optimizer.param_groups:
        plain = {k: v for k, v in group.items() if isinstance(v, bool | int | float | str | None)}
        scalars["groups"].append(plain)
    return tensors, scalars


def restore_optimizer(
    optimizer: torch.optim.Optimizer,
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    scalars: Mapping[str, Any],
) -> None:
    """Put back what :func:`flatten_optimizer` took out.

    Raises
    ------
    WeightsError
        If the optimizer has other parameter groups than the one that was saved.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    states: dict[str, dict[str, Any]] = {n: dict(s) for n, s in scalars["state"].items()}
    for path, tensor in tensors.items():
        if path.startswith("optimizer/"):
            name, _, key = path.removeprefix("optimizer/").rpartition("/")
            states.setdefault(name, {})[key] = tensor
    fresh = optimizer.state_dict()
    if len(fresh["param_groups"]) != len(scalars["groups"]):
        raise WeightsError(
            f"The checkpoint has {len(scalars['groups'])} parameter groups, the optimizer "
            f"{len(fresh['param_groups'])}. The model or its optimizer changed; start a new run."
        )
    ordered = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = {i: states[names[id(p)]] for i, p in enumerate(ordered) if names[id(p)] in states}
    groups = [
        {**new, **old, "params": new["params"]}
        for new, old in zip(fresh["param_groups"], scalars["groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    # Files hold rows one after the other. Fused kernels walk a parameter and its moments through
    # memory side by side, so these must lie as it does (channels_last weights of convolutions).
    for parameter in ordered:
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                like = torch.empty_like(parameter, dtype=value.dtype)
                optimizer.state[parameter][key] = like.copy_(value)
