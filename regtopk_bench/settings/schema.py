"""The settings of every command: one frozen dataclass each, the only list of its options.

A field holds the built-in default; its metadata says how the value is parsed and how the
option is shown. Flags, environment variables, TOML keys, help and `config` all follow it.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.settings import parsers
from regtopk_bench.settings.parsers import Parser

ALGORITHM_NAMES = ("dense", "topk", "regtopk", "randomk", "oracle")
DEVICES = ("auto", "cpu", "cuda")
DISTRIBUTIONS = ("normal", "heavy", "ties", "constant", "replay")
SELECTIONS = (
    "torch.topk",
    "torch.sort",
    "torch.kthvalue",
    "numpy.argpartition",
    "cupy.argpartition",
)
IMPLEMENTATIONS = ("numba", "triton", "reference", *SELECTIONS)
FORMATS = ("table", "json", "csv", "markdown", "latex")
PLOT_FORMATS = ("png", "svg", "pdf")

PROBLEM = "Problem"
TRAINING = "Training"
SPARSIFICATION = "Sparsification"
EXECUTION = "Execution"
REPORT = "Report"


@dataclass(frozen=True)
class Spec:
    """How a setting is given and shown."""

    help: str
    panel: str
    parse: Parser
    metavar: str
    short: str | None = None
    repeatable: bool = False


def setting(
    default: Any,
    help: str,
    panel: str,
    parse: Parser,
    metavar: str,
    short: str | None = None,
    repeatable: bool = False,
) -> Any:
    """Declare a setting."""
    spec = Spec(help, panel, parse, metavar, short, repeatable)
    return field(default=default, metadata={"spec": spec})


def other_default(settings: type[Any], name: str, default: Any) -> Any:
    """Declare a setting of another command again, with another default."""
    (declared,) = (each for each in fields(settings) if each.name == name)
    return field(default=default, metadata=declared.metadata)


def spec_of(declared: Field[Any]) -> Spec:
    """Return how a field was declared."""
    spec: Spec = declared.metadata["spec"]
    return spec


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """How results are printed and kept."""

    format: str = setting(
        "table",
        "Format of what is printed: " + ", ".join(FORMATS) + ".",
        REPORT,
        parsers.choice(FORMATS),
        "NAME",
        "-f",
    )
    output: str = setting(
        "runs", "Folder in which each run makes its own.", REPORT, parsers.text, "DIR", "-o"
    )
    save: bool = setting(
        True, "Save result.json, traces.csv and the plot.", REPORT, parsers.boolean, ""
    )
    plot_format: str = setting(
        "png",
        "Format of the plot: " + ", ".join(PLOT_FORMATS) + ".",
        REPORT,
        parsers.choice(PLOT_FORMATS),
        "NAME",
    )


@dataclass(frozen=True, kw_only=True)
class RegTopKSettings:
    """The hyper-parameters of RegTop-k."""

    mu: float = setting(
        4.0, "Temperature μ of RegTop-k.", SPARSIFICATION, parsers.number(above=0.0), "FLOAT"
    )
    q: float = setting(
        1e8,
        "Distortion Q that RegTop-k assumes where nothing was sent.",
        SPARSIFICATION,
        parsers.number(above=0.0),
        "FLOAT",
    )
    denominator: str = setting(
        "previous",
        "Accumulated gradient that divides in RegTop-k's distortion: previous, current.",
        SPARSIFICATION,
        parsers.choice(("previous", "current")),
        "NAME",
    )


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings(RegTopKSettings, ReportSettings):
    """Several algorithms on one problem."""

    workers: int = setting(
        20, "Number of simulated workers, N.", PROBLEM, parsers.integer(1), "INT", "-n"
    )
    rounds: int = setting(2500, "Rounds of training.", TRAINING, parsers.integer(0), "INT", "-r")
    learning_rate: float = setting(
        0.01, "Learning rate η.", TRAINING, parsers.number(above=0.0), "FLOAT", "-l"
    )
    seeds: tuple[int, ...] = setting(
        (0,),
        "Seeds of data, initial parameters and draws: 0-4 or 0,3,7. Several give intervals.",
        TRAINING,
        parsers.seeds,
        "LIST",
        "-s",
    )
    algorithm: tuple[str, ...] = setting(
        ("dense", "topk", "regtopk", "oracle"),
        "Algorithm to run, repeatable: " + ", ".join(ALGORITHM_NAMES) + ".",
        SPARSIFICATION,
        parsers.listing(parsers.choice(ALGORITHM_NAMES)),
        "NAME",
        "-a",
        repeatable=True,
    )
    density: tuple[float, ...] = setting(
        (0.4, 0.6),
        "Fraction of entries kept, k/J, repeatable.",
        SPARSIFICATION,
        parsers.listing(parsers.density),
        "FLOAT",
        "-d",
        repeatable=True,
    )
    k: tuple[int, ...] = setting(
        (),
        "Entries per message, instead of a density, repeatable.",
        SPARSIFICATION,
        parsers.listing(parsers.integer(1)),
        "INT",
        "-k",
        repeatable=True,
    )
    processes: int | str = setting(
        "auto",
        "Processes that host the workers; auto takes what should be fastest.",
        EXECUTION,
        parsers.processes,
        "INT|auto",
        "-p",
    )

    def __post_init__(self) -> None:
        """Check what concerns several settings at once."""
        if isinstance(self.processes, int) and self.processes > self.workers:
            raise ConfigurationError(
                f"processes {self.processes} exceeds workers {self.workers}: lower --processes"
            )


@dataclass(frozen=True, kw_only=True)
class LinregSettings(ComparisonSettings):
    """Distributed linear regression, by default in the paper's setting."""

    samples: int = setting(500, "Data points per worker, D.", PROBLEM, parsers.integer(1), "INT")
    dim: int = setting(100, "Number of parameters, J.", PROBLEM, parsers.integer(1), "INT")
    mean_variance: float = setting(
        5.0,
        "Variance of the mean of each worker's model: how much workers disagree.",
        PROBLEM,
        parsers.number(minimum=0.0),
        "FLOAT",
    )
    model_variance: float = setting(
        1.0,
        "Variance of a model's entries around its mean.",
        PROBLEM,
        parsers.number(minimum=0.0),
        "FLOAT",
    )
    noise_variance: float = setting(
        0.5, "Variance of the noise on targets.", PROBLEM, parsers.number(minimum=0.0), "FLOAT"
    )
    dtype: str = setting(
        "float64",
        "Precision of data and gradients: float32, float64.",
        PROBLEM,
        parsers.choice(("float32", "float64")),
        "NAME",
    )
    target: float = setting(
        1e-6, "Gap whose first round is reported.", REPORT, parsers.number(above=0.0), "FLOAT"
    )

    def __post_init__(self) -> None:
        """Check what concerns several settings at once."""
        super().__post_init__()
        for k in self.k:
            if k > self.dim:
                raise ConfigurationError(f"k {k} exceeds dim {self.dim}: lower --k or raise --dim")


@dataclass(frozen=True, kw_only=True)
class CifarSettings(ComparisonSettings):
    """A network that classifies images, trained by workers with their own."""

    dataset: str = setting(
        "cifar10",
        "Images where --data names none: cifar10, fetched once; synthetic, made up.",
        PROBLEM,
        parsers.choice(("cifar10", "synthetic")),
        "NAME",
    )
    data: str | None = setting(
        None,
        "Images: a cifar-10-batches-py folder, a folder with train/ and test/ or val/, or an "
        "archive of either.",
        PROBLEM,
        parsers.text,
        "PATH",
    )
    image_size: int | None = setting(
        None,
        "Side that images are brought to; else they are taken as they are.",
        PROBLEM,
        parsers.integer(1),
        "INT",
    )
    cache: str = setting(
        "~/.cache/regtopk-bench",
        "Folder for what is fetched, unpacked and decoded.",
        PROBLEM,
        parsers.text,
        "DIR",
    )
    model: str = setting(
        "cnn",
        "Network: cnn, resnet18 (with the stem for small images), or torchvision's by name.",
        PROBLEM,
        parsers.text,
        "NAME",
        "-m",
    )
    weights: str = setting(
        "none",
        "Weights to start from: none, imagenet (torchvision's), or a file.",
        PROBLEM,
        parsers.text,
        "NAME|PATH",
    )
    freeze_backbone: bool = setting(
        False, "Train the classifier only.", PROBLEM, parsers.boolean, ""
    )
    workers: int = other_default(ComparisonSettings, "workers", 8)
    partition: str = setting(
        "iid",
        "How images are dealt out: iid, iid-unequal, dirichlet:ALPHA, shards.",
        PROBLEM,
        parsers.text,
        "NAME",
    )
    weighting: str = setting(
        "equal",
        "Share ω of a worker in the aggregate: equal, or by the size of its data.",
        PROBLEM,
        parsers.choice(("equal", "size")),
        "NAME",
    )
    batch: int = setting(
        20, "Images per worker and step.", PROBLEM, parsers.integer(1), "INT", "-b"
    )
    augment: bool = setting(
        False, "Shift and mirror training images at random.", PROBLEM, parsers.boolean, ""
    )
    rounds: int = other_default(ComparisonSettings, "rounds", 500)
    learning_rate: float = other_default(ComparisonSettings, "learning_rate", 0.05)
    schedule: str = setting(
        "constant",
        "Course of the learning rate: constant, step (a tenth at 1/2 and 3/4), cosine.",
        TRAINING,
        parsers.choice(("constant", "step", "cosine")),
        "NAME",
    )
    warm_up: int = setting(
        0, "Rounds in which the learning rate rises.", TRAINING, parsers.integer(0), "INT"
    )
    momentum: float = setting(
        0.0,
        "Momentum of the update, applied on the aggregate, in [0, 1).",
        TRAINING,
        parsers.number(minimum=0.0, below=1.0),
        "FLOAT",
    )
    weight_decay: float = setting(
        0.0,
        "Weight decay, applied on the aggregate.",
        TRAINING,
        parsers.number(minimum=0.0),
        "FLOAT",
    )
    local_steps: int = setting(
        1, "Steps of a worker before it sends their sum.", TRAINING, parsers.integer(1), "INT"
    )
    evaluate_every: int = setting(
        50, "Rounds from one evaluation to the next.", TRAINING, parsers.integer(1), "INT"
    )
    algorithm: tuple[str, ...] = other_default(
        ComparisonSettings, "algorithm", ("dense", "topk", "regtopk")
    )
    density: tuple[float, ...] = other_default(ComparisonSettings, "density", (0.001,))
    mu: float = other_default(RegTopKSettings, "mu", 5.0)
    scope: str = setting(
        "global",
        "Where the k largest are sought: global, in the whole gradient; layer, in each tensor.",
        SPARSIFICATION,
        parsers.choice(("global", "layer")),
        "NAME",
    )
    device: str = setting(
        "auto",
        "Where gradients are computed: " + ", ".join(DEVICES) + ".",
        EXECUTION,
        parsers.choice(DEVICES),
        "NAME",
    )
    amp: bool = setting(
        False, "Compute in bfloat16 where that is safe.", EXECUTION, parsers.boolean, ""
    )
    checkpoint_every: int = setting(
        50, "Rounds from one checkpoint to the next.", EXECUTION, parsers.integer(1), "INT"
    )
    resume: str | None = setting(
        None,
        "Folder of a run to go on with, with its settings.",
        EXECUTION,
        parsers.text,
        "RUN",
    )
    target: float = setting(
        0.5,
        "Test accuracy whose first round is reported, in (0, 1].",
        REPORT,
        parsers.fraction,
        "FLOAT",
    )

    def __post_init__(self) -> None:
        """Check what concerns several settings at once."""
        super().__post_init__()
        if self.k and self.scope == "layer":
            raise ConfigurationError("--k with --scope layer: give a --density, as layers differ")
        if self.warm_up > self.rounds:
            raise ConfigurationError(
                f"warm_up {self.warm_up} exceeds rounds {self.rounds}: lower --warm-up"
            )


@dataclass(frozen=True, kw_only=True)
class ToySettings(RegTopKSettings, ReportSettings):
    """The motivational example: two workers whose gradients cancel."""

    rounds: int = setting(150, "Rounds of training.", TRAINING, parsers.integer(1), "INT", "-r")
    learning_rate: float = other_default(ComparisonSettings, "learning_rate", 0.9)
    mu: float = other_default(RegTopKSettings, "mu", 1.0)
    at: tuple[int, ...] = setting(
        (),
        "Round after which the loss is shown, repeatable; else 1, 2, 5, 10, … and the last.",
        REPORT,
        parsers.listing(parsers.integer(1)),
        "INT",
        repeatable=True,
    )
    save: bool = other_default(ReportSettings, "save", False)

    def __post_init__(self) -> None:
        """Check what concerns several settings at once."""
        for at in self.at:
            if at > self.rounds:
                raise ConfigurationError(f"at {at} exceeds rounds {self.rounds}: raise --rounds")


@dataclass(frozen=True, kw_only=True)
class KernelsSettings(ReportSettings):
    """Kernels timed against each other and against the limit of memory."""

    device: str = setting(
        "auto",
        "Where kernels run: " + ", ".join(DEVICES) + ".",
        EXECUTION,
        parsers.choice(DEVICES),
        "NAME",
    )
    size: tuple[int, ...] = setting(
        (1_000_000, 11_170_000, 25_600_000),
        "Number of parameters, J, repeatable.",
        PROBLEM,
        parsers.listing(parsers.integer(1)),
        "INT",
        "-n",
        repeatable=True,
    )
    density: tuple[float, ...] = setting(
        (0.001, 0.01, 0.1),
        "Fraction of entries selected, k/J, repeatable.",
        PROBLEM,
        parsers.listing(parsers.density),
        "FLOAT",
        "-d",
        repeatable=True,
    )
    distribution: tuple[str, ...] = setting(
        ("normal",),
        "Data, repeatable: " + ", ".join(DISTRIBUTIONS) + ".",
        PROBLEM,
        parsers.listing(parsers.choice(DISTRIBUTIONS)),
        "NAME",
        repeatable=True,
    )
    dtype: str = setting(
        "float32",
        "Precision of the data: float32, float64.",
        PROBLEM,
        parsers.choice(("float32", "float64")),
        "NAME",
    )
    implementation: tuple[str, ...] = setting(
        ("numba", "triton", *SELECTIONS),
        "Who is timed, repeatable, as far as it runs on the device: "
        + ", ".join(IMPLEMENTATIONS)
        + ".",
        EXECUTION,
        parsers.listing(parsers.choice(IMPLEMENTATIONS)),
        "NAME",
        "-i",
        repeatable=True,
    )
    repeats: int = setting(
        15,
        "Repeats; what takes long is repeated less, at least three times.",
        EXECUTION,
        parsers.integer(3),
        "INT",
        "-r",
    )
    threads: int | str = setting(
        "auto",
        "Threads on the CPU; auto takes as many as PyTorch does.",
        EXECUTION,
        parsers.processes,
        "INT|auto",
    )


COMMANDS: dict[str, type[ReportSettings]] = {
    "linreg": LinregSettings,
    "cifar": CifarSettings,
    "toy": ToySettings,
    "kernels": KernelsSettings,
}
"""Every command with settings."""


def names_of(command: str) -> tuple[str, ...]:
    """Return the names of a command's settings."""
    return tuple(declared.name for declared in fields(COMMANDS[command]))
