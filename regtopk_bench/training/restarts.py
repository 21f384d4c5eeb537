"""How often a run that has lost processes may start them again."""

from __future__ import annotations

import warnings

from regtopk_bench.arguments import whole
from regtopk_bench.errors import RestartWarning, WorkerDiedError

RESTARTS = 3
"""How often the processes of a run are started again, unless a caller says otherwise: more often
than chance takes them, and few enough for a run that kills its own to end soon."""


class Restarts:
    """Those of one run.

    They are not counted anew when the run gets further: it might lose its processes at each round,
    and nobody would be told that something is wrong.

    Attributes:
        made: How many so far.
    """

    def __init__(self, allowed: int) -> None:
        """Allow so many.

        Raises:
            ConfigurationError: If that is no whole number, at least 0.
        """
        self._allowed, self.made = whole(allowed, "restarts"), 0

    def another(self, error: BaseException | None, run: str, finished: int) -> bool:
        """Tell whether to start processes again after an error; if so, count that, and warn.

        Args:
            error: Of a process that was lost, it says after how many restarts if that is the last.
            run: What goes on, such as "topk seed 0".
            finished: The round after which it does; 0 for the beginning.
        """
        if not isinstance(error, WorkerDiedError):
            return False
        if self.made == self._allowed:
            error.restarts = self.made
            return False
        self.made += 1
        how = f"goes on after round {finished}" if finished else "starts from the beginning"
        count = f"restart {self.made} of {self._allowed}"
        warnings.warn(f"{error.what}; {run} {how} ({count})", RestartWarning, stacklevel=3)
        return True
