"""The panel Execution: where and how to compute; little of it affects the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.settings import parsers
from regtopk_bench.settings.declare import Group, setting
from regtopk_bench.settings.kinds import (
    AtLeast,
    AtMost,
    AtOnce,
    AtOnceOrAuto,
    Count,
    Folder,
    Kind,
    Positive,
    RunFolder,
    Whole,
)
from regtopk_bench.settings.paths import CACHE

_IMPLEMENTATIONS = (
    "numba",
    "triton",
    "reference",
    "torch.topk",
    "torch.sort",
    "torch.kthvalue",
    "numpy.argpartition",
    "cupy.argpartition",
)

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class ExecutionSettings(Group, panel="Execution", decides=False):
    """How the cells of an experiment are run."""

    processes: AtOnceOrAuto = setting(
        "auto",
        "Processes that host the workers; auto takes the number expected to be fastest.",
        short="-p",
    )
    jobs: AtOnce = setting(
        1, "Cells that run at the same time, each in its own process.", short="-j"
    )
    timeout: Positive = setting(
        600.0,
        "Seconds that a process may keep the others waiting, or take for a round of its own cell, "
        "before it is given up.",
    )
    restarts: Whole = setting(
        3,
        "How often the processes of a cell are started again after one was lost; under torchrun "
        "its --max-restarts counts.",
    )
    checkpoint_every: Count = setting(1000, "Rounds between checkpoints.")
    resume: RunFolder | None = setting(
        None, "Folder of a run to resume, with its original settings."
    )

    def __post_init__(self) -> None:
        """Check constraints across settings."""
        super().__post_init__()
        if self.jobs > 1 and self.processes not in ("auto", 1):
            raise ConfigurationError(
                f"jobs {self.jobs} with processes {self.processes}: cells that run at the same "
                "time have one process each; give --processes 1 or auto"
            )


@dataclass(frozen=True, kw_only=True)
class ImageExecution(ExecutionSettings):
    """Where and in which precision a network is computed; devices round differently."""

    device: Device = setting("auto", "Where gradients are computed: {choices}.", decides=True)
    amp: bool = setting(False, "Compute in bfloat16 where that is safe.", decides=True)


@dataclass(frozen=True, kw_only=True)
class KernelsExecution(Group, panel="Execution", decides=False):
    """What is timed, where and how often; times depend on all but the number of repeats."""

    device: Device = setting("auto", "Where kernels run: {choices}.", decides=True)
    implementation: Annotated[
        tuple[str, ...],
        Kind(
            parsers.listing(parsers.choice_or_dotted(_IMPLEMENTATIONS)),
            "NAME",
            repeatable=True,
            choices=_IMPLEMENTATIONS,
        ),
    ] = setting(
        tuple(name for name in _IMPLEMENTATIONS if name != "reference"),
        "Implementation to time, repeatable: {choices}, or a module of your own by its dotted "
        "name. By default, all but reference that run here.",
        short="-i",
        decides=True,
    )
    repeats: Annotated[int, AtLeast(3), AtMost(1e6)] = setting(
        15,
        "Repeats; slow candidates get fewer, but at least three.",
        short="-r",
    )
    threads: AtOnceOrAuto = setting(
        "auto", "Threads on the CPU; auto takes as many as PyTorch does.", decides=True
    )


@dataclass(frozen=True, kw_only=True)
class CacheFolder(Group, panel="Execution", decides=False):
    """Where whatever can be made again is kept."""

    cache: Folder = setting(
        CACHE, "Folder for what is fetched, unpacked and decoded, and for answers of doctor."
    )
