"""Which verdicts fail a check, under the settings that its result holds."""

from __future__ import annotations

from typing import Final, Literal

from regtopk_bench.results.judging import exit_code
from regtopk_bench.results.judging import failed as fails
from regtopk_bench.results.schema import Result
from regtopk_bench.results.verdict import Verdict

_NOT_RUN: Final = 3
"""The exit code for a cell that could not be run."""


def failure(result: Result, verdict: Verdict) -> Literal["regression", "not run"] | None:
    """Return in which way a verdict fails the check; None if it does not."""
    allow_new, allow_missing = (_flag(result, name) for name in ("allow_new", "allow_missing"))
    if not fails(verdict, allow_new=allow_new, allow_missing=allow_missing):
        return None
    code = exit_code([verdict], allow_new=allow_new, allow_missing=allow_missing)
    return "not run" if code == _NOT_RUN else "regression"


def _flag(result: Result, name: str) -> bool:
    return name in result.settings and bool(result.settings[name].value)
