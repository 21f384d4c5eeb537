"""Made-up costs of sparsifiers, for tests of what is said and drawn of them."""

from __future__ import annotations

from typing import Any

from regtopk_bench.algorithms import REFERENCE
from regtopk_bench.results.costs import Costs, Entry, Footprint, Rounds, cell_of

SPARSE = {"algorithm": "topk", "density": 0.01}
OTHER = {"algorithm": "regtopk", "density": 0.01, "mu": 4.0}


def footprint(size: float = 1e6, **changes: Any) -> Footprint:
    """Return a footprint of messages that have to be gathered."""
    facts = {"summed_bytes": None, "aggregate_bytes": 8 * size, "coordination_bytes": 0.0}
    given = {"encoding": "4-byte values", "sparsify_seconds": 0.05, **facts, **changes}
    return Footprint(message_bytes=size, **given)


WHOLE = footprint(100e6, summed_bytes=100e6, sparsify_seconds=0.0)


def outline(network: str = "1gbit:1ms", rounds: Rounds | None = None) -> Costs:
    """Return all that lines have in common."""
    return Costs(
        created="2026-01-01T00:00:00+00:00",
        params=25_000_000,
        workers=8,
        dtype="float32",
        network=network,
        compute_seconds=0.3,
        backward_seconds=0.2,
        counted=4_000_000,
        timed=16_000_000,
        device="cpu",
        environment={"cpu": "Processor 9000", "threads_openmp": 2},
        rounds=rounds,
    )


def costs(
    *entries: Entry, reference: float | None = None, rounds: Rounds | None = None, **known: Any
) -> Costs:
    """Return the costs of sparsifiers, after those of the reference."""
    whole = Entry(cell_of({"algorithm": REFERENCE.name}), WHOLE, reference is not None, reference)
    return outline(rounds=rounds, **known).of([whole, *entries])


def entry(
    facts: dict[str, Any] = SPARSE,
    rounds: float | None = None,
    in_result: bool = False,
    **changes: Any,
) -> Entry:
    """Return a sparsifier; one whose rounds are known is in the result."""
    return Entry(cell_of(facts), footprint(**changes), in_result or rounds is not None, rounds)
