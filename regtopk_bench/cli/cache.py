"""`regtopk-bench cache`: which images and answers of doctor are kept, and how it is cleared."""

from __future__ import annotations

from pathlib import Path

from regtopk_bench import image_cache
from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.report.listing import print_listing, size
from regtopk_bench.report.table import Column, Entry, Row, Table
from regtopk_bench.results import diagnosis

_COLUMNS = (
    Column("what", "what", left=True),
    Column("folder", "folder", left=True, breaks="/"),
    Column("items", "items"),
    Column("size", "bytes"),
)


def show_cache(invocation: Invocation, *, clear: bool = False) -> None:
    """Print what is in the cache; first remove the images, if that is wanted."""
    settings = invocation.resolved.settings
    cache = Path(settings.cache)
    if clear:
        freed = image_cache.clear(cache)
        invocation.note(f"removed {size(freed).text} of images from {cache}")
    kept = [(each.kind, each.folder, each.items, each.size) for each in image_cache.contents(cache)]
    answers = diagnosis.kept(cache)
    kept.append(("answers of doctor", cache, answers, sum(each.stat().st_size for each in answers)))
    rows = [
        Row([Entry(kind), Entry(str(folder)), Entry(str(len(items)), len(items)), size(taken)])
        for kind, folder, items, taken in kept
    ]
    total = sum(taken for *_, taken in kept)
    notes = ["with --clear, images are removed; a run reads, unpacks or fetches them again"]
    table = Table(f"{cache}: {size(total).text}", _COLUMNS, rows, [] if clear else notes)
    print_listing(table, settings.format, invocation.out)
