"""Masked-autoencoder weights of other projects, translated by name to ours and back.

Three layouts are read: Hugging Face ViT-MAE (the files on the hub, and the names that
transformers 5 uses in memory), Meta's MAE, and checkpoints of the reference BEAST (Hugging Face
names behind ``vit_mae.``). What is written is the reference BEAST layout, ``vit_mae.vit.*``, which
Lightning Pose loads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from tinbergen.errors import WeightsError

# (pattern of a foreign name, our name); applied in order, first match wins.
_HUGGING_FACE = [
    (r"vit\.embeddings\.cls_token", "encoder.cls_token"),
    (r"vit\.embeddings\.position_embeddings", "encoder.positions"),
    (r"vit\.embeddings\.patch_embeddings\.projection\.(\w+)", r"encoder.embed.\1"),
    (r"vit\.layernorm\.(\w+)", r"encoder.norm.\1"),
    (r"vit\.(?:encoder\.layer|layers)\.(\d+)\.(.+)", r"encoder.blocks.\1.\2"),
    (r"decoder\.mask_token", "decoder.mask_token"),
    (r"decoder\.decoder_pos_embed", "decoder.positions"),
    (r"decoder\.decoder_embed\.(\w+)", r"decoder.embed.\1"),
    (r"decoder\.decoder_norm\.(\w+)", r"decoder.norm.\1"),
    (r"decoder\.decoder_pred\.(\w+)", r"decoder.predict.\1"),
    # transformers 5 saves the decoder's blocks under the second name.
    (r"decoder\.decoder_(?:layers|encoder\.layer)\.(\d+)\.(.+)", r"decoder.blocks.\1.\2"),
    (r"proj\.(\d+)\.(\w+)", r"head.layers.\1.\2"),
]
_META = [
    (r"cls_token", "encoder.cls_token"),
    (r"pos_embed", "encoder.positions"),
    (r"patch_embed\.proj\.(\w+)", r"encoder.embed.\1"),
    (r"norm\.(\w+)", r"encoder.norm.\1"),
    (r"blocks\.(\d+)\.(.+)", r"encoder.blocks.\1.\2"),
    (r"mask_token", "decoder.mask_token"),
    (r"decoder_pos_embed", "decoder.positions"),
    (r"decoder_embed\.(\w+)", r"decoder.embed.\1"),
    (r"decoder_norm\.(\w+)", r"decoder.norm.\1"),
    (r"decoder_pred\.(\w+)", r"decoder.predict.\1"),
    (r"decoder_blocks\.(\d+)\.(.+)", r"decoder.blocks.\1.\2"),
]
_BLOCK = [
    (r"(?:layernorm_before|norm1)\.(\w+)", r"norm1.\1"),
    (r"(?:layernorm_after|norm2)\.(\w+)", r"norm2.\1"),
    (r"attention\.(?:attention\.query|q_proj)\.(\w+)", r"attention.qkv.0.\1"),
    (r"attention\.(?:attention\.key|k_proj)\.(\w+)", r"attention.qkv.1.\1"),
    (r"attention\.(?:attention\.value|v_proj)\.(\w+)", r"attention.qkv.2.\1"),
    (r"attn\.qkv\.(\w+)", r"attention.qkv.\1"),
    (r"(?:attention\.(?:output\.dense|o_proj)|attn\.proj)\.(\w+)", r"attention.out.\1"),
    (r"(?:intermediate\.dense|mlp\.fc1)\.(\w+)", r"mlp.0.\1"),
    (r"(?:output\.dense|mlp\.fc2)\.(\w+)", r"mlp.2.\1"),
]


def _rename(name: str, rules: list[tuple[str, str]]) -> str | None:
    for pattern, ours in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(ours)
    return None


def is_foreign(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of Hugging Face, Meta or the reference BEAST."""
    return any("embeddings.cls_token" in k or k == "patch_embed.proj.weight" for k in tensors)


def from_foreign(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate a state dict to our names; what cannot be translated keeps its name.

    The separate query, key and value projections are joined, and the patch convolution becomes a
    linear layer over (row, column, channel). Names that stay are reported by
    :func:`tinbergen.nn.weights.load_weights` as unexpected.

    Raises
    ------
    WeightsError
        If a block has some, not all, of query, key and value.
    """
    rules = _META if "patch_embed.proj.weight" in tensors else _HUGGING_FACE
    ours: dict[str, Tensor] = {}
    pieces: dict[str, dict[int, Tensor]] = {}
    for name, value in tensors.items():
        short = re.sub(r"^(?:module\.|model\.)*(?:vit_mae\.)?", "", name)
        new = _rename(short, rules)
        if new is None and rules is _HUGGING_FACE:
            new = _rename("vit." + short, rules)  # a bare encoder, saved without its prefix
        block = re.fullmatch(r"(\w+\.blocks\.\d+)\.(.+)", new or "")
        if block:
            inner = _rename(block[2], _BLOCK)
            new = f"{block[1]}.{inner}" if inner else None
        part = re.fullmatch(r"(.+\.qkv)\.([012])\.(\w+)", new or "")
        if part:
            pieces.setdefault(f"{part[1]}.{part[3]}", {})[int(part[2])] = value
        elif new is None:
            ours[name] = value
        else:
            ours[new] = _our_shape(new, value)
    for name, parts in pieces.items():
        if sorted(parts) != [0, 1, 2]:
            raise WeightsError(f"{name}: expected query, key and value, found {len(parts)} of 3.")
        ours[name] = torch.cat([parts[0], parts[1], parts[2]])
    return ours


def _our_shape(name: str, value: Tensor) -> Tensor:
    if name == "encoder.embed.weight" and value.ndim == 4:  # (width, C, p, p), a convolution
        return value.permute(0, 2, 3, 1).flatten(1)
    if name.endswith(".positions") and value.ndim == 3:
        return value[0]
    return value


def to_lightning_pose(tensors: Mapping[str, Tensor], patch: int) -> dict[str, Tensor]:
    """Translate our state dict to the reference BEAST layout, ``vit_mae.vit.*`` and on.

    Parameters
    ----------
    tensors
        Our names: ``encoder.*``, and ``decoder.*`` and ``head.*`` where there are any.
    patch
        Patch side, px.
    """
    table = {
        "encoder.cls_token": "vit.embeddings.cls_token",
        "encoder.positions": "vit.embeddings.position_embeddings",
        "encoder.embed": "vit.embeddings.patch_embeddings.projection",
        "encoder.norm": "vit.layernorm",
        "encoder.blocks": "vit.encoder.layer",
        "decoder.mask_token": "decoder.mask_token",
        "decoder.positions": "decoder.decoder_pos_embed",
        "decoder.embed": "decoder.decoder_embed",
        "decoder.norm": "decoder.decoder_norm",
        "decoder.predict": "decoder.decoder_pred",
        "decoder.blocks": "decoder.decoder_layers",
        ".norm1.": ".layernorm_before.",
        ".norm2.": ".layernorm_after.",
        ".attention.out.": ".attention.output.dense.",
        ".mlp.0.": ".intermediate.dense.",
        ".mlp.2.": ".output.dense.",
    }
    result: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name.startswith("head.layers."):
            result[name.replace("head.layers.", "proj.")] = value
            continue
        if not name.startswith(("encoder.", "decoder.")):
            continue
        new = name
        for ours, theirs in table.items():
            new = new.replace(ours, theirs)
        if name == "encoder.embed.weight":
            value = value.unflatten(1, (patch, patch, -1)).permute(0, 3, 1, 2)
        if name.endswith(".positions"):
            value = value[None]
        if ".qkv." in name:
            for role, piece in zip(("query", "key", "value"), value.chunk(3), strict=True):
                key = new.replace(".attention.qkv.", f".attention.attention.{role}.")
                result[f"vit_mae.{key}"] = piece.contiguous()
        else:
            result[f"vit_mae.{new}"] = value.contiguous()
    return result
