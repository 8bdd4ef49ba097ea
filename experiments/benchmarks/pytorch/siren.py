"""The other baseline: COIN's way, one network after the other in a PyTorch loop.

Needs torch, which nothing else here does: `pip install torch`.
"""

import time

import numpy as np
import torch

from jaxinr.siren import Params
from jaxinr.trial import Trial


def seconds_per_step(
    params: Params, trial: Trial, points: np.ndarray, target: np.ndarray, steps: int
) -> float:
    """Measure a full-batch Adam step on one image, reading its loss each step as COIN does.

    Args:
        params: initial layers.
        trial: w0_initial, w0, learning rate.
        points: [P, 2] float32.
        target: [P, 3] float32.
        steps: measured, after three of warming up.
    """
    weights = [torch.tensor(np.asarray(layer["weight"]), requires_grad=True) for layer in params]
    biases = [torch.tensor(np.asarray(layer["bias"]), requires_grad=True) for layer in params]
    optimizer = torch.optim.Adam([*weights, *biases], lr=trial.learning_rate)
    inputs, truth = torch.tensor(points), torch.tensor(target)

    def step() -> float:
        features = inputs
        for depth, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            features = torch.nn.functional.linear(features, weight, bias)
            if depth < len(weights) - 1:
                features = torch.sin((trial.w0_initial if depth == 0 else trial.w0) * features)
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(features, truth)
        loss.backward()
        optimizer.step()
        return loss.item()

    for _ in range(3):
        step()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) / steps
