"""`regtopk-bench cifar`: networks that classify images, trained by simulated workers."""

from __future__ import annotations

import time
from collections.abc import Callable

from regtopk_bench.cli.device import choose_device, memory_for
from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.progress import Counted
from regtopk_bench.cli.resuming import resume
from regtopk_bench.cli.session import Session
from regtopk_bench.cli.training import train
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.experiments.grids import image_cells
from regtopk_bench.experiments.images import images_of
from regtopk_bench.settings import CifarSettings
from regtopk_bench.transport import Ranks, joined
from regtopk_bench.workloads.images import ImageData

_MOST_IMAGES = 10**15


def run_cifar(invocation: Invocation) -> None:
    """Run every algorithm at every density on every seed."""
    with joined() as ranks:
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
    with Counted(invocation, 1, "images") as progress:
        data = images_of(
            settings,
            _teller(progress, "decoding images", "images"),
            _teller(progress, f"unpacking {settings.data}", "MB", 1e6),
        )
    if invocation.verbose:
        invocation.note(
            f"{len(data.train)} images to train on, {len(data.test)} to test with, "
            f"{len(data.classes)} classes, in {time.monotonic() - started:.1f} s"
        )
    return data


def _teller(
    progress: Counted, doing: str, unit: str, scale: float = 1.0
) -> Callable[[int, int], None]:
    """Return what shows how far one of several steps is, told how much is done of how much."""
    begun = False

    def tell(done: int, total: int) -> None:
        nonlocal begun
        if not begun:
            begun = True
            progress.restart(total / scale, unit)
            progress.begin(doing)
        progress.update(done / scale)

    return tell
