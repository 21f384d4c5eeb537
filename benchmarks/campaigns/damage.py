"""Damage to files: bytes, values in JSON and TOML, and what is no file at all."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_RAW = "@raw@"
"""Stands for text that `json.dumps` would not write."""

_HOSTILE_JSON: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 2**63, 2**64, 1e308, 0.5, "", "x", "nan", "inf", [], {}, [[]]),
    *("\0", "\x1b[31m", "a\nb", "[bold]", "🦊" * 40, "x" * 5000, "..", "/", {"a": None}, [None]),
    *(_RAW + raw for raw in ("9" * 5000, "-1e400", "NaN", "Infinity", '"\\ud800"')),
    *(_RAW + raw for raw in ("[" * 5000, "[" * 5000 + "]" * 5000, '{"a":' * 900 + "1" + "}" * 900)),
)
_HOSTILE_TOML = (
    *("true", "false", "-1", "0", "1.5", "nan", "inf", "-inf", "1e400", "9" * 400, "0x10", "1_000"),
    *('""', '"x"', '"nan"', '"\\u0000"', '"\\u001b[31m"', '"a\\nb"', '"~nouser/x"', "'''\nx\n'''"),
    *("1979-05-27", "07:32:00", "[]", "[[]]", "[1, [2]]", "{}", "{a = 1}", '["topk", 1]', "[nan]"),
    *("[" * 3000 + "]" * 3000, '"' + "x" * 10_000 + '"', '"\\ud800"', '"١٢"', "", "= 1"),
)
_HOSTILE_LINES = (
    "[x]",
    "[[defaults]]",
    "[defaults.linreg]",
    "rounds = 3",
    "version = 1",
    "\0",
    "\x1b",
)

Damage = tuple[str, bytes]
"""What was done, and the damaged content."""


def of_bytes(content: bytes, draw: random.Random) -> Damage:
    """Damage any content."""
    how, change = draw.choice(list(_BYTES.items()))
    start = draw.randrange(len(content))
    stop = min(len(content), start + draw.choice((1, 2, 16, 200, 2000)))
    return how, change(content, start, stop, draw)


def _flip(content: bytes, start: int, stop: int, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _swap(content: bytes, start: int, stop: int, draw: random.Random) -> bytes:
    size = stop - start
    after = content[stop : stop + size]
    return content[:start] + after + content[start:stop] + content[stop + size :]


_BYTES: dict[str, Callable[[bytes, int, int, random.Random], bytes]] = {
    "bits flipped": _flip,
    "truncated": lambda content, start, stop, draw: content[:start],
    "the start lost": lambda content, start, stop, draw: content[start:],
    "a range lost": lambda content, start, stop, draw: content[:start] + content[stop:],
    "a range doubled": lambda content, start, stop, draw: content[:stop] + content[start:],
    "a range of zeros": lambda content, start, stop, draw: (
        content[:start] + bytes(stop - start) + content[stop:]
    ),
    "a range of ones": lambda content, start, stop, draw: (
        content[:start] + b"\xff" * (stop - start) + content[stop:]
    ),
    "random bytes inserted": lambda content, start, stop, draw: (
        content[:start] + draw.randbytes(stop - start) + content[start:]
    ),
    "random bytes at the end": lambda content, start, stop, draw: (
        content + draw.randbytes(stop - start)
    ),
    "ranges swapped": _swap,
}


def of_json(content: bytes, draw: random.Random) -> Damage:
    """Damage a value of a JSON document, or one of JSON lines."""
    lines = content.decode().splitlines()
    number = draw.randrange(len(lines))
    document = json.loads(lines[number])
    place, key = draw.choice(list(_places(document)))
    value = draw.choice(_HOSTILE_JSON)
    how = draw.choice(("replaced", "replaced", "replaced", "removed", "renamed", "doubled"))
    if how == "removed":
        del place[key]
    elif how == "renamed" and isinstance(place, dict):
        place[str(value)[:50]] = place.pop(key)
    elif how == "doubled" and isinstance(place, list):
        place.insert(key, place[key])
    else:
        how, place[key] = f"replaced by {str(value)[:20]!r}", value
    text = json.dumps(document)
    text = re.sub(rf'"{_RAW}((?:[^"\\]|\\.)*)"', lambda found: json.loads(f'"{found[1]}"'), text)
    lines[number] = text
    return f"{key!r} in line {number + 1} {how}", "".join(f"{each}\n" for each in lines).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container in a document with each of its keys; of long lists, the ends."""
    keys = list(value) if isinstance(value, dict) else []
    if isinstance(value, list):
        keys = sorted({*range(len(value))[:3], *range(len(value))[-1:]})
    for key in keys:
        yield value, key
        yield from _places(value[key])


def of_toml(content: bytes, draw: random.Random) -> Damage:
    """Damage a line of a settings file."""
    lines = content.decode().splitlines()
    number = draw.choice([n for n, line in enumerate(lines) if "=" in line])
    key, _, value = lines[number].partition("=")
    hostile = draw.choice(_HOSTILE_TOML)
    how = draw.choice(("value", "value", "value", "key", "line"))
    if how == "value":
        lines[number] = f"{key}= {hostile}"
    elif how == "key":
        other = draw.choice(("x", "mu", '"a\\nb"', "resume", f"{key.strip()}s"))
        lines[number] = f"{other} ={value}"
    else:
        hostile = draw.choice(_HOSTILE_LINES)
        lines.insert(draw.randrange(len(lines)), hostile)
    return f"{how} {hostile[:20]!r} in line {number + 1}", "\n".join(lines).encode()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


NO_FILES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "a byte order mark": lambda path: path.write_bytes(b"\xef\xbb\xbf"),
    "missing": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a FIFO": _fifo,
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a device": lambda path: path.symlink_to("/dev/null"),
}
"""What may be where a file was expected."""
