"""`regtopk-bench toy`: the motivational example."""

from __future__ import annotations

from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.session import Session
from regtopk_bench.cli.training import train
from regtopk_bench.experiments.grids import toy_cells


def run_toy(invocation: Invocation) -> None:
    """Run dense, Top-k and RegTop-k with k = 1 on two cancelling workers."""
    train(Session(invocation, "toy"), toy_cells(invocation.resolved.settings))
