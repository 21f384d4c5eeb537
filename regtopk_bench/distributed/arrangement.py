"""Which parameters' gradients are selected from together, and how that changes.

DDP groups its buckets anew after the first iteration; a run may go on in another process, with
other buckets, with more ranks or fewer. The same is done in every case: what the sections remember
is cut by parameter, and laid out for the new ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from regtopk_bench.distributed.parameters import Numbers, Parameters
from regtopk_bench.distributed.section import Gradient, Section
from regtopk_bench.sparsify import record
from regtopk_bench.sparsify.layout import entries_of, lay, memory_of, numbers_of

Scope = Literal["bucket", "global"]
Make = Callable[[Gradient], Section]
Entries = dict[str, Tensor]


class Arrangement:
    """The sections of a gradient.

    Attributes:
        sections: By the numbers of their parameters, in order.
        held: What was aggregated for parameters, by their numbers, while no rank used them.
        pending: A saved state to go on from, until the parameters have come.
    """

    def __init__(self, scope: Scope, seed: int, parameters: Parameters) -> None:
        """Start without any."""
        self.sections: dict[Numbers, Section] = {}
        self._scope, self._seed, self._parameters = scope, seed, parameters
        self.held: dict[int, Tensor] = {}
        self.pending: Mapping[str, Any] | None = None

    def due(self, came: Sequence[Numbers]) -> bool:
        """Tell whether gradients that came in these groups need other sections."""
        return self.pending is not None or any(
            group not in self.sections for group in self._wanted(came)
        )

    def settle(self, came: Sequence[Numbers], make: Make) -> None:
        """Make the sections for gradients that came in these groups.

        A saved state keeps its sections for an iteration: the first buckets of DDP are not those
        with which it was saved, but they will be again.

        Raises:
            ConfigurationError: If what was saved belongs to other parameters, or the sparsifier
                does not suit a section.
        """
        if self.pending is not None:
            self._restore(self.pending, make)
            self.pending = None
            if self._scope == "bucket":
                return
        before, self.sections = self.sections, {}
        remembered = {
            number: entries
            for group, section in before.items()
            for number, entries in self._cut(group, section)
        }
        taken = {section.gradient.part for section in before.values()}
        free = ((part,) for part in itertools.count() if (part,) not in taken)
        wanted = self._wanted(came)
        for group in wanted:
            section = before.get(group)
            if section is None:
                part = next(free) if len(wanted) > 1 else ()
                section = make(self._parameters.gradient(group, part, self._seed))
                if before:
                    numbers = numbers_of(next(iter(before.values())).state)
                    lay(section.state, self._joined(group, section, remembered), numbers)
            self.sections[group] = section

    def saved(self) -> dict[str, Any]:
        """Return all that the sections remember, and of which parameters; tensors are shared."""
        if self.pending is not None:
            return {name: self.pending[name] for name in ("parameters", "came", "sections", "held")}
        sections = [
            {
                "parameters": list(group),
                "part": list(section.gradient.part),
                "sparsifier": record(section.sparsifier, lenient=True),
                "entries": entries_of(section.state),
                "numbers": numbers_of(section.state),
                "memory": memory_of(section.state),
            }
            for group, section in self.sections.items()
        ]
        return {
            "parameters": self._parameters.record(),
            "came": [list(group) for group in self._parameters.came],
            "sections": sections,
            "held": self.held,
        }

    def _restore(self, saved: Mapping[str, Any], make: Make) -> None:
        """Make the sections as they were saved; memory is kept if the sparsifier is the same."""
        places = self._parameters.recognised(saved["parameters"], saved["came"])
        self.sections = {}
        for each in saved["sections"]:
            group = tuple(places[number] for number in each["parameters"])
            section = make(self._parameters.gradient(group, tuple(each["part"]), self._seed))
            same = each["sparsifier"] == record(section.sparsifier, lenient=True)
            memory = each["memory"] if same else {}
            lay(section.state, each["entries"], each["numbers"], memory)
            self.sections[group] = section
        self.held = {places[number]: held for number, held in saved["held"].items()}

    def _wanted(self, came: Iterable[Numbers]) -> list[Numbers]:
        if self._scope == "bucket":
            return list(came)
        return [tuple(sorted(itertools.chain.from_iterable(came)))]

    def _cut(self, group: Numbers, section: Section) -> Iterator[tuple[int, Entries]]:
        """Yield what a section remembers of each of its parameters."""
        sizes = self._parameters.sizes(group)
        parts = {name: row.split(sizes, dim=1) for name, row in entries_of(section.state).items()}
        for place, number in enumerate(group):
            yield number, {name: pieces[place] for name, pieces in parts.items()}

    def _joined(
        self, group: Numbers, section: Section, remembered: Mapping[int, Entries]
    ) -> Entries:
        """Return what is remembered of these parameters, in a row; 0 of one that is new."""
        fresh = dict(self._cut(group, section))
        known = {number: remembered.get(number, fresh[number]) for number in group}
        return {
            name: torch.cat([known[number][name] for number in group], dim=1)
            for name in known[group[0]]
        }
