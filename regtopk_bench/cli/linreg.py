"""`regtopk-bench linreg`: distributed linear regression."""

from __future__ import annotations

from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.resuming import resume
from regtopk_bench.cli.session import Session
from regtopk_bench.cli.training import ranks_of, train
from regtopk_bench.experiments.grids import regression_cells


def run_linreg(invocation: Invocation) -> None:
    """Run every algorithm at every density on every seed."""
    with ranks_of(invocation) as ranks:
        invocation, resumed = resume(invocation, "linreg")
        cells = regression_cells(invocation.resolved.settings)
        train(Session(invocation, "linreg", resumed), cells, ranks=ranks)
