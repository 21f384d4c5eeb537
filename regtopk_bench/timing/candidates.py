"""What is timed: our kernels and other ways to select.

Every candidate does the whole operation. A step accumulates, scores, selects, emits ascending
indices with their values and updates the residual, whichever selection it uses.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.errors import ConfigurationError, suggest
from regtopk_bench.kernels import Guess, Implementation
from regtopk_bench.kernels.guess import misses
from regtopk_bench.timing import selections as selections_of
from regtopk_bench.timing.available import IMPLEMENTATIONS, OURS, is_known, runs_on
from regtopk_bench.timing.problem import KernelData
from regtopk_bench.timing.selections import RIVALS

_MU = 4.0
_OFF = 2.0
"""The factor by which a threshold is off in the case "missed"."""


class Candidate(ABC):
    """An operation to be timed."""

    operation: ClassVar[str]
    implementation: str
    case: str = ""
    slow: bool = True
    """Not warmed up, because it remembers nothing and takes long."""

    def __init__(self, data: KernelData) -> None:
        self.data = data

    def prepare(self, repeat: int) -> None:  # noqa: B027 - most need nothing
        """Prepare a repeat, before the clock starts."""

    @abstractmethod
    def run(self) -> Tensor | None:
        """Do the operation, and return the indices selected, (k,), if it selects any."""

    def expected(self) -> Tensor:
        """Return what should have been selected, (k,), ascending."""
        raise NotImplementedError

    def misses(self) -> int:
        """Return how often a remembered threshold did not hold."""
        return 0


class Step(Candidate):
    """A whole step of RegTop-k, always from the same residual or round after round."""

    operation = "step"

    def __init__(self, data: KernelData) -> None:
        super().__init__(data)
        self.residual = data.start_1J.clone()
        self.last, self.factors = data.last_1k, data.factors_1k
        self.grad = data.grads[0]
        self.sent_k: Tensor | None = None
        """The values sent by the last step, unless it was replayed from a graph."""

    def prepare(self, repeat: int) -> None:
        """Restore the residual, unless rounds follow each other; take the next gradient."""
        if self.data.restored:
            self.residual.copy_(self.data.start_1J)
        self.grad = self.data.grads[repeat % len(self.data.grads)]

    def expected(self) -> Tensor:
        """Return what the reference selects in the first step."""
        return self.data.expected_step


class OurStep(Step):
    """A step as states make it, past all checks, in one of the cases that determine its time.

    As in training, messages are written to two sets of outputs in turn.
    """

    slow = False

    def __init__(self, data: KernelData, name: str, module: Implementation, case: str) -> None:
        super().__init__(data)
        self.implementation, self._module, self.case = name, module, case
        self._guesses = [Guess()]
        self._this, self._other = self._room(), self._room()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._captured: Tensor | None = None

    def prepare(self, repeat: int) -> None:
        """Set up the case."""
        super().prepare(repeat)
        if self.case == "missed":
            threshold = self._guesses[0].threshold()
            if threshold:
                self._guesses[0].remember(_OFF * threshold)
        elif self.case != "warm" and self._graph is None:
            self._guesses = [Guess()]
        if self.case == "cold":
            self._module.release()
            self._this = self._other = None
        if self.case == "warm, graph" and self._graph is None:
            self._capture()

    def run(self) -> Tensor:
        """Step."""
        if self._graph is not None and self._captured is not None:
            self._graph.replay()
            return self._captured
        self._this, self._other = self._other, self._this
        selected, values = self._module.step(
            self.residual, self.grad, self.data.k, self.last, self.factors,
            self._guesses, self._this,
        )  # fmt: skip
        self.sent_k = values[0]
        if not self.data.restored:
            self.last = selected
        return selected[0]

    def misses(self) -> int:
        """See `Candidate.misses`."""
        return misses(self._guesses)

    def _room(self) -> tuple[Tensor, Tensor] | None:
        return torch.empty_like(self.data.last_1k), torch.empty_like(self.data.factors_1k)

    def _capture(self) -> None:
        self.grad = self.data.grads[0]
        self.run()  # compiles
        self.residual.copy_(self.data.start_1J)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._captured = self.run()
        self._graph = graph


class PlainStep(Step):
    """The step as most people write it, around a given selection."""

    def __init__(
        self, data: KernelData, name: str, select: Callable[[Tensor, int], Tensor]
    ) -> None:
        super().__init__(data)
        self.implementation, self._select = name, select

    def run(self) -> Tensor:
        """Step."""
        self.residual.add_(self.grad)
        score_J = self.residual[0].abs()
        score_J[self.last[0]] *= self.factors[0]
        selected = self._select(score_J, self.data.k).sort().values
        self.sent_k = self.residual[0][selected].clone()
        self.residual[0][selected] = 0.0
        if not self.data.restored:
            self.last = selected[None]
        return selected


class Selection(Candidate):
    """The k largest of given scores, in any order."""

    operation = "select"

    def __init__(
        self, data: KernelData, name: str, select: Callable[[Tensor, int], Tensor]
    ) -> None:
        super().__init__(data)
        self.implementation, self._select = name, select
        self.slow = name not in OURS
        self.score_J = data.grads[0][0].abs()

    def run(self) -> Tensor:
        """Select."""
        return self._select(self.score_J, self.data.k)

    def expected(self) -> Tensor:
        """Return what the reference selects."""
        return self.data.expected_selection


class DenseScore(Candidate):
    """RegTop-k's score of every entry, by the published formula."""

    operation = "score"
    implementation = "published formula"
    slow = False

    def __init__(self, data: KernelData) -> None:
        super().__init__(data)
        shape = data.start_1J[0]
        self._sent_J, self._mask_J = torch.zeros_like(shape), torch.zeros_like(shape)
        self._sent_J[data.last_1k[0]] = data.grads[-1][0][data.last_1k[0]]
        self._mask_J[data.last_1k[0]] = 1.0

    def run(self) -> None:
        """Score J entries: |a| · tanh(|1 + Δ|/μ), with Δ = Q where nothing was sent."""
        aggregate_J = self.data.grads[1][0]
        a_J = self.data.grads[0][0]
        delta_J = self._mask_J * (aggregate_J - self._sent_J) / a_J + 1e8 * (1.0 - self._mask_J)
        (a_J.abs() * ((1.0 + delta_J).abs() / _MU).tanh()).sum()


class OurScore(Candidate):
    """The same, as RegTop-k computes it: only the k factors that are not 1."""

    operation = "score"
    implementation = "k factors"
    slow = False

    def __init__(self, data: KernelData) -> None:
        super().__init__(data)
        self._sent_1k = data.grads[-1].gather(1, data.last_1k)
        self._weights_1 = torch.ones_like(self._sent_1k[:, 0])

    def run(self) -> None:
        """Gather what was received and compute the factors."""
        compute = kernels.unchecked(self._sent_1k)
        received_1k = compute.gather(self.data.grads[1][0], self.data.last_1k)
        compute.ratio(received_1k, self._sent_1k, self._weights_1, _MU).tanh_()


@dataclass(frozen=True)
class Timed:
    """What is timed, as a value."""

    operation: str
    """"step", "select" or "score"."""
    implementation: str
    case: str = ""


def planned(implementations: Iterable[str], *, device: str, restored: bool) -> list[Timed]:
    """Return what can be timed, without making it: steps first, then selections, then scores.

    Args:
        implementations: Some of `IMPLEMENTATIONS`, or modules by their dotted names; what does not
            run on the device is left out.
        device: "cpu" or "cuda".
        restored: Whether every step starts from the same residual: see `KernelData`.

    Raises:
        ConfigurationError: If one of them is unknown.
    """
    on_gpu = device == "cuda"
    names = [name for name in implementations if is_known(name) and runs_on(name, device)]
    steps, selections = [], []
    for name in names:
        if name == "reference":
            steps.append(Timed("step", name))
            selections.append(name)
        elif name in RIVALS:
            selections.append(name)
        else:
            if name not in OURS:
                _check_outside(name)
            cases = ["warm"]
            if restored and name in OURS:
                cases += ["sampled", "missed", "cold"] if not on_gpu else ["missed", "cold"]
                cases += ["warm, graph"] if on_gpu else []
            steps += [Timed("step", name, case) for case in cases]
            selections.append(name)
    if "torch.topk" in names:
        steps.append(Timed("step", "torch.topk"))
    scores = []
    if any(name in names for name in OURS):
        scores = [Timed("score", each.implementation) for each in (DenseScore, OurScore)]
    return [*steps, *(Timed("select", name) for name in selections), *scores]


def absence(timed: Timed) -> str | None:
    """Return why something planned cannot be timed here, if so: Numba, for one, is optional."""
    name = timed.implementation
    return selections_of.failure_to_load(name) if name in RIVALS else kernels.absence(name)


def candidate(data: KernelData, timed: Timed) -> Candidate:
    """Make a candidate for a problem."""
    name = timed.implementation
    if timed.operation == "score":
        return (DenseScore if name == DenseScore.implementation else OurScore)(data)
    module = None if name in RIVALS else kernels.implementation(name)
    if timed.operation == "step" and timed.case:
        assert module is not None
        return OurStep(data, name, module, timed.case)
    select = functools.partial(_select_with, module) if module else selections_of.rival(name)
    if timed.operation == "step":
        return PlainStep(data, name, select)
    return Selection(data, name, select)


def candidates(data: KernelData, implementations: Iterable[str]) -> Iterator[Candidate]:
    """Yield the candidates for a problem: see `planned`.

    Args:
        data: The data they work on.
        implementations: Some of `IMPLEMENTATIONS`; those that cannot run here are left out.

    Raises:
        ConfigurationError: If one of them is unknown.
    """
    device = data.start_1J.device.type
    for timed in planned(implementations, device=device, restored=data.restored):
        if not absence(timed):
            yield candidate(data, timed)


def _check_outside(name: str) -> None:
    """Raise ConfigurationError unless a dotted name is that of a module with kernels."""
    try:
        kernels.implementation(name)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}{suggest(name, IMPLEMENTATIONS)}") from error


def _select_with(module: Implementation, score_J: Tensor, k: int) -> Tensor:
    return module.select(score_J[None], k)[0]
