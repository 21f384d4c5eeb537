"""`regtopk-bench cifar`: networks that classify images, trained by simulated workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from os.path import lexists
from pathlib import Path

from regtopk_bench import image_cache
from regtopk_bench.cli.device import choose_device, memory_for
from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.progress import Counted
from regtopk_bench.cli.resuming import resume
from regtopk_bench.cli.session import Session
from regtopk_bench.cli.streams import unsay
from regtopk_bench.cli.training import ranks_of, train
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.experiments.grids import image_cells
from regtopk_bench.experiments.images import images_of
from regtopk_bench.settings import CifarSettings
from regtopk_bench.transport import Ranks
from regtopk_bench.workloads.images import ImageData

_MOST_IMAGES = 10**15


def run_cifar(invocation: Invocation) -> None:
    """Run every algorithm at every density on every seed."""
    with ranks_of(invocation) as ranks:
        _run_cifar(invocation, ranks)


def _run_cifar(invocation: Invocation, ranks: Ranks | None) -> None:
    invocation, resumed = resume(invocation, "cifar")
    settings: CifarSettings = invocation.resolved.settings
    per_round = settings.workers * settings.batch * settings.local_steps
    if per_round * settings.rounds > _MOST_IMAGES:
        raise ConfigurationError(
            f"{per_round * settings.rounds:.0e} images in a run, at a million per second, take "
            "longer than 30 years: lower --rounds, --local-steps, --workers or --batch"
        )
    device = choose_device(settings.device)
    with memory_for("the images", "give a smaller --image-size"):
        images = _images(invocation, settings)
    cells = image_cells(settings, images, device)
    session = Session(invocation, "cifar", resumed)
    train(session, cells, unit="images", per_round=per_round, ranks=ranks)


def _images(invocation: Invocation, settings: CifarSettings) -> ImageData:
    """Read, fetch or make the images, and show how far that is."""
    started = time.monotonic()
    kept = lexists(image_cache.fetched(Path(settings.cache)) / image_cache.CIFAR10)
    fetching = settings.data is None and settings.dataset == "cifar10" and not kept
    if fetching:
        invocation.starting("fetching CIFAR-10, 170 MB...")
    with Counted(invocation, 1, "images") as progress:
        data = images_of(
            settings,
            _teller(progress, "decoding images", lambda total: ("images", 1.0)),
            _teller(progress, f"unpacking {settings.data}", _bytes),
        )
    if fetching:
        unsay()
    if invocation.verbose:
        invocation.note(
            f"{len(data.train)} images to train on, {len(data.test)} to test with, "
            f"{len(data.classes)} classes, in {time.monotonic() - started:.1f} s"
        )
    return data


def _bytes(total: int) -> tuple[str, float]:
    """Return the unit in which so many bytes are shown, and how many bytes it is."""
    return ("kB", 1e3) if total < 1e6 else ("MB", 1e6)


def _teller(
    progress: Counted, doing: str, unit_for: Callable[[int], tuple[str, float]]
) -> Callable[[int, int], None]:
    """Return what shows how far one of several steps is, told how much is done of how much."""
    begun = False

    def tell(done: int, total: int) -> None:
        nonlocal begun
        unit, scale = unit_for(total)
        if not begun:
            begun = True
            progress.restart(total / scale, unit)
            progress.begin(doing)
        progress.update(done / scale)

    return tell
