"""LoRA on a U-Net's attention projections, on for ψ and off for φ."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from diffusers import UNet2DConditionModel
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

ADAPTER = "rendered"  # part of the parameters' names in checkpoints: must not change


class LoraAdapter:
    """Low-rank matrices (LoRA, arXiv 2106.09685) on a U-Net's attention projections, in float32.

    Attributes:
        parameters: the matrices by name.
    """

    def __init__(self, unet: UNet2DConditionModel, rank: int) -> None:
        """Inject the matrices into a U-Net, switched off, and freeze its own weights.

        Args:
            unet: modified in place.
            rank: of the matrices.
        """
        config = LoraConfig(
            r=rank,
            lora_alpha=rank,  # scales the matrices' product by one for any rank
            init_lora_weights="gaussian",
            target_modules=["to_q", "to_k", "to_v", "to_out.0"],
        )
        inject_adapter_in_model(config, unet, ADAPTER)
        self._layers = [layer for layer in unet.modules() if isinstance(layer, BaseTunerLayer)]
        self.parameters = {
            name: parameter for name, parameter in unet.named_parameters() if ".lora_" in name
        }
        for parameter in self.parameters.values():
            parameter.data = parameter.data.float()  # peft creates them in the U-Net's dtype
        self._switch(on=False)

    @contextmanager
    def enabled(self) -> Iterator[None]:
        """Context in which the U-Net computes ψ in all rows."""
        self._switch(on=True)
        try:
            yield
        finally:
            self._switch(on=False)

    @contextmanager
    def enabled_from(self, row: int) -> Iterator[None]:
        """Context in which the U-Net computes φ in rows before `row`, ψ from there; no gradients.

        peft has this only for its own model classes (`adapter_names`).
        """
        hooks = [
            layer.register_forward_hook(
                partial(
                    _add_lora_from_row,
                    row,
                    layer.get_submodule(f"lora_A.{ADAPTER}"),
                    layer.get_submodule(f"lora_B.{ADAPTER}"),
                )
            )
            for layer in self._layers
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _switch(self, *, on: bool) -> None:
        for layer in self._layers:
            layer.enable_adapters(on)


def _add_lora_from_row(
    row: int,
    down: nn.Module,
    up: nn.Module,
    layer: nn.Module,
    args: tuple[Tensor],
    output: Tensor,
) -> Tensor:
    """Forward hook: adds what peft's own forward pass adds, in rows from `row` on."""
    output[row:] += up(down(args[0][row:].float()))
    return output
