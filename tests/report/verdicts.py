"""Made-up checks for tests of how verdicts are told."""

from __future__ import annotations

from typing import Any

from regtopk_bench.results import Result
from regtopk_bench.results.verdict import Kind, Reason, Timing, Verdict
from tests.results.samples import result

HOSTILE = (
    "a|b\\|c\n## d\r\n::error::e ]]> <script>&amp; `f` %0A,g:h \x00\x1b[31m\x85\u2028\ud800\uffff"
)
"""What a name or a sentence may do to the formats that hold it."""

TIMED = Timing(ratio=1.25, low=1.125, high=1.5, margin=0.05, detectable=1.0625, pairs=12)


def verdict(
    kind: Kind = "PASS", reason: Reason = "equal", *, cell: str = "0", **changes: Any
) -> Verdict:
    facts = {"name": f"cell {cell}", "metric": "gap", "sentence": f"it is {reason}", **changes}
    return Verdict(cell=cell, verdict=kind, reason=reason, **facts)


ONE_OF_EACH = [
    verdict(),
    verdict("FAIL", "worse", metric="loss", value=2.0, baseline=1.0),
    verdict("BETTER", "better", metric="accuracy"),
    verdict("NEW", "new-cell", cell="1", metric="cell"),
    verdict("MISSING", "missing-cell", cell="2", metric="cell"),
    verdict("FAIL", "crashed", cell="3", metric="cell"),
    verdict("FAIL", "timed-out", cell="4", metric="cell"),
    verdict("SKIPPED", "no-cuda", cell="5", metric="cell"),
    verdict("INCONCLUSIVE", "too-noisy", cell="6", metric="time", timing=TIMED),
]


def checked(*verdicts: Verdict, **settings: Any) -> Result:
    return result([], "check", **settings).model_copy(update={"verdicts": list(verdicts)})
