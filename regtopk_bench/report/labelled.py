"""Names of algorithms in documents: those of papers, in place of those that commands take."""

from __future__ import annotations

import re

from regtopk_bench.algorithms import ALGORITHMS

LABELS = {row.name: row.label for row in ALGORITHMS.values() if row.name != row.label}

ALGORITHM = rf"(?<![\w./-])(?P<algorithm>{'|'.join(LABELS)})(?![\w./-])"
"""A name by itself, and not within a path or the name of a cell."""

_NAMED = re.compile(rf"{ALGORITHM}(?::(?P<parameters>\w+=[^,\s]+(?:,\w+=[^,\s]+)*))?")


def labelled(text: str) -> str:
    """Return a text with `RegTop-k, mu=4, q=1e8` in place of `regtopk:mu=4,q=1e8`."""
    return _NAMED.sub(_label, text)


def _label(found: re.Match[str]) -> str:
    parameters = (found["parameters"] or "").split(",")
    return ", ".join(filter(None, [LABELS[found["algorithm"]], *parameters]))
