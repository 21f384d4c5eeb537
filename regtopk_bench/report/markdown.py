"""Text in GitHub's Markdown, so that whatever is in it is shown and not interpreted."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"[\\`*<&|~\[\]]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown or HTML would interpret; underscores within a word are not."""

_SIGN = re.compile(r"(?<![\w.])-(?=\d)")

_BACKTICKS = re.compile("`+")


def escaped(text: str) -> str:
    """Return a line of text with backslashes before what Markdown would interpret."""
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", text)


def typeset(text: str) -> str:
    """Return a number, with its interval if it has one, with a real minus sign and room for ±."""
    return _SIGN.sub("−", text).replace("±", " ± ")


def code(text: str) -> str:
    """Return a line of text as code, outside of tables."""
    fence = "`" * (max(map(len, _BACKTICKS.findall(text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"
