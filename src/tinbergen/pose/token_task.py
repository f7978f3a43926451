"""Learning keypoints on the tokens of a frozen transformer, which are computed once."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinbergen.pose.augment import move_keypoints
from tinbergen.pose.heatmaps import decode
from tinbergen.pose.model import PoseModel
from tinbergen.pose.task import PoseTask
from tinbergen.progress import Progress
from tinbergen.training import numpy_generator, torch_generator
from tinbergen.training.device import choose_hardware

_MOST_BYTES = 2 * 2**30
_BATCH = 16


class TokenTask(PoseTask):
    """The head of a vision transformer on kept tokens: the choice for a CPU.

    Each training frame is seen in ``head.views`` augmented views (fewer where their tokens would
    need more than 2 GiB), drawn once from the seed; a step takes one view of each of its frames.
    For parameters and errors see :class:`~tinbergen.pose.task.PoseTask`.
    """

    _held_out: Tensor | None = None

    def __getstate__(self) -> dict:
        return {
            key: value for key, value in self.__dict__.items() if key not in ("_kept", "_held_out")
        }

    @property
    def n_views(self) -> int:
        """Views of each training frame that are kept."""
        assert self.config.encoder is not None
        shape = self.config.encoder
        each = 2 * shape.n_patches * shape.width * max(1, len(self.train))
        return int(np.clip(_MOST_BYTES // each, 1, self.config.head.views))

    @cached_property
    def _kept(self) -> dict[str, Tensor]:
        """Tokens ``(train * views, rows, columns, width)`` float16, and labels of all views."""
        model = self.build().to(choose_hardware(self.config.train).device).eval()
        device = next(model.parameters()).device
        generator = torch_generator(self.config.train.seed, "views")
        rows = torch.from_numpy(np.repeat(self.train, self.n_views))
        tokens, positions, hidden = [], [], []
        with Progress(len(rows), "computing tokens", "views") as progress, torch.no_grad():
            for first in range(0, len(rows), _BATCH):
                some = rows[first : first + _BATCH]
                draws = self.config.augment.draw(len(some), self.config.size, generator)
                images = self.noisy(model, some.to(device), draws.to(device), generator)
                tokens.append(model.tokens(images).half().cpu())  # type: ignore[operator]
                positions.append(
                    move_keypoints(self.positions.cpu()[some], draws, self.swap.cpu())
                )
                hidden.append(self._moved_hidden(self.hidden.cpu()[some], draws))
                progress.advance(len(some))
        self._follow(torch.device("cpu"))
        kept = {"tokens": tokens, "positions": positions, "hidden": hidden}
        return {name: torch.cat(parts) for name, parts in kept.items()}

    def fetch(self, indices: np.ndarray, step: int) -> dict[str, Tensor]:
        """Take one view of each frame."""
        place = np.searchsorted(self.train, indices)
        draw = numpy_generator(self.config.train.seed, "view", step)
        at = torch.from_numpy(place * self.n_views + draw.integers(self.n_views, size=len(place)))
        return {name: value[at] for name, value in self._kept.items()}

    def loss(
        self, model: nn.Module, batch: dict[str, Any], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compare the heat maps of a batch of tokens with what they should be."""
        logits = model(tokens=batch["tokens"].float())
        return self.supervised(logits, batch["positions"], batch["hidden"])

    @torch.no_grad()
    def predict(self, model: nn.Module, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predict on frames; the tokens of those held out are kept after the first time."""
        if not np.array_equal(rows, self.validation):
            return super().predict(model, rows)
        device = next(model.parameters()).device
        if self._held_out is None:
            self._follow(device)
            inner: Any = getattr(model, "module", model)
            batches = torch.from_numpy(rows).to(device).split(_BATCH)
            seen = [inner.tokens(self._prepare(model, some, None)) for some in batches]
            self._held_out = torch.cat(seen).float()
        logits = model(tokens=self._held_out.to(device))[:, : self.config.n_maps]
        where, how_sure = decode(logits, PoseModel.stride, self.config.heatmaps.sigma)
        return self.images.to_source(rows, where.cpu().numpy()), how_sure.cpu().numpy()
