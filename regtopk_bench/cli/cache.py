"""`regtopk-bench cache`: where images and doctor's answers are kept, how much, and away with it."""

from __future__ import annotations

from pathlib import Path

from regtopk_bench import image_cache
from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.report.folders import CachePart, cache_table
from regtopk_bench.report.listing import print_listing, size
from regtopk_bench.results import diagnosis


def show_cache(invocation: Invocation, *, clear: bool = False) -> None:
    """Print what is in the cache; first remove the images, if that is wanted."""
    settings = invocation.resolved.settings
    cache = Path(settings.cache)
    if clear:
        freed = image_cache.clear(cache)
        invocation.note(f"removed {size(freed).text} of images from {cache}")
    parts = [
        CachePart(each.kind, each.folder, len(each.items), each.size)
        for each in image_cache.contents(cache)
    ]
    answers = diagnosis.kept(cache)
    taken = sum(each.stat().st_size for each in answers)
    parts.append(CachePart("answers of doctor", cache, len(answers), taken))
    notes = ["with --clear, images are removed; a run reads, unpacks or fetches them again"]
    table = cache_table(cache, parts, [] if clear else notes)
    print_listing(table, settings.format, invocation.out)
