"""Text for terminals whose encoding lacks some of its characters."""

from __future__ import annotations

_INSTEAD = {
    "±": "+-",
    "×": "x",
    "≤": "<=",
    "≥": ">=",
    "−": "-",
    "–": "-",
    "─": "-",
    "…": "...",
    "→": "->",
    "²": "^2",
    "η": "eta",
    "θ": "theta",
    "μ": "mu",
    "ρ": "rho",
    "σ": "sigma",
    "ε": "epsilon",
}


def encodable(text: str, encoding: str) -> str:
    """Return a text with characters that an encoding has: signs in ASCII, or else `?`."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(_encodable(character, encoding) for character in text)
    return text


def _encodable(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return _INSTEAD.get(character, "?")
    return character
