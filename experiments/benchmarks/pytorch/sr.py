"""The baseline of the super-resolution benchmark: EDSR, RDN and RCAN trained and run by PyTorch.

Needs torch, which nothing else here does: `pip install torch`. Built as the papers have them, one
network at a time, on as many threads as PyTorch takes by itself.
"""

import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from experiments.benchmarks.timing import seconds_of

BETAS = (0.9, 0.99)
WARM = 2  # steps before the clock starts


def build(architecture: str, scale: int, **sizes: Any) -> nn.Module:
    """Build a network from [N, 3, H, W] to [N, 3, r H, r W], with fresh weights.

    Args:
        architecture: edsr, rdn or rcan.
        scale: 2 or 4.
        sizes: hyperparameters by the names of `jaxsr.networks`.
    """
    bodies: dict[str, Callable[..., nn.Module]] = {"edsr": _edsr, "rdn": _rdn, "rcan": _rcan}
    body = bodies[architecture](**sizes)
    features = sizes["num_features"]
    doublings = [
        nn.Sequential(_conv(features, 4 * features), nn.PixelShuffle(2)) for _ in range(scale // 2)
    ]
    return nn.Sequential(_conv(3, features), body, *doublings, _conv(features, 3))


def updates_per_second(
    network: nn.Module, scale: int, batch_size: int, crop_px: int, seconds: float
) -> float:
    """Return Adam updates of the l1 loss on random pixels, the loss read at each as trainers do."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, betas=BETAS)
    low = torch.rand(batch_size, 3, crop_px // scale, crop_px // scale)
    high = torch.rand(batch_size, 3, crop_px, crop_px)
    start = 0.0
    for count in itertools.count(-WARM):
        if count == 0:
            start = time.perf_counter()
        optimizer.zero_grad()
        loss = nn.functional.l1_loss(network(low), high)
        loss.backward()
        optimizer.step()
        loss.item()
        passed = time.perf_counter() - start
        if count >= 0 and passed > seconds:
            return (count + 1) / passed
    raise AssertionError


def seconds_to_upscale(network: nn.Module, image: np.ndarray) -> float:
    """Return the seconds to upscale one image [H, W, 3] uint8, after a warm-up."""

    def once() -> None:
        with torch.inference_mode():
            low = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
            large = network(low)[0].clamp(0, 1).permute(1, 2, 0) * 255
            large.round().to(torch.uint8).numpy()

    once()
    return seconds_of(once)


class _Residual(nn.Module):
    """x + body(x)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class _Attention(nn.Module):
    """RCAN's weights of channels."""

    def __init__(self, features: int, reduction: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(features, features // reduction, 1),
            nn.ReLU(),
            nn.Conv2d(features // reduction, features, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weigh(x)


class _Dense(nn.Module):
    """RDN's block: each layer sees what all before it made."""

    def __init__(self, features: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_conv(features + i * growth, growth) for i in range(layers))
        self.fuse = nn.Conv2d(features + layers * growth, features, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = x
        for layer in self.layers:
            found = torch.cat([found, torch.relu(layer(found))], 1)
        return x + self.fuse(found)


class _RDN(nn.Module):
    """RDN without its last convolutions."""

    def __init__(self, features: int, growth: int, blocks: int, layers: int) -> None:
        super().__init__()
        self.second = _conv(features, features)
        self.blocks = nn.ModuleList(_Dense(features, growth, layers) for _ in range(blocks))
        self.fuse = nn.Sequential(
            nn.Conv2d(blocks * features, features, 1), _conv(features, features)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(x)
        found = []
        for block in self.blocks:
            y = block(y)
            found.append(y)
        return x + self.fuse(torch.cat(found, 1))


def _group(blocks: Iterable[nn.Module], features: int) -> nn.Module:
    """Return x + conv(blocks(x))."""
    return _Residual(*blocks, _conv(features, features))


def _block(features: int, *last: nn.Module) -> nn.Module:
    """Return x + last(conv(relu(conv(x))))."""
    return _Residual(_conv(features, features), nn.ReLU(), _conv(features, features), *last)


def _edsr(*, num_features: int, num_blocks: int, res_scale: float) -> nn.Module:
    assert res_scale == 1.0  # a product by 1 is left out
    return _group((_block(num_features) for _ in range(num_blocks)), num_features)


def _rdn(*, num_features: int, growth_rate: int, num_blocks: int, num_layers: int) -> nn.Module:
    return _RDN(num_features, growth_rate, num_blocks, num_layers)


def _rcan(*, num_features: int, num_groups: int, num_blocks: int, reduction: int) -> nn.Module:
    def group() -> nn.Module:
        attentions = (_Attention(num_features, reduction) for _ in range(num_blocks))
        return _group((_block(num_features, one) for one in attentions), num_features)

    return _group((group() for _ in range(num_groups)), num_features)


def _conv(before: int, after: int) -> nn.Module:
    return nn.Conv2d(before, after, 3, padding=1)
