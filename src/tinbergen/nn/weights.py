"""Loading weights into a model: what matched, what is missing, what was not expected."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tinbergen.errors import MissingFileError, WeightsError
from tinbergen.files import check_weights

_SHOWN = 8


@dataclass(frozen=True)
class LoadReport:
    """What a load did, by parameter name."""

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    """In the model, not in the file."""
    unexpected: tuple[str, ...]
    """In the file, not in the model."""
    wrong_shape: tuple[str, ...]
    """In both, with the two shapes."""

    @property
    def complete(self) -> bool:
        """Whether model and file hold just the same parameters."""
        return not (self.missing or self.unexpected or self.wrong_shape)

    def __str__(self) -> str:
        parts = [f"{len(self.matched)} matched"]
        for kind in ("missing", "unexpected", "wrong_shape"):
            names = getattr(self, kind)
            if names:
                shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
                parts.append(f"{len(names)} {kind.replace('_', ' of ')} ({shown})")
        return "; ".join(parts)


def read_tensors(path: str | os.PathLike) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` file or of a torch checkpoint, never running code.

    A torch file is opened with ``weights_only=True``; a state dict inside ``state_dict``,
    ``model`` or ``module`` is found.

    Raises
    ------
    MissingFileError
        If there is no such file.
    WeightsError
        If it is damaged, or would need pickle.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected a weights file at {path}, found none.")
    check_weights(path)
    if path.suffix == ".safetensors":
        import safetensors
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (safetensors.SafetensorError, OSError, ValueError) as error:
            raise WeightsError(f"{path} is not a whole safetensors file: {error}") from error
    try:
        # The arguments' namespace that Meta's training script saves is plain data.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"{path} cannot be read as plain tensors ({type(error).__name__}). Expected a "
            ".safetensors file, or a torch file that holds only tensors, numbers and text; "
            "save its state_dict with torch.save, or as safetensors, and try again."
        ) from error
    for key in ("state_dict", "model", "module"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: expected a mapping of names to tensors.")
    return {str(k): v for k, v in content.items() if isinstance(v, Tensor)}


def load_weights(
    module: nn.Module, tensors: Mapping[str, Tensor], *, source: str, partial: bool = False
) -> LoadReport:
    """Copy ``tensors`` into ``module`` by name and shape.

    Parameters
    ----------
    source
        Where they come from, for messages.
    partial
        Accept parameters that are missing, unexpected or of another shape; they are reported.

    Raises
    ------
    WeightsError
        If nothing matches; or, unless ``partial``, if not everything does. The model is unchanged.
    """
    own = module.state_dict()
    fits = {k: v for k, v in tensors.items() if k in own and own[k].shape == v.shape}
    report = LoadReport(
        matched=tuple(fits),
        missing=tuple(k for k in own if k not in tensors),
        unexpected=tuple(k for k in tensors if k not in own),
        wrong_shape=tuple(
            f"{k} {tuple(v.shape)} for {tuple(own[k].shape)}"
            for k, v in tensors.items()
            if k in own and own[k].shape != v.shape
        ),
    )
    if not fits:
        raise WeightsError(f"No parameter of {source} fits this model: {report}.")
    if not partial and not report.complete:
        raise WeightsError(
            f"{source} does not fit this model: {report}. Choose the model's size and patch to "
            "match the file, or allow a partial load."
        )
    module.load_state_dict(fits, strict=False)
    return report
