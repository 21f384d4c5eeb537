"""The number of entries in a message, given as a density k/J or as k itself."""

from __future__ import annotations

from dataclasses import dataclass

from regtopk_bench.arguments import is_real, shown, whole
from regtopk_bench.density import entries_kept
from regtopk_bench.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The size of a message, the same for every worker and round.

    Raises:
        ConfigurationError: Unless exactly one of `density` and `k` is given and valid.
    """

    density: float | None = None
    """ρ = k/J, the fraction of entries **kept**, 0 < ρ ≤ 1. Small values save bytes but
    let the residual go stale; 1 sends everything."""

    k: int | None = None
    """Entries per message, instead of a density, 1 ≤ k ≤ J."""

    def __post_init__(self) -> None:
        """Validate ranges."""
        if (self.density is None) == (self.k is None):
            raise ConfigurationError("give either density or k, and not both")
        if self.density is not None and not (is_real(self.density) and 0.0 < self.density <= 1.0):
            raise ConfigurationError(
                f"density {shown(self.density)} is not in (0, 1]: the fraction of entries kept"
            )
        if self.k is not None:
            object.__setattr__(self, "k", whole(self.k, "k", 1))

    def entries(self, dim: int) -> int:
        """Return k = max(1, ⌊ρJ⌋) for gradients of `dim` entries.

        Raises:
            ConfigurationError: If k exceeds `dim`, if there are no entries to choose from, or if a
                subclass has its own `__post_init__` and does not call this one's, so that the
                values were never validated.
        """
        Budget.__post_init__(self)
        dim = whole(dim, "entries of a gradient", 1)
        if self.density is not None:
            return entries_kept(self.density, dim)
        assert self.k is not None
        if self.k > dim:
            raise ConfigurationError(f"k {self.k} exceeds the {dim} entries of the gradient")
        return self.k
