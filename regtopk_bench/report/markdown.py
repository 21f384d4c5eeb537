"""Text in GitHub's Markdown, so that whatever is in it is shown and not interpreted."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"[\\`*<&|~\[\]]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown or HTML would interpret; underscores within a word are not."""

_SIGN = re.compile(r"(?<![^\s(\[±])-(?=\d)")
"""A minus before a number, and not what joins the ends of a range or begins an option."""

_AROUND = re.compile(r"(?<=\d)±(?=\d)")

_BACKTICKS = re.compile("`+")


def escaped(text: str) -> str:
    """Return a line of text with backslashes before what Markdown would interpret."""
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", text)


def typeset(text: str) -> str:
    """Return text with real minus signs, and with room around ± between numbers."""
    return _AROUND.sub(" ± ", _SIGN.sub("−", text))


def code(text: str) -> str:
    """Return a line of text as code, outside of tables."""
    fence = "`" * (max(map(len, _BACKTICKS.findall(text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"
