"""How the curve of each configuration looks, and what the legend calls it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from regtopk_bench.algorithms import ALGORITHMS, Algorithm, Dash, algorithm
from regtopk_bench.results.labels import labels
from regtopk_bench.results.schema import TrainingCell

_OTHER_DASHES: tuple[Dash, ...] = ((3, 1), (1, 1), (6, 1, 1, 1), (4, 1, 1, 1, 1, 1))
"""For further configurations of an algorithm, which all have its colour."""


@dataclass(frozen=True)
class Curve:
    """The look of one configuration."""

    label: str
    colour: str
    dash: Dash
    alpha: float = 1.0

    @property
    def style(self) -> dict[str, Any]:
        """Keyword arguments for Matplotlib's `plot`.

        Lines with more gaps are drawn further in front: what they cover shows through.
        """
        gaps = sum(self.dash[1::2]) / sum(self.dash) if self.dash else 0.0
        dotted = bool(self.dash) and max(self.dash[::2]) <= 1
        return {
            "color": self.colour,
            "linestyle": (0, self.dash) if self.dash else "-",
            "linewidth": 1.8 if dotted else 1.5,
            "alpha": self.alpha,
            "zorder": 2 + gaps,
        }


def curves(cells: Iterable[TrainingCell]) -> dict[str, Curve]:
    """Return the curve of every configuration by its cells' `group`, in the legend's order.

    Configurations that differ only in their density look alike: each density has its own
    panels.
    """
    named = labels(cells)
    order = list(ALGORITHMS)
    ranks = {
        label.algorithm: order.index(label.algorithm) if label.algorithm in order else len(order)
        for label in named.values()
    }
    drawn: dict[str, Curve] = {}
    variants: dict[str, list[str]] = {}
    for group, label in sorted(named.items(), key=lambda item: ranks[item[1].algorithm]):
        known = variants.setdefault(label.algorithm, [])
        if label.legend not in known:
            known.append(label.legend)
        drawn[group] = _curve(algorithm(label.algorithm), label.legend, known.index(label.legend))
    return drawn


def _curve(row: Algorithm, label: str, variant: int) -> Curve:
    """Return the curve of an algorithm's first configuration, or of a further one."""
    if variant == 0:
        return Curve(label, row.colour, row.dash)
    dashes = [dash for dash in _OTHER_DASHES if dash != row.dash]
    return Curve(label, row.colour, dashes[(variant - 1) % len(dashes)], alpha=0.7)
