"""The data that kernels are timed on."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.arguments import shown, whole
from regtopk_bench.errors import ConfigurationError, suggest
from regtopk_bench.kernels import reference

DISTRIBUTIONS = ("normal", "heavy", "ties", "constant", "replay")

_ROUNDS = 4
_LAYERS = 20
_LEVELS = 64
_CLASSES = 10


@dataclass
class KernelData:
    """One worker's step, with a gradient for each of some rounds.

    Attributes:
        distribution: What the data are drawn from: see `problem`.
        k: Entries to select.
        start_1J: The residual before a step.
        grads: Gradients, (1, J) each, taken in turn.
        last_1k: The entries sent last, ascending.
        factors_1k: The factors of their scores, in [0, 1).
    """

    distribution: str
    k: int
    start_1J: Tensor
    grads: list[Tensor]
    last_1k: Tensor
    factors_1k: Tensor

    @property
    def dim(self) -> int:
        """J."""
        return self.start_1J.shape[1]

    @functools.cached_property
    def expected_step(self) -> Tensor:
        """What a stable sort selects in the first step, (k,), ascending."""
        start_1J = self.start_1J.clone()
        step = reference.step(start_1J, self.grads[0], self.k, self.last_1k, self.factors_1k)
        return step[0][0]

    @functools.cached_property
    def expected_selection(self) -> Tensor:
        """What a stable sort selects of the magnitudes of the first gradient, (k,), ascending."""
        return reference.select(self.grads[0].abs(), self.k)[0]

    @property
    def restored(self) -> bool:
        """Whether every step starts from the same residual; else rounds follow each other."""
        return self.distribution != "replay"


def problem(
    distribution: str, dim: int, k: int, dtype: torch.dtype, device: str, seed: int = 0
) -> KernelData:
    """Make the data of a step.

    Args:
        distribution: "normal"; "heavy", Student's t with 3 degrees of freedom and a scale by
            layer from 1e-3 to 10; "ties", normal in steps of 1/16; "constant", every entry
            equal; "replay", the gradients of consecutive rounds of training a perceptron
            on synthetic data, with the residual that they leave.
        dim: J.
        k: Entries to select.
        dtype: Of residual and gradients.
        device: Where they are.
        seed: Of the draws.

    Raises:
        ConfigurationError: If an argument is of no use.
    """
    if distribution not in DISTRIBUTIONS:
        raise ConfigurationError(
            f'distribution "{distribution}" is unknown{suggest(str(distribution), DISTRIBUTIONS)}'
        )
    dim = whole(dim, "dim", 1)
    k, seed = whole(k, "k", 1, dim), whole(seed, "seed")
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ConfigurationError(f"dtype {shown(dtype)} is not one of floats")
    generator = torch.Generator().manual_seed(seed)
    draw = _draws(distribution, dim, generator)
    start_1J = torch.zeros(1, dim) if distribution == "replay" else draw()[None]
    start_1J = start_1J.to(device, dtype)
    # The residual is 0 where the previous step sent.
    last_1k, _ = kernels.step(start_1J, draw()[None].to(device, dtype), k)
    grads = [draw()[None].to(device, dtype) for _ in range(_ROUNDS)]
    factors_1k = torch.rand(1, k, generator=generator).to(device, dtype)
    return KernelData(distribution, k, start_1J, grads, last_1k, factors_1k)


def _draws(distribution: str, dim: int, generator: torch.Generator) -> Callable[[], Tensor]:
    """Return a function that draws the next gradient, (J,)."""
    if distribution == "replay":
        return _Perceptron(dim, generator).gradient
    if distribution == "constant":
        return lambda: torch.ones(dim)
    if distribution == "ties":
        return lambda: (torch.randn(dim, generator=generator) * _LEVELS / 4).round() * 4 / _LEVELS
    if distribution == "heavy":
        layer_J = torch.arange(dim) * _LAYERS // dim
        scale_J = torch.logspace(-3, 1, _LAYERS)[layer_J]

        def heavy() -> Tensor:
            normal_4J = torch.randn(4, dim, generator=generator)
            return scale_J * normal_4J[0] / normal_4J[1:].square().mean(dim=0).sqrt()

        return heavy
    return lambda: torch.randn(dim, generator=generator)


class _Perceptron:
    """A multilayer perceptron in training, with about J parameters."""

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        self._dim, self._generator = dim, generator
        # Two square layers and one for the classes hold J parameters or a few more.
        width = max(16, math.ceil((math.sqrt(_CLASSES**2 + 8.0 * dim) - _CLASSES) / 4.0))
        shapes = ((width, width), (width, width), (width, _CLASSES))
        self._layers = [
            (torch.randn(shape, generator=generator) / math.sqrt(shape[0])).requires_grad_()
            for shape in shapes
        ]
        self._centres = torch.randn(_CLASSES, width, generator=generator)

    def gradient(self) -> Tensor:
        """Return the gradient of the next batch, (J,), and take a descent step."""
        labels = torch.randint(_CLASSES, (20,), generator=self._generator)
        noise = torch.randn(20, self._centres.shape[1], generator=self._generator)
        features = self._centres[labels] + noise
        hidden = (features @ self._layers[0]).relu() @ self._layers[1]
        loss = torch.nn.functional.cross_entropy(hidden.relu() @ self._layers[2], labels)
        grads = torch.autograd.grad(loss, self._layers)
        with torch.no_grad():
            for layer, grad in zip(self._layers, grads, strict=True):
                layer -= 0.05 * grad
        return torch.cat([grad.flatten() for grad in grads])[: self._dim]
