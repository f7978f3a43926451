"""Lightning Fabric as the loop uses it. Import late: this module imports lightning_fabric."""

from __future__ import annotations

from typing import Any

from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.plugins.precision import MixedPrecision
from lightning_fabric.strategies.ddp import DDPStrategy

from tinbergen.training.device import Hardware
from tinbergen.training.outer import Outer


class Autocast(MixedPrecision):
    """Mixed precision that leaves inputs as they are: targets made from them keep all digits."""

    def convert_input(self, data: Any) -> Any:
        """Return ``data``."""
        return data


def make_fabric(hardware: Hardware, outer: Outer) -> Fabric:
    """Return the Fabric for the processes of ``outer``, or for those that it shall spawn."""
    per_node = outer.world // outer.nodes if outer.launcher else hardware.devices
    many = per_node * outer.nodes > 1
    start_method = "popen" if outer.launcher else "spawn"
    plugins: list[Any] = [_environment(outer)]
    if hardware.precision != "fp32":
        name = "bf16-mixed" if hardware.precision == "bf16" else "16-mixed"
        plugins.append(Autocast(name, device=hardware.device))
    return Fabric(
        accelerator=hardware.device,
        devices=per_node,
        num_nodes=outer.nodes,
        strategy=DDPStrategy(start_method=start_method) if many else "auto",
        plugins=plugins,
    )


def _environment(outer: Outer) -> ClusterEnvironment:
    if outer.launcher == "torchrun":
        return TorchElasticEnvironment()
    if outer.launcher == "srun":  # ours requeues by exit code; theirs saves inside a handler
        return SLURMEnvironment(auto_requeue=False)
    return LightningEnvironment()
