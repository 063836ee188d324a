"""The part of a U-Net's weights that ψ adds to φ's, and the switch between the two."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from diffusers import UNet2DConditionModel
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from gs_esd.errors import UserError

ADAPTER = "rendered"


class Adapter:
    """Low-rank matrices beside the attention's projections of a U-Net, in float32.

    parameters: the matrices by name.
    """

    def __init__(self, unet: UNet2DConditionModel, rank: int) -> None:
        """Put them into a U-Net, switched off, with a place for the camera; freeze its weights.

        Raises UserError where the place is taken.
        """
        if unet.class_embedding is not None:
            raise UserError(
                "variational=lora needs a U-Net without classes: it tells the camera where they "
                f"would be told (class_embed_type={unet.config.class_embed_type} in the U-Net's "
                "configuration). Take another model, or variational=closed_form."
            )
        config = LoraConfig(
            r=rank,
            lora_alpha=rank,  # a factor of one, whatever the rank
            init_lora_weights="gaussian",
            target_modules=["to_q", "to_k", "to_v", "to_out.0"],
        )
        inject_adapter_in_model(config, unet, ADAPTER)
        unet.class_embedding = nn.Identity()
        self._layers = [layer for layer in unet.modules() if isinstance(layer, BaseTunerLayer)]
        self._added = [
            (
                layer,
                layer.get_submodule(f"lora_A.{ADAPTER}"),
                layer.get_submodule(f"lora_B.{ADAPTER}"),
            )
            for layer in self._layers
        ]
        self.parameters = {name: each for name, each in unet.named_parameters() if ".lora_" in name}
        for parameter in self.parameters.values():
            parameter.data = parameter.data.float()  # peft took the dtype of the U-Net
        self._switch(on=False)

    @contextmanager
    def enabled(self) -> Iterator[None]:
        """Inside, the U-Net is that of ψ."""
        self._switch(on=True)
        try:
            yield
        finally:
            self._switch(on=False)

    @contextmanager
    def enabled_from(self, row: int) -> Iterator[None]:
        """Inside, without gradients, the U-Net is ψ's for rows of a batch from `row` on."""
        hooks = [
            layer.register_forward_hook(partial(_adapt_from, row, down, up))
            for layer, down, up in self._added
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _switch(self, *, on: bool) -> None:
        for layer in self._layers:
            layer.enable_adapters(on)


def _adapt_from(
    row: int,
    down: nn.Module,
    up: nn.Module,
    layer: nn.Module,
    args: tuple[Tensor],
    output: Tensor,
) -> Tensor:
    """What peft's own forward pass adds to a layer's output, for some rows."""
    output[row:] += up(down(args[0][row:].float()))
    return output
