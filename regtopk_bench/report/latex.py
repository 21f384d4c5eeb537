r"""Tables in LaTeX, as a paper has them: they need the package booktabs and nothing else.

Algorithms have their proper names, symbols and numbers are formulas, so that a minus is one and
1e-06 a power of ten, and whatever is special to TeX is escaped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from regtopk_bench.report.labelled import ALGORITHM, LABELS

_CHARACTERS = {
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
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": r"$-$",
    "–": "--",
    "…": r"\ldots{}",
    "→": r"$\to$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∞": r"$\infty$",
    "²": r"$^2$",
    "ß": r"\ss{}",
}
_GREEK = {
    "α": r"\alpha",
    "β": r"\beta",
    "γ": r"\gamma",
    "δ": r"\delta",
    "ε": r"\varepsilon",
    "η": r"\eta",
    "θ": r"\theta",
    "λ": r"\lambda",
    "μ": r"\mu",
    "ρ": r"\rho",
    "σ": r"\sigma",
    "τ": r"\tau",
    "φ": r"\varphi",
    "ω": r"\omega",
}
_WORDS = {command[1:]: command for command in _GREEK.values()}
"""Greek letters by their names, as parameters have them."""

_ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": "`",
    "\N{COMBINING ACUTE ACCENT}": "'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": "^",
    "\N{COMBINING TILDE}": "~",
    "\N{COMBINING DIAERESIS}": '"',
    "\N{COMBINING RING ABOVE}": "r",
    "\N{COMBINING CARON}": "v",
    "\N{COMBINING CEDILLA}": "c",
}
"""The commands that put them on a letter."""

_NUMBER = r"[-+−]?\d+(?:[.,]\d+)*(?:e[-+]\d+(?!\w))?"
_TYPED = re.compile(
    rf"(?<![\w.])(?P<symbol>{'|'.join(_WORDS)}|[A-Za-z{''.join(_GREEK)}](?:/[A-Za-z])?)"
    rf"=(?P<value>{_NUMBER})(?!\w)"
    rf"|(?<![\w.])(?P<number>{_NUMBER})(?:±(?P<around>{_NUMBER}))?"
    rf"|{ALGORITHM}(?P<colon>:(?=\w+=))?"
    r"|(?<=[a-z])(?P<sparse>-k)(?!\w)"
    r"|(?<!\w)(?P<logarithm>log10)(?!\w)"
    r"|(?P<comma>,)(?=[A-Za-z_]\w*=)"
)
"""What is set otherwise than it is typed: `mu=4`, `-27.14±0.22`, `regtopk:mu=4`, `Top-k`, `log10`,
and the commas between parameters.
"""

_POINTS = (("small", 4.8), ("footnotesize", 4.4), ("scriptsize", 4.1))
"""Sizes of type, and how wide a character is in the mean."""

_GAP = 12.0
"""Points between columns."""

_COLUMN, _PAGE = 229.0, 469.0
"""Points: the widths of the standard class article, in two columns."""


@dataclass(frozen=True)
class Row:
    """The texts of a row."""

    texts: Sequence[str]
    marked: bool
    section_ends: bool


def latex(text: str) -> str:
    """Return a line of text as LaTeX sets it."""
    parts, at = [], 0
    for found in _TYPED.finditer(text):
        parts += [_escaped(text[at : found.start()]), _typed(found)]
        at = found.end()
    return "".join([*parts, _escaped(text[at:])])


def table(
    *,
    caption: str,
    label: str,
    headings: Sequence[str],
    left: Sequence[bool],
    rows: Sequence[Row],
    notes: Sequence[str],
    comments: Sequence[str],
) -> str:
    r"""Return a float with a caption above and notes below.

    Args:
        caption: One line.
        label: What `\ref` calls it.
        headings: Of each column, one line or several.
        left: Whether a column is set flush left, else flush right.
        rows: What is below the headings.
        notes: One line each.
        comments: Lines for those who read the file.
    """
    lines = [r"% Needs \usepackage{booktabs}.", *(f"% {each}" for each in comments)]
    size, environment = _fitting(headings, rows)
    lines += [
        rf"\begin{{{environment}}}",
        r"\centering",
        rf"\{size}",
        rf"\caption{{{latex(caption)}}}",
        rf"\label{{{label}}}",
    ]
    width = r"\linewidth"
    if headings:  # in a box, for notes as wide as it is
        tabular = _tabular(headings, left, rows)
        lines += [r"\smallskip", r"\sbox{0}{%", *tabular, r"}\usebox{0}"]
        width = r"\wd0"
    if notes:
        lines += [r"\par\smallskip", rf"\begin{{minipage}}{{{width}}}"]
        lines.append(r"\raggedright\footnotesize")
        lines += [rf"{_note(each)}\par" for each in notes]
        lines.append(r"\end{minipage}")
    return "\n".join([*lines, rf"\end{{{environment}}}"]) + "\n"


def _tabular(headings: Sequence[str], left: Sequence[bool], rows: Sequence[Row]) -> list[str]:
    stacks = [heading.split("\n") for heading in headings]
    height = max(map(len, stacks))
    stacks = [[""] * (height - len(stack)) + stack for stack in stacks]
    lines = [
        rf"\begin{{tabular}}{{@{{}}{''.join('l' if each else 'r' for each in left)}@{{}}}}",
        r"\toprule",
        *(_line([latex(each) for each in line]) for line in zip(*stacks, strict=True)),
        r"\midrule",
    ]
    for number, row in enumerate(rows):
        texts = [latex(text) for text in row.texts]
        if row.marked:
            texts = [rf"\textbf{{\boldmath {text}}}" if text else "" for text in texts]
            texts[0] += r"\textsuperscript{*}"
        lines.append(_line(texts))
        if row.section_ends and number + 1 < len(rows):
            lines.append(r"\midrule")
    return [*lines, r"\bottomrule", r"\end{tabular}%"]


def _line(texts: Sequence[str]) -> str:
    r"""Return a row; a bracket or an asterisk that begins it would belong to the `\\` before."""
    line = " & ".join(texts)
    return f"{'{}' if line[:1] in ('[', '*') else ''}{line} \\\\"


def _note(text: str) -> str:
    mark = text.startswith("* ")
    return rf"\textsuperscript{{*}}\,{latex(text[2:])}" if mark else latex(text)


def _fitting(headings: Sequence[str], rows: Sequence[Row]) -> tuple[str, str]:
    """Return the size of type and the environment: in one column if there is room, else in both."""
    lengths = [max(map(len, heading.split("\n"))) for heading in headings]
    for row in rows:
        texts = [f"{text} *" if row.marked else text for text in row.texts]
        lengths = [max(pair) for pair in zip(lengths, map(len, texts), strict=True)]
    for environment, room in (("table", _COLUMN), ("table*", _PAGE)):
        for size, points in _POINTS if environment == "table*" else _POINTS[:1]:
            if points * sum(lengths) + _GAP * (len(lengths) - 1) <= room:
                return size, environment
    return _POINTS[-1][0], "table*"


def _typed(found: re.Match[str]) -> str:
    """Return what LaTeX sets otherwise than it is typed."""
    if found["symbol"]:
        symbol = _WORDS.get(found["symbol"], found["symbol"])
        return f"${_GREEK.get(symbol, symbol)}={_formula(found['value'])}$"
    if found["around"]:
        return rf"${_formula(found['number'])} \pm {_formula(found['around'])}$"
    if found["number"]:
        formula = _formula(found["number"])
        return f"${formula}$" if set(formula) & set("-+^") else found["number"]
    if found["algorithm"]:
        return latex(LABELS[found["algorithm"]]) + (", " if found["colon"] else "")
    if found["sparse"]:
        return "-$k$"
    return r"$\log_{10}$" if found["logarithm"] else ", "


def _formula(number: str) -> str:
    """Return a number within a formula."""
    mantissa, _, exponent = number.replace("−", "-").replace(",", "{,}").partition("e")
    if not exponent:
        return mantissa
    sign = mantissa.removesuffix("1") if mantissa in ("1", "+1", "-1") else None
    power = f"10^{{{int(exponent)}}}"
    return f"{mantissa} \\times {power}" if sign is None else f"{sign}{power}"


def _escaped(text: str) -> str:
    return "".join(map(_character, text))


def _character(each: str) -> str:
    """Return a character as LaTeX sets it; one that it has no type for as Python writes it."""
    if each in _GREEK:
        return f"${_GREEK[each]}$"
    if each in _CHARACTERS or each.isascii():
        return _CHARACTERS.get(each, each)
    letter, *marks = list(unicodedata.normalize("NFD", each))
    if letter.isascii() and letter.isalpha() and len(marks) == 1 and marks[0] in _ACCENTS:
        return rf"\{_ACCENTS[marks[0]]}{{{letter}}}"
    return _escaped(each.encode("unicode_escape").decode())
