"""How much GPU memory does a step take? Counted from allocations, on no GPU.

    python -m benchmarks.memory            every preset of vram=, 1 and 4 views of 512² pixels

Stable Diffusion 2.1-base is built and asked for one step on tensors without contents, in float16:
ε_φ with classifier-free guidance, both branches of ε_ψ, a training step of the LoRA, and the VAE's
encoding with its gradient. What every operation allocates is counted until it is let go. Not in it:
what CUDA takes for itself (about 0.5 GB), workspaces of convolutions, what the allocator loses to
fragments, and the splat with its renderer.
"""

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.tiny_prior import configured
from gs_esd.config import MemoryConfig
from gs_esd.rendered.adapter import Adapter

RESULTS = Path(__file__).parent / "results" / "memory.md"
UNET: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}
VAE: dict[str, Any] = {
    "sample_size": 512,
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
"""Settings of Stable Diffusion 2.1-base, where they are not the defaults."""
TOKENS, RANK = 77, 4
PRESETS = ("none", "24", "16", "12", "8")


class AllocationCount(TorchDispatchMode):
    """Counts bytes that are held by what operations inside gave, and the most there ever were."""

    def __init__(self, weights: list[Tensor]) -> None:
        """Nothing is held yet; weights, of which operations may give views, do not count."""
        super().__init__()
        self.held, self.most = 0, 0
        self._known = {each.untyped_storage()._cdata for each in weights}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do the operation and count what it gave."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self._known:
            return
        self._known.add(storage._cdata)
        self.held += storage.nbytes()
        self.most = max(self.most, self.held)
        weakref.finalize(storage, self._let_go, storage._cdata, storage.nbytes())

    def _let_go(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.held -= size


def most_memory(memory: MemoryConfig, views: int) -> dict[str, float]:
    """Gigabytes that weights take, and that each part of a step adds at most."""
    torch.set_default_dtype(torch.float16)
    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**UNET), AutoencoderKL(**VAE)
        adapter = Adapter(unet.requires_grad_(False), RANK)
        _configure(unet, vae.requires_grad_(False), memory)
    with FakeTensorMode():
        _give_contents(unet)
        _give_contents(vae)
        weights = [*unet.parameters(), *vae.parameters()]
        count = AllocationCount(weights)
        rows = memory.rows_per_call or 2 * views
        parts: dict[str, Callable[[], object]] = {
            "U-Net, asked": lambda: _ask(unet, min(rows, 2 * views)),
            "LoRA, trained": lambda: _train(unet, adapter, min(memory.train_rows or views, views)),
            "VAE, with gradient": lambda: _encode(vae, views),
        }
        added = {name: _added(count, part) for name, part in parts.items()}
    torch.set_default_dtype(torch.float32)
    return {"weights": sum(each.nbytes for each in weights) / 1e9} | added


def _give_contents(network: nn.Module) -> None:
    """Parameters that only pretend to have them, under a FakeTensorMode."""
    for module in network.modules():
        for name, each in module._parameters.items():
            if each is not None:
                contents = torch.empty(each.shape, dtype=each.dtype)
                module._parameters[name] = nn.Parameter(contents, each.requires_grad)


def _configure(unet: UNet2DConditionModel, vae: AutoencoderKL, memory: MemoryConfig) -> None:
    if memory.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
        vae.enable_gradient_checkpointing()
    if memory.vae_slicing:
        vae.enable_slicing()


def _added(count: AllocationCount, part: Callable[[], object]) -> float:
    before = count.most = count.held
    with count:
        part()
    return (count.most - before) / 1e9


def _answer(unet: UNet2DConditionModel, rows: int) -> Tensor:
    width = unet.time_embedding.linear_2.out_features
    answer: Tensor = unet(
        torch.randn(rows, 4, 64, 64),
        torch.ones(rows),
        torch.randn(rows, TOKENS, UNET["cross_attention_dim"]),
        class_labels=torch.zeros(rows, width),
    ).sample
    return answer


@torch.no_grad()
def _ask(unet: UNet2DConditionModel, rows: int) -> None:
    _answer(unet, rows)


def _train(unet: UNet2DConditionModel, adapter: Adapter, rows: int) -> None:
    with adapter.enabled():
        _answer(unet, rows).float().square().sum().backward()


def _encode(vae: AutoencoderKL, views: int) -> None:
    pictures = torch.randn(views, 3, 512, 512, requires_grad=True)
    vae.encode(pictures).latent_dist.mean.float().square().sum().backward()


def main() -> None:
    """Count for every preset, and write the table."""
    lines = ["| vram= | views | weights | U-Net, asked | LoRA, trained | VAE | most, GB |"]
    lines.append("|---" * 7 + "|")
    for preset in PRESETS:
        chosen = [] if preset == "none" else [f"vram='{preset}'"]
        memory = configured(["prompt=x", "prior=sd21", *chosen]).memory
        for views in (1, 4):
            weights, *parts = most_memory(memory, views).values()
            cells = " | ".join(f"{value:.2f}" for value in (weights, *parts, weights + max(parts)))
            lines.append(f"| {preset} | {views} | {cells} |")
            print(lines[-1], flush=True)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
