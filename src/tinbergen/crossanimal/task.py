"""All objectives as one task for the training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinbergen.crossanimal import augment
from tinbergen.crossanimal.config import (
    AugmentConfig,
    CrossAnimalConfig,
    DomainConfig,
    SwapConfig,
)
from tinbergen.crossanimal.neighbours import Neighbours
from tinbergen.crossanimal.network import CrossAnimalNet, Donation, Encoded, Shape, side_by_side
from tinbergen.crossanimal.pairs import Animal
from tinbergen.crossanimal.sampling import AnimalSampler
from tinbergen.crossanimal.swap import Swapper
from tinbergen.crossanimal.syllables import Syllables
from tinbergen.crossanimal.tables import Scaling, Tables, taken
from tinbergen.errors import ConfigError, DataError
from tinbergen.nn.infonce import infonce, paired_infonce
from tinbergen.nn.mmd import mmd2_to_rest
from tinbergen.nn.reversal import reversal_weight
from tinbergen.training import Task
from tinbergen.training.prefetch import to_device

INPUT = "neural.input.weight"
_FEW_ANIMALS, _MANY_ANIMALS = 8, 16
_VALIDATION_WINDOWS = 64
_VALIDATION_ROUNDS = 4
_DISCRIMINATOR_ALONE = 0.05  # share of the steps before it pushes the features


@dataclass(frozen=True)
class Batch:
    """Rows ``(animal, window)`` for one member of the network, and images, if it is such.

    ``progress`` is the share of training that is done.
    """

    rows: Tensor
    member: int
    progress: float
    images: Tensor | None = None


class CrossAnimalTask(Task):
    """Windows of several animals, and a loss that needs no labels.

    Parameters
    ----------
    animals
        What is trained on.
    scaling
        How they are measured.
    neighbours
        Of their poses, for swapping.
    syllables
        What names the states of poses, for that objective.
    validation
        Other frames of the same animals, in their order.
    shared
        Trained weights that stay as they are; what is left, the input layer, is trained.
    """

    def __init__(
        self,
        config: CrossAnimalConfig,
        shape: Shape,
        animals: Sequence[Animal],
        scaling: Scaling,
        neighbours: Neighbours | None = None,
        syllables: Syllables | None = None,
        validation: Sequence[Animal] = (),
        shared: Mapping[str, Tensor] | None = None,
    ):
        self.config, self.shape, self.scaling = config, shape, scaling
        self.animals, self.neighbours, self.shared = list(animals), neighbours, shared
        if config.augment.shift and not self._of_images:
            raise ConfigError("augment.shift moves images, but the neural streams are traces.")
        if config.augment.pose_rotation and not self.animals[0].space:
            raise ConfigError("augment.pose_rotation turns keypoints, but poses are none.")
        self.tables = Tables.of(self.animals, scaling)
        self.states = None
        self.syllables = syllables
        if syllables is not None:
            self.states = torch.from_numpy(syllables.predict(*self.tables.poses()))
        self.score = ("validation_loss", "min") if validation else None
        self.check = None
        if validation:
            plain = config.updated(
                augment=AugmentConfig(neuron_dropout=0.0), swap=SwapConfig(), domain=DomainConfig()
            )
            self.check = CrossAnimalTask(plain, shape, validation, scaling, syllables=syllables)
        starts = np.cumsum([0, *map(len, self.animals)])
        self.starts = starts[:-1]
        self.rows = [
            self._with_pose(a.paired + s) for a, s in zip(self.animals, starts[:-1], strict=True)
        ]
        if empty := [a.name for a, r in zip(self.animals, self.rows, strict=True) if not len(r)]:
            raise DataError(
                f"Animal {empty[0]!r} has no neural frame with a pose at its time. Check that "
                "both run on one clock."
            )
        subjects = sorted(set(shape.subjects))
        self.subject = torch.tensor([subjects.index(s) for s in shape.subjects])
        self._placed: dict[str, Any] = {}

    # --- what the loop asks for -----------------------------------------------------------

    def build(self) -> CrossAnimalNet:
        """Return a new network, or one whose shared weights are given and frozen."""
        net = CrossAnimalNet(self.config, self.shape)
        net.measure_by(self.scaling)
        if self.syllables is not None:
            net.name_by(self.syllables)
        if self.shared is not None:
            net.load_state_dict(net.state_dict() | dict(self.shared))
            for name, parameter in net.named_parameters():
                parameter.requires_grad_(name.endswith(INPUT))
        return net

    def batches(self) -> AnimalSampler:
        """Return some animals a step, and as many windows of each."""
        animals = self.config.animals_per_batch or self._usual_animals()
        animals = min(animals, len(self.animals))
        windows = max(self.config.train.batch_size // animals, 2)
        return AnimalSampler(self.rows, animals, windows, seed=self.config.train.seed)

    def _usual_animals(self) -> int:
        alone = self.config.objective in ("contrast", "simclr") and (
            self.config.negatives == "same" and self.config.domain.kind == "none"
        )
        return _FEW_ANIMALS if alone else _MANY_ANIMALS

    def fetch(self, indices: np.ndarray, step: int) -> Batch:
        """Return rows; images are read here, ahead of the loop."""
        rows = torch.from_numpy(np.asarray(indices))
        images = self._images(self._window_rows(self.tables, rows)) if self._of_images else None
        member = step % self.config.network.members
        return Batch(rows, member, step / self.config.train.steps, images)

    def loss(
        self, model: nn.Module, batch: Batch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Augment, swap, encode, and compare as the objective says."""
        tables, config = self._on(generator.device), self.config
        animal = tables.animal[batch.rows[:, 0]]
        clean = batch.images
        if clean is None:
            clean = taken(tables.neural, self._window_rows(tables, batch.rows))
        x = self._seen_neurally(tables, batch.rows, clean, generator)
        views, seen_animals = 1, animal
        if config.objective == "simclr":
            views = 2
            seen_animals = animal.repeat(2)
            x = torch.cat([x, self._seen_neurally(tables, batch.rows, clean, generator)])
        keep = None
        if config.augment.neuron_dropout and not self._of_images:
            # Of all windows of an animal alike: a factor of weights costs nothing.
            shape = (len(x), x.shape[-1])
            keep = augment.kept_neurons(shape, config.augment.neuron_dropout, generator)
        pose, seen = self._poses(tables, batch.rows, animal, generator)
        donation = self._donation(tables, batch.rows, animal, generator)
        reversal = 0.0
        if batch.progress >= _DISCRIMINATOR_ALONE:
            reversal = config.domain.weight * reversal_weight(batch.progress)
        encoded = model(batch.member, x, seen_animals, pose, seen, keep, donation, reversal)
        if views == 2:
            encoded = side_by_side(encoded)
        return self._compared(encoded, tables, batch.rows, animal)

    def validate(self, model: nn.Module) -> dict[str, float] | None:
        """Score windows of the validation frames, the same each time and as they are."""
        if self.check is None:
            return None
        device = next(model.parameters()).device
        losses = []
        sampler = AnimalSampler(self.check.rows, 1, _VALIDATION_WINDOWS)
        for step in range(_VALIDATION_ROUNDS * len(self.check.animals)):
            for member in range(self.config.network.members):
                batch = to_device(self.check.fetch(sampler.batch(step), member), device)
                found = self.check.loss(model, batch, torch.Generator(device))
                losses.append(float(found["loss"].detach()))
        return {"validation_loss": float(np.mean(losses))}

    # --- one side and the other -----------------------------------------------------------

    @property
    def _of_images(self) -> bool:
        return self.animals[0].images

    def _on(self, device: torch.device) -> Tables:
        if str(device) not in self._placed:
            self._placed = {str(device): self.tables.to(device)}
            if self.neighbours is not None:
                self._placed["swapper"] = Swapper.of(self.neighbours, device)
        return self._placed[str(device)]

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_placed": {}}

    def _window_rows(self, tables: Tables, rows: Tensor) -> Tensor:
        windows = self.config.windows
        return tables.neural_rows(rows, windows.neural, windows.neural_stride)

    def _images(self, rows: Tensor) -> Tensor:
        """Read frames of rows from where they lie, each once, in the order of the file."""
        unique, inverse = np.unique(rows.cpu().numpy(), return_inverse=True)
        animal = self.tables.animal[torch.from_numpy(unique)].numpy()
        frames = []
        for i in np.unique(animal):
            mine = unique[animal == i] - self.starts[i]
            images = np.asarray(self.animals[i].neural[mine], np.float32)
            frames.append((images - self.scaling.mean[i]) / self.scaling.scale[i])
        read = np.nan_to_num(np.concatenate(frames), nan=0.0, posinf=0.0, neginf=0.0)
        return torch.from_numpy(read)[torch.from_numpy(inverse.reshape(rows.shape))]

    def _frames(self, tables: Tables, rows: Tensor) -> Tensor:
        if self._of_images:
            return self._images(rows).to(rows.device)
        return taken(tables.neural, rows)

    def _seen_neurally(
        self, tables: Tables, rows: Tensor, x: Tensor, generator: torch.Generator
    ) -> Tensor:
        how = self.config.augment
        if how.calcium:
            animal = tables.animal[rows[:, :1]]
            own = [torch.from_numpy(r).to(rows.device) for r in self.rows]
            noise = torch.rand(rows.shape, generator=generator, device=rows.device)
            others = [own[int(a)][(n * len(own[int(a)])).long()]
                      for a, n in zip(animal[:, 0], noise, strict=True)]  # fmt: skip
            windows = self.config.windows
            times = torch.arange(windows.neural, device=rows.device) * windows.neural_stride
            times = (times / tables.rate[animal][..., None]).expand(*rows.shape, -1)
            other = self._frames(tables, torch.stack(others))
            x = augment.calcium(x, other, times, how.calcium, how.calcium_decay, generator)
        if how.gain:
            x = augment.gain(x, how.gain, generator)
        if how.neural_noise:
            x = augment.noise(x, how.neural_noise, generator)
        if how.shift:
            x = augment.shift_images(x, how.shift, generator)
        return x

    def _poses(
        self, tables: Tables, rows: Tensor, animal: Tensor, generator: torch.Generator
    ) -> tuple[Tensor | None, Tensor | None]:
        config = self.config
        if config.objective != "contrast":
            return None, None
        at = self._pose_rows(tables, rows)
        if config.swap.pose:
            at = self._swapper.swap(at, animal[:, None, None], config.swap.pose, generator)
        pose = self._changed_poses(taken(tables.pose, at), animal, generator)
        return self._whitened(pose, taken(tables.seen, at) if tables.seen.shape[1] else None)

    def _whitened(self, pose: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return principal components in the place of columns, if asked; missing = the mean."""
        if not self.shape.components:
            return pose, seen
        pose = pose @ torch.from_numpy(self.scaling.axes).to(pose)
        if seen is not None:
            seen = seen.any(dim=-1, keepdim=True).expand(pose.shape)
        return pose, seen

    def _changed_poses(self, pose: Tensor, animal: Tensor, generator: torch.Generator) -> Tensor:
        how, space = self.config.augment, self.animals[0].space
        if how.pose_rotation:
            mean, scale = (
                torch.from_numpy(v).to(pose)[animal][:, None, None]
                for v in (self.scaling.pose_mean, self.scaling.pose_scale)
            )
            turned = augment.rotate(pose * scale + mean, how.pose_rotation, space, generator)
            pose = (turned - mean) / scale
        if how.pose_scale:
            pose = augment.scale_columns(pose, how.pose_scale, generator)
        if how.pose_noise:
            pose = augment.noise(pose, how.pose_noise, generator)
        if how.pose_mask:
            shape, (length, columns) = pose.shape[:-2], pose.shape[-2:]
            pose = (
                pose * augment.mask_stretch(columns, how.pose_mask, shape, generator)[:, :, None]
            )
            pose = pose * augment.mask_stretch(length, how.pose_mask, shape, generator)[..., None]
        return pose

    def _with_pose(self, rows: np.ndarray) -> np.ndarray:
        """Leave out rows in whose pose window nothing was seen: no pose is nobody's pair."""
        if not self.tables.seen.shape[1]:
            return rows
        at = self._pose_rows(self.tables, torch.from_numpy(rows))
        return rows[self.tables.seen.any(dim=1)[at].any(dim=1).numpy()]

    def _pose_rows(self, tables: Tables, rows: Tensor) -> Tensor:
        windows = self.config.windows
        centre = taken(tables.centre, rows)
        return tables.pose_rows(centre, windows.pose, windows.pose_stride)

    @property
    def _swapper(self) -> Swapper:
        if "swapper" not in self._placed:
            raise ConfigError("Swapping needs a table of neighbours, and a pose.")
        return self._placed["swapper"]

    def _donation(
        self, tables: Tables, rows: Tensor, animal: Tensor, generator: torch.Generator
    ) -> Donation | None:
        """Draw a donor for each animal, and its frames where it did the same."""
        probability = self.config.swap.neural
        if not probability:
            return None
        at = self._window_rows(tables, rows)
        swapper = self._swapper
        noise = torch.rand(animal.shape, generator=generator, device=rows.device)
        which = (noise * swapper.donors[animal]).long()
        centre = tables.centre[at]
        drawn = swapper.draw(centre.clamp_min(0), animal[:, None, None], generator,
                             which[:, None, None])  # fmt: skip
        donor_rows = tables.row_of_pose[drawn]
        donor = swapper.donor_ids[animal, which]
        noise = torch.rand(at.shape, generator=generator, device=rows.device)
        own = tables.pose_animal[drawn] != donor[:, None, None]
        taken = (noise < probability) & (centre >= 0) & (donor_rows >= 0) & ~own
        x = self._frames(tables, torch.where(donor_rows >= 0, donor_rows, at))
        if self.config.objective == "simclr":  # of one view alone
            taken = torch.cat([taken, torch.zeros_like(taken)])
            x, donor = torch.cat([x, x]), donor.repeat(2)
        return Donation(x, donor, taken)

    # --- losses ---------------------------------------------------------------------------

    def _compared(
        self, encoded: Encoded, tables: Tables, rows: Tensor, animal: Tensor
    ) -> dict[str, Tensor]:
        losses = self._objective(encoded, tables, rows, animal)
        total = losses["loss"]
        kind, weight = self.config.domain.kind, self.config.domain.weight
        if kind == "mmd":
            losses["loss_mmd"] = mmd2_to_rest(encoded.h)
            if encoded.pose_h is not None:
                losses["loss_mmd"] = losses["loss_mmd"] + mmd2_to_rest(encoded.pose_h)
            total = total + weight * losses["loss_mmd"]
        elif kind == "reversal" and encoded.domains is not None:
            subject = self.subject.to(animal.device)[animal]
            target = subject[:, None].expand(encoded.domains.shape[:-1])
            losses["loss_domain"] = F.cross_entropy(
                encoded.domains.float().flatten(0, -2), target.flatten()
            )
            total = total + losses["loss_domain"]
        return {**losses, "loss": total}

    def _objective(
        self, encoded: Encoded, tables: Tables, rows: Tensor, animal: Tensor
    ) -> dict[str, Tensor]:
        config = self.config
        mixed = config.negatives == "mixed"
        if config.objective == "contrast":
            assert encoded.pose_z is not None
            pose, neural = encoded.pose_z, encoded.z
            if mixed:
                pose, neural = pose.flatten(0, 1), neural.flatten(0, 1)
            found = paired_infonce(pose, neural, config.temperature)
            return {"loss": found.loss, "top1": found.top1}
        if config.objective == "simclr":
            n = rows.shape[1]
            group = torch.arange(rows.numel(), device=rows.device).view(rows.shape).repeat(1, 2)
            owner = animal[:, None].expand(-1, 2 * n).flatten()
            exclude = None if mixed else owner[:, None] != owner[None]
            found = infonce(
                encoded.z.flatten(0, 1), group.flatten(), config.temperature, exclude=exclude
            )
            return {"loss": found.loss, "top1": found.top1}
        assert encoded.answer is not None
        if config.objective == "regression":
            at = self._pose_rows(tables, rows)
            seen = taken(tables.seen, at) if tables.seen.shape[1] else None
            wanted, seen = self._whitened(taken(tables.pose, at), seen)
            error = (encoded.answer.float() - wanted.flatten(2)).square()
            if seen is None:
                return {"loss": error.mean()}
            known = seen.flatten(2)
            return {"loss": (error * known).sum() / known.sum().clamp_min(1)}
        assert self.states is not None
        state = self.states.to(rows.device)[tables.centre[rows]]
        loss = F.cross_entropy(
            encoded.answer.float().flatten(0, 1), state.flatten(), ignore_index=-1, reduction="sum"
        )
        return {"loss": loss / (state >= 0).sum().clamp_min(1)}
