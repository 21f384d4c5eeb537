"""What is looked at besides the metrics of a run: what it selects, and whether anything is lost."""

from __future__ import annotations

import hashlib

import torch

from regtopk_bench.sparsify import PerLayer, Placement, Sparsifier
from regtopk_bench.training import RoundInfo

_WORKERS, _DIM, _ROUNDS = 4, 64, 8


class Selections:
    """A digest of the entries that all workers selected in all rounds; give it as `on_round`."""

    def __init__(self) -> None:
        """Start with no round."""
        self._digest = hashlib.sha256()
        self._any = False

    def __call__(self, info: RoundInfo) -> None:
        """Add a round: what is whole numbers in its messages, as indices and counts are."""
        for row in info.messages.rows():
            if not row.is_floating_point():
                self._any = True
                self._digest.update(row.cpu().contiguous().numpy().tobytes())

    def digests(self) -> dict[str, str]:
        """Return the digest under its name; none of messages without whole numbers."""
        return {"selections": self._digest.hexdigest()[:16]} if self._any else {}


def lost(sparsifier: Sparsifier) -> float | None:
    """Return the most that an entry lost or gained between residual and message.

    With error feedback, the residual before a round and the gradient must equal what was sent
    and the residual after it, exactly. Looked at for 8 rounds of 4 workers with normal gradients.

    Returns:
        The largest absolute difference, NaN if there is one; None for a sparsifier whose state has
        no `residual_NJ`.
    """
    if isinstance(sparsifier, PerLayer):  # within each layer it is
        sparsifier = sparsifier.sparsifier
    dim = max(_DIM, getattr(sparsifier, "k", None) or 0)
    placement = Placement.alone(_WORKERS, dim)
    state = sparsifier.init(placement)
    if not isinstance(getattr(state, "residual_NJ", None), torch.Tensor):
        return None
    generator = torch.Generator().manual_seed(0)
    differences = []
    for _ in range(_ROUNDS):
        grad_NJ = torch.randn(_WORKERS, dim, generator=generator, dtype=torch.float64)
        before_NJ = state.residual_NJ + grad_NJ
        message = sparsifier.compress(state, grad_NJ)
        after_NJ = state.residual_NJ + message.to_dense()
        differences.append((after_NJ - before_NJ).abs().max())
        sparsifier.feedback(state, message.total(placement.weights_N))
    return float(torch.stack(differences).max())  # NaN if any is
