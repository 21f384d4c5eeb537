"""How gradients are compressed in training: the settings of the hooks."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from torch import nn
from torch.distributed import ProcessGroup

from regtopk_bench.arguments import shown, whole
from regtopk_bench.distributed.arrangement import Scope
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.messages import Encoding
from regtopk_bench.sparsify import Dense, PerLayer, Sparsifier, takes_density


@dataclass(frozen=True, eq=False)
class Settings:
    """How gradients are compressed; the same in every rank."""

    sparsifier: Sparsifier
    """What each rank sends of its gradient. Every one of this package, and any derived from
    `regtopk_bench.Sparsifier`. `PerLayer` selects within each parameter, whatever the scope.
    `Dense` is all-reduced, as without a hook."""

    process_group: ProcessGroup | None = None
    """The ranks that take part; all of them when None. It has to be the one that DDP was given, or
    for `compress_replicas` that of the ranks with the same shard."""

    _: KW_ONLY

    start_iteration: int = 0
    """Iterations that all-reduce the whole gradient first. Early gradients are large and change
    direction fast: if most of one is held back until it is stale, training may take a path from
    which it does not return. Where accuracy is lost, try a tenth of all iterations, and no less
    than a warm-up of the learning rate. Every dense iteration costs what compression would have
    saved: with too many, there was no need for it."""

    warm_up: Sequence[tuple[float, int]] = ()
    """Stages before the sparsifier's own density, (density, iterations) each, as in DGC: after
    `start_iteration`, ((0.25, 500), (0.06, 500), (0.015, 500)) sends a quarter of the entries for
    500 iterations, and so on. It is gentler than a dense start, and costs less. Stages that are too
    short, or fall too steeply, leave the residual no time to settle; long ones cost bytes. From one
    stage to the next the residual is kept; what else a sparsifier remembers of its last message
    starts anew."""

    scope: Scope = "bucket"
    """Which entries compete for a place in the message: those of a bucket or, if "global", all.
    With "bucket" each bucket is sent while the backward pass computes the next, but every one has
    its own k, and a bucket whose gradients are small sends as many as others: with small buckets,
    that is far from the largest entries of the whole gradient. With "global" the choice does not
    depend on buckets, but nothing is sent before the backward pass has ended."""

    encoding: Encoding | str = Encoding.COORDINATES
    """How messages are written. "coordinates" takes least time. "compact" has the same values in
    fewer bytes, for some time to write and to read them: it pays where the network is slow. See
    `Encoding`."""

    seed: int = 0
    """Seed of random sparsifiers. Ranks with different seeds would send different entries where
    they should send the same."""

    model: nn.Module | None = None
    """The network, for the names of its parameters. With names a saved state can be loaded where
    buckets are of another size, or there is no DDP; without, parameters are told apart by the order
    in which DDP's first buckets brought them, and a state that does not fit is rejected."""

    def __post_init__(self) -> None:
        """Validate the settings."""
        if not isinstance(self.sparsifier, Sparsifier):
            raise ConfigurationError(f"expected a sparsifier, not {shown(self.sparsifier)}")
        whole(self.start_iteration, "start_iteration")
        whole(self.seed, "seed")
        if self.scope not in ("bucket", "global"):
            raise ConfigurationError(f'scope {shown(self.scope)} is neither "bucket" nor "global"')
        if not isinstance(self.model, nn.Module | None):
            raise ConfigurationError(f"expected a module as model, not {shown(self.model)}")
        object.__setattr__(self, "encoding", Encoding.named(self.encoding))
        self._stages  # noqa: B018 - validates them

    def sparsifier_at(self, iteration: int) -> Sparsifier | None:
        """Return what compresses in an iteration, from 0; None if it is dense."""
        if iteration < self.start_iteration or isinstance(self.sparsifier, Dense):
            return None
        for end, sparsifier in self._stages:
            if iteration < end:
                return sparsifier
        return self.sparsifier

    @functools.cached_property
    def _stages(self) -> list[tuple[int, Sparsifier]]:
        """The sparsifiers of the warm-up, and the iterations before which they end."""
        try:
            stages = [
                (density, whole(length, "length of a stage", 1)) for density, length in self.warm_up
            ]
        except (TypeError, ValueError) as error:
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(
                f"warm_up {shown(self.warm_up)}: expected (density, iterations) for each stage"
            ) from None
        ends = itertools.accumulate((length for _, length in stages), initial=self.start_iteration)
        sparsifiers = [_with_density(self.sparsifier, density) for density, _ in stages]
        return list(zip(list(ends)[1:], sparsifiers, strict=True))


def _with_density(sparsifier: Sparsifier, density: float) -> Sparsifier:
    if isinstance(sparsifier, PerLayer):
        inner = _with_density(sparsifier.sparsifier, density)
        return dataclasses.replace(sparsifier, sparsifier=inner)
    if not takes_density(type(sparsifier)):
        raise ConfigurationError(f"warm_up: {type(sparsifier).__name__} has no density")
    changes: dict[str, Any] = {"density": density}
    if getattr(sparsifier, "k", None) is not None:
        changes["k"] = None
    return dataclasses.replace(sparsifier, **changes)
