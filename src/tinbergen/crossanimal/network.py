"""Neural and pose encoders together, as every objective uses them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tinbergen.crossanimal.config import CrossAnimalConfig
from tinbergen.crossanimal.encoders import NeuralEncoder, PoseEncoder
from tinbergen.crossanimal.syllables import Syllables, component_count
from tinbergen.crossanimal.tables import Scaling
from tinbergen.nn.reversal import reverse_gradient


@dataclass(frozen=True)
class Shape:
    """What the data say about the network.

    Attributes
    ----------
    names, subjects
        Of each animal.
    neurons
        Of each animal; 0 for images.
    columns, components
        Of the pose, and of what it is whitened to; 0 = it is not.
    missing
        Whether parts of poses are missing.
    column_names
        Of the columns of the pose; empty, if they have none.
    """

    names: tuple[str, ...]
    subjects: tuple[str, ...]
    neurons: tuple[int, ...]
    columns: int
    components: int
    missing: bool
    column_names: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what :meth:`from_dict` takes."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Shape:
        """Return the shape of a model that was saved."""
        lists: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**lists)


class Donation(NamedTuple):
    """Neural frames that are shown in the place of others.

    ``x`` as the neural windows, of one donor an animal, ``animal`` ``(animal,)``; ``taken``
    ``(animal, window, time)`` bool: which frames are replaced.
    """

    x: Tensor
    animal: Tensor
    taken: Tensor


class Encoded(NamedTuple):
    """What a batch becomes, ``(animal, window, width)`` each.

    ``domains``: log odds of the subjects from the neural and the pose side, ``(side, animal,
    window, subject)``.
    """

    h: Tensor
    z: Tensor
    pose_h: Tensor | None
    pose_z: Tensor | None
    answer: Tensor | None
    domains: Tensor | None


class Member(nn.Module):
    """One neural encoder, with what the objective asks for beside it."""

    def __init__(self, config: CrossAnimalConfig, shape: Shape):
        super().__init__()
        network, windows, output = config.network, config.windows, config.network.output
        columns = shape.components or shape.columns
        self.neural = NeuralEncoder(len(shape.names), max(shape.neurons), network, windows)
        self.head = _projection(output)
        self.pose = self.pose_head = self.answer = self.domain = None
        if config.objective == "contrast":
            self.pose = PoseEncoder(columns, network, windows, shape.missing)
            self.pose_head = _projection(output)
        elif config.objective == "regression":
            self.answer = nn.Linear(output, windows.pose * columns)
        elif config.objective == "syllables":
            self.answer = nn.Linear(output, config.syllables)
        if config.domain.kind == "reversal":
            sides = 1 + (self.pose is not None)
            subjects = len(set(shape.subjects))
            self.domain = nn.ModuleList(
                nn.Sequential(
                    nn.Linear(output, network.hidden),
                    nn.ReLU(),
                    nn.Linear(network.hidden, subjects),
                )
                for _ in range(sides)
            )

    def forward(
        self,
        x: Tensor,
        animal: Tensor,
        pose: Tensor | None,
        seen: Tensor | None,
        keep: Tensor | None,
        donation: Donation | None,
        reversal: float,
    ) -> Encoded:
        """See :meth:`CrossAnimalNet.forward`."""
        frames = self.neural.input(x, animal, keep)
        if donation is not None:
            others = self.neural.input(donation.x, donation.animal)
            frames = torch.where(donation.taken[..., None], others, frames)
        h = self.neural.of_frames(frames)
        pose_h = pose_z = None
        if pose is not None and self.pose is not None and self.pose_head is not None:
            pose_h = self.pose(pose, seen)
            pose_z = self.pose_head(pose_h)
        domains = None
        if self.domain is not None:
            sides = [h] if pose_h is None else [h, pose_h]
            each = zip(self.domain, sides, strict=True)
            domains = torch.stack([d(reverse_gradient(f, reversal)) for d, f in each])
        answer = None if self.answer is None else self.answer(h)
        return Encoded(h, self.head(h), pose_h, pose_z, answer, domains)


class CrossAnimalNet(nn.Module):
    """Members that are trained in turn, and how animals are measured."""

    mean: Tensor
    scale: Tensor
    pose_mean: Tensor
    pose_scale: Tensor
    axes: Tensor

    def __init__(self, config: CrossAnimalConfig, shape: Shape):
        super().__init__()
        self.shape = shape
        self.members = nn.ModuleList(Member(config, shape) for _ in range(config.network.members))
        # How animals are measured is a part of the model, kept with the weights.
        for name, width in (("", max(*shape.neurons, 1)), ("pose_", shape.columns)):
            self.register_buffer(f"{name}mean", torch.zeros(len(shape.names), width))
            self.register_buffer(f"{name}scale", torch.ones(len(shape.names), width))
        self.register_buffer("axes", torch.zeros(shape.columns, shape.components))
        if config.objective == "syllables":
            k, d = config.syllables, component_count(shape.columns)
            sizes = {"mean": (shape.columns,), "axes": (shape.columns, d),
                     "dynamics": (k, d + 1, d), "factors": (k, d, d), "initial": (k,),
                     "transitions": (k, k)}  # fmt: skip
            for name, size in sizes.items():
                self.register_buffer(f"syllable_{name}", torch.zeros(size))

    @property
    def scaling(self) -> Scaling:
        """How animals are measured."""
        return Scaling(*(getattr(self, f.name).cpu().numpy() for f in fields(Scaling)))

    def measure_by(self, scaling: Scaling) -> None:
        """Take over how animals are measured."""
        for name, values in vars(scaling).items():
            getattr(self, name).copy_(torch.from_numpy(values))

    @property
    def syllables(self) -> Syllables:
        """What names the states of poses, for that objective."""
        names = [f.name for f in fields(Syllables)]
        return Syllables(*(getattr(self, f"syllable_{n}").cpu().double().numpy() for n in names))

    def name_by(self, syllables: Syllables) -> None:
        """Take over what names the states of poses."""
        for name, values in vars(syllables).items():
            values = np.ascontiguousarray(values)
            getattr(self, f"syllable_{name}").copy_(torch.from_numpy(values))

    def forward(
        self,
        member: int,
        x: Tensor,
        animal: Tensor,
        pose: Tensor | None = None,
        seen: Tensor | None = None,
        keep: Tensor | None = None,
        donation: Donation | None = None,
        reversal: float = 0.0,
    ) -> Encoded:
        """Encode a batch of the same number of windows from each of some animals.

        Parameters
        ----------
        member
            Which encodes; members take turns in training.
        x
            ``(animal, window, time, neuron)`` or images ``(animal, window, time, height, width)``.
        animal
            ``(animal,)`` numbers.
        pose, seen
            ``(animal, window, time, column)``; see :class:`PoseEncoder`.
        keep
            ``(animal, neuron)`` factor of each neuron.
        donation
            Features of another animal in the place of some.
        reversal
            Weight of the reversed gradient.
        """
        return self.members[member](x, animal, pose, seen, keep, donation, reversal)


def _projection(width: int) -> nn.Module:
    """Return the head between h, which is kept, and z, which the loss compares."""
    return nn.Sequential(nn.GELU(), nn.Linear(width, width))


def side_by_side(encoded: Encoded) -> Encoded:
    """Put two views that stand below each other side by side, as windows of one animal."""
    domains = encoded.domains
    if domains is not None:
        domains = torch.cat(domains.chunk(2, dim=1), dim=2)
    h, z = (torch.cat(values.chunk(2), dim=1) for values in (encoded.h, encoded.z))
    return encoded._replace(h=h, z=z, domains=domains)
