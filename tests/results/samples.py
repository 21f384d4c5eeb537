"""Made-up results for tests of what is done with them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

from regtopk_bench.results import CHECK, Header, KernelCell, Result, Run, Setting, TrainingCell
from regtopk_bench.results.verdict import Kind, Reason, Timing, Verdict

ENCODING = "4-byte indices, 8-byte values"
LINREG = {"workload": "linreg", "workers": 2, "samples": 10, "dim": 4, "dtype": "float64"}
IMAGES = {"workload": "cifar", "dataset": "synthetic", "workers": 2, "batch": 8, "device": "cpu"}
TIMED = {"distribution": "normal", "dim": 10, "density": 0.1, "dtype": "float32", "device": "cpu"}
CANDIDATE = {"operation": "step", "implementation": "numba", "case": "warm"}
RECIPE = {"rounds": 3, "learning_rate": 0.1, "local_steps": 1}


def cell(
    algorithm: str = "topk", seed: int = 0, density: float | None = 0.5, **changes: Any
) -> TrainingCell:
    """Return a cell; `problem` and `recipe` replace theirs, all else is the sparsifier's."""
    problem = changes.pop("problem", LINREG)
    recipe = changes.pop("recipe", RECIPE)
    has_density = density is not None and algorithm != "dense" and "k" not in changes
    facts = {"algorithm": algorithm, **({"density": density} if has_density else {}), **changes}
    return TrainingCell(problem=problem, sparsifier=facts, recipe=recipe, seed=seed)


def run(
    algorithm: str = "topk",
    seed: int = 0,
    *,
    gaps: Sequence[float] = (1.0, 0.1, 0.01),
    coordination: int = 0,
    status: str = "finished",
    metrics: dict[str, float] | None = None,
    traces: dict[str, list[float]] | None = None,
    **changes: Any,
) -> Run:
    """Return a run of two workers that send 24 bytes each and round.

    The metrics of `gaps` and `traces` are their last values. A run that was finished had as many
    rounds to do as there are gaps, any other no fewer.
    """
    rounds = len(gaps)
    recipe = changes.pop("recipe", RECIPE)
    wanted = rounds if status == "finished" else max(rounds, recipe["rounds"])
    changes["recipe"] = recipe | {"rounds": wanted}
    measured = {"gap": list(gaps), **(traces or {})}
    return Run(
        cell=cell(algorithm, seed, **changes),
        status=status,
        metrics={
            "rounds": rounds,
            "workers": 2,
            "parameters": 4,
            "uplink_bytes": 48 * rounds,
            "downlink_bytes": 64 * rounds,
            "coordination_bytes": 2 * coordination * rounds,
            **{name: trace[-1] for name, trace in measured.items() if trace},
            **(metrics or {}),
        },
        traces={
            "uplink_bytes": [48] * rounds,
            "downlink_bytes": [64] * rounds,
            "coordination_bytes": [2 * coordination] * rounds,
            **measured,
        },
        execution={"processes": 1, "rounds_per_second": 100.0, "gradient_seconds": 1.0},
        encoding=ENCODING,
    )


def image_run(algorithm: str = "topk", seed: int = 0, **changes: Any) -> Run:
    """Return a run on images, evaluated after its second and third round."""
    traces = {"accuracy": [math.nan, 0.5, 0.75], "loss": [math.nan, 1.0, 0.5]}
    traces |= changes.pop("traces", {})
    return run(algorithm, seed, problem=IMAGES, traces=traces, **changes)


def timed(seconds: Sequence[float] = (0.5,)) -> Run:
    """Return a run of the `kernels` command."""
    return Run(
        cell=KernelCell(problem={**TIMED, "threads": 2}, candidate={**CANDIDATE}),
        status="finished",
        metrics={"k": 1, "moved_bytes": 120, "memory_limit_bytes": 120, "exact": 1},
        traces={"seconds": list(seconds), "memory_limit_seconds": [0.25] * len(seconds)},
        execution={"rounds": len(seconds), "misses": 0},
    )


def header(command: str = "linreg", **settings: Any) -> Header:
    """Return what is known of a result before its first run."""
    return Header(
        command=command,
        created="2026-01-01T00:00:00+00:00",
        settings={name: Setting(value=value, source="flag") for name, value in settings.items()},
    )


def result(runs: Sequence[Run], command: str = "linreg", **settings: Any) -> Result:
    """Return a result with these settings, and no others."""
    return Result(**dict(header(command, **settings)), runs=list(runs))


def verdict(
    kind: Kind = "PASS",
    reason: Reason = "equal",
    *,
    name: str = "linreg/regtopk/density=0.6/seed=0",
    metric: str = "gap",
    **changes: Any,
) -> Verdict:
    """Return a verdict, its cell's key made of its name."""
    facts = {"sentence": f"{metric} is what it is", **changes}
    key = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
    return Verdict(cell=key, name=name, metric=metric, verdict=kind, reason=reason, **facts)


def timing(**changes: Any) -> Timing:
    """Return what is known of times that hardly differ."""
    facts = {"ratio": 1.012, "low": 0.981, "high": 1.045, "detectable": 1.062}
    return Timing(**{"margin": 1.1, "pairs": 14, **facts, **changes})


def check(verdicts: Sequence[Verdict], runs: Sequence[Run] = (), **settings: Any) -> Result:
    """Return the result of a check of profile ci, or of the one that settings name."""
    known = header(CHECK, **{"profile": "ci", **settings})
    return Result(**dict(known), runs=list(runs), verdicts=list(verdicts))


HOSTILE = (
    "a|b\\|c",
    "two\nlines\r\nand a\ttab",
    "]]><!-- &amp; <details> 'quoted' \"twice\"",
    "\x00\x1b[31mred\x07\x85\u2028\ufffe\ud800",
    "%0A::error::25%25, 100%: done",
    "*bold* _it_ `code` ``two`` [a](b) ~~no~~ # $x$",
    "linreg/[old]*?/!seed",
    "-x; rm -rf $HOME",
    "long/" + "unbroken" * 300,
    "数据/稀疏" * 40,
)
"""Names that nobody should choose, and that no report may be led astray by."""
