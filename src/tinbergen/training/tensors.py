"""Named tensors as safetensors files: written in one pass, atomically, with a content hash.

:func:`tinbergen.nn.weights.read_tensors` reads them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping

import torch
from torch import Tensor

from tinbergen.files import atomic_write

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_tensors(
    path: str | os.PathLike,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
) -> str:
    """Write a safetensors file and return the SHA-256 of its bytes.

    The library's own writer needs a second copy of everything in memory, refuses tied weights
    and reports a full disk as an error without a number; the format is a JSON header and bytes.

    Raises
    ------
    OutputError
        If the disk is full or read-only; what stood at ``path`` before is untouched.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [position, position + size],
        }
        position += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with atomic_write(path, "wb") as file:
        for chunk in (len(text).to_bytes(8, "little"), text):
            digest.update(chunk)
            file.write(chunk)
        for tensor in tensors.values():
            data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
            digest.update(data)
            file.write(data)
    return digest.hexdigest()
