"""What a step costs on a network with each sparsifier: what `cost` prints, as a document."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import Field

from regtopk_bench.algorithms import REFERENCE, algorithm
from regtopk_bench.network import Exchange, Network, Step, pays_below
from regtopk_bench.results.labels import labels, parameters
from regtopk_bench.results.schema import TrainingCell
from regtopk_bench.results.statistics import Variant
from regtopk_bench.results.values import Facts, Model, Number, Scalar

SCHEMA: Final = "regtopk-bench.cost"
VERSION: Final = 1

Pays = Literal["never", "below", "always"]


class Footprint(Model):
    """What a sparsifier sends in a step, and how long it takes to choose that."""

    message_bytes: Number
    """Of a worker's message."""

    summed_bytes: float | None
    """Of a sum of messages that can take their place on the way, as all workers send the same
    entries; null where every message has to reach every worker."""

    aggregate_bytes: Number
    """Of the sum of all messages, at most, as a parameter server would send it."""

    coordination_bytes: Number
    """What a worker sends to agree on a selection."""

    encoding: str
    """How the bytes of a message are counted, in words."""

    sparsify_seconds: Number
    """The sparsifier's own time."""

    def exchange(self, network: Network, workers: int) -> Exchange:
        """Return what exchanging the messages takes."""
        exchange = network.exchange(
            workers, self.message_bytes, self.summed_bytes, self.aggregate_bytes
        )
        if not self.coordination_bytes:
            return exchange
        return network.all_gather(workers, self.coordination_bytes).then(exchange)


class Timed(Model):
    """How long steps take, and when that is less than with the reference."""

    seconds: Number
    """Of a step."""

    to_target: float | None = None
    """Seconds until the target; null where the rounds that it takes are not known."""

    speed_up: float | None = None
    """How many times as long the reference takes: for a step or, with a saved result, until the
    target; null where that does not say how many rounds both take."""

    pays: Pays | None = None
    """On which links between nodes it is faster than the reference; null as above, and for the
    reference itself."""

    pays_below: float | None = None
    """The bandwidth, in bit/s, on all links below which it is; null unless `pays` is "below"."""

    @property
    def break_even(self) -> float | None:
        """That bandwidth as a number: infinity for "always", 0 for "never"."""
        return {"always": math.inf, "never": 0.0}.get(self.pays or "", self.pays_below)


class CostLine(Variant):
    """What a step costs with one sparsifier."""

    sparsifier: Facts
    """As in the cells of results."""

    footprint: Footprint

    @property
    def cell(self) -> TrainingCell:
        """A cell with this sparsifier, by which it is named and drawn."""
        return cell_of(self.sparsifier)

    sent_bytes: Number
    """What a worker sends in a step, in all: messages of others that it passes on are counted."""

    received_bytes: Number
    """What a worker receives in a step."""

    communication_seconds: Number
    """In which messages travel."""

    in_result: bool
    """Whether the saved result, if there is one, has it."""

    rounds_to_target: float | None
    """In that result, a mean over the seeds; null if it has none, or one did not reach it."""

    exposed: Timed
    """Where messages travel after the backward pass."""

    overlapped: Timed
    """Where they travel during the backward pass, each part as soon as it is there."""


class Rounds(Model):
    """What a saved result says about the rounds to its target."""

    result: str
    """Where it was found."""

    target: str
    """What should be reached, in words."""

    workers: int
    """With how many workers it was measured."""


class Costs(Model):
    """What a step costs on a network."""

    schema_name: Literal["regtopk-bench.cost"] = Field(default=SCHEMA, alias="schema")
    version: Literal[1] = VERSION
    created: str
    """UTC, ISO 8601."""
    params: int
    """J."""
    workers: int
    """N."""
    dtype: str
    """Of values that travel."""
    network: str
    compute_seconds: float
    """Of a step's computation, without the sparsifier."""
    backward_seconds: float
    """Of the backward pass, a part of that."""
    counted: int
    """The entries of the gradient whose messages were counted; they stand for all J."""
    timed: int | None
    """The entries of the gradient on which sparsifiers were timed; null if their time was given."""
    device: str
    """Where they were timed."""
    environment: dict[str, Scalar]
    """On which machine."""
    rounds: Rounds | None
    lines: list[CostLine] = Field(default_factory=list)

    @property
    def reference(self) -> CostLine:
        """What the others are compared with."""
        return next(each for each in self.lines if each.algorithm == REFERENCE.name)

    def step(self, footprint: Footprint, *, overlapped: bool) -> Step:
        """Return a step with such a sparsifier on this network."""
        exchange = footprint.exchange(Network.parse(self.network), self.workers)
        hidden = self.backward_seconds if overlapped else 0.0
        return Step(self.compute_seconds, footprint.sparsify_seconds, exchange, hidden)

    def time(self, timed: Timed) -> float | None:
        """Return what is compared: seconds to the target with a saved result, else of a step."""
        return timed.to_target if self.rounds else timed.seconds

    def of(self, entries: Sequence[Entry]) -> Costs:
        """Return the costs of sparsifiers; the reference must be among them."""
        named = labels(entry.cell for entry in entries)
        (reference,) = (each for each in entries if each.cell.algorithm == REFERENCE.name)
        lines = [_line(self, each, reference, str(named[each.cell.group])) for each in entries]
        return self.model_copy(update={"lines": lines})


@dataclass(frozen=True)
class Entry:
    """A sparsifier whose costs are asked for."""

    cell: TrainingCell
    footprint: Footprint
    in_result: bool = False
    """Whether a saved result has it."""
    rounds: float | None = None
    """To the target in that result; None if it was not reached."""


def cell_of(sparsifier: Facts) -> TrainingCell:
    """Return a cell that stands for a sparsifier, whatever is trained."""
    return TrainingCell(problem={"workload": "cost"}, sparsifier=sparsifier, recipe={}, seed=0)


def _line(known: Costs, entry: Entry, reference: Entry, label: str) -> CostLine:
    facts, footprint = entry.cell.sparsifier, entry.footprint
    exchange = footprint.exchange(Network.parse(known.network), known.workers)
    density = float(facts.get("density") or float(facts.get("k") or known.params) / known.params)
    return CostLine(
        group=entry.cell.group,
        label=label,
        density=density,
        algorithm=entry.cell.algorithm,
        has_density="density" in facts or "k" in facts,
        parameters=parameters(entry.cell),
        achievable=algorithm(entry.cell.algorithm).achievable,
        sparsifier=facts,
        footprint=footprint,
        sent_bytes=exchange.way.sent,
        received_bytes=exchange.way.received,
        communication_seconds=exchange.seconds,
        in_result=entry.in_result,
        rounds_to_target=entry.rounds,
        exposed=_timed(known, entry, reference, overlapped=False),
        overlapped=_timed(known, entry, reference, overlapped=True),
    )


def _timed(known: Costs, entry: Entry, reference: Entry, *, overlapped: bool) -> Timed:
    ours, theirs = (
        known.step(each.footprint, overlapped=overlapped) for each in (entry, reference)
    )
    found = Timed(
        seconds=ours.seconds,
        to_target=None if entry.rounds is None else entry.rounds * ours.seconds,
    )
    ratio = 1.0
    if known.rounds:
        if entry.rounds is None or reference.rounds is None:
            return found
        ratio = entry.rounds / reference.rounds
    if entry is reference:
        return found.model_copy(update={"speed_up": 1.0})
    below = pays_below(ours, theirs, ratio)
    pays: Pays = "never" if not below else "always" if math.isinf(below) else "below"
    return found.model_copy(
        update={
            "speed_up": theirs.seconds / (ratio * ours.seconds),
            "pays": pays,
            "pays_below": below if pays == "below" else None,
        }
    )


def dump(costs: Costs) -> str:
    """Return a document as JSON."""
    return json.dumps(costs.model_dump(mode="json", by_alias=True), indent=1, allow_nan=False)
