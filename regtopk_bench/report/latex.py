"""Text in LaTeX."""

from __future__ import annotations

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "μ": r"$\mu$",
    "ρ": r"$\rho$",
}


def latex(text: str) -> str:
    """Return a line of text as LaTeX sets it."""
    return "".join(_LATEX.get(character, character) for character in text)
