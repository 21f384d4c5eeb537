"""A sparsifier of a user's own, whose faults tests switch on by editing a line."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from regtopk_bench import SparseGradient
from regtopk_bench.sparsify import ErrorFeedback, ErrorFeedbackSparsifier

FAULT = "none"


@dataclass(frozen=True, kw_only=True)
class Mine(ErrorFeedbackSparsifier):
    """Top-k."""

    calls: ClassVar[list[None]] = []

    def compress(self, state: ErrorFeedback, grad_NJ: Tensor) -> SparseGradient:
        """Send the k largest |a| of every worker, or whatever the fault makes of it."""
        if FAULT == "raises":
            raise RuntimeError("a fault\nof two lines")
        if FAULT == "dies":
            os.abort()
        if FAULT == "hangs":
            time.sleep(1000)
        if FAULT == "tires":  # of what is asked of it in a process that times it
            self.calls.append(None)
            if len(self.calls) > 200:
                os.abort()
        if FAULT == "dawdles":
            time.sleep(0.03)
        if FAULT == "prints":
            print("to stdout")
        before_NJ = state.residual_NJ + grad_NJ
        message = state.step(grad_NJ)
        if FAULT == "keeps":
            state.residual_NJ.copy_(before_NJ)
        return message
