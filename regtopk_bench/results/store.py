"""Results on disk: written atomically, read back with checks."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.files import content_of, opened, remove_unfinished, written_atomically
from regtopk_bench.results import journal
from regtopk_bench.results.checks import check_version, named, parsed, validated
from regtopk_bench.results.document import Document, document
from regtopk_bench.results.labels import Label, labels
from regtopk_bench.results.schema import CHECK, KernelCell, Result, Run, TrainingCell
from regtopk_bench.results.statistics import Comparison
from regtopk_bench.results.summary import density_of

RESULT_FILE = "result.json"
TRACES_FILE = "traces.csv"
COMPARISONS_FILE = "comparisons.csv"
_CREATED = re.compile(rb'"created": ?"([^"]+)"')
_NEAR = 4096

_WHICH_RUN = ("algorithm", "density", "seed")
_WHICH_KERNEL = ("distribution", "dim", "density", "operation", "implementation", "case")
_COMPARED = (
    *("metric", "better", "family"),
    *("first", "first_density", "second", "second_density"),
    *("n", "difference", "half_width", "p", "p_corrected", "tests", "p_wilcoxon"),
    *("finding", "seeds_needed"),
)


def new_folder(parent: Path, command: str) -> Path:
    """Make a new folder for a run, named after the time and the command.

    Raises:
        ConfigurationError: If it cannot be made or written to.
    """
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1000):
            folder = parent / f"{stamp}_{command}{f'_{attempt}' if attempt else ''}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise ConfigurationError(
            f"cannot write to {parent}: {error.strerror}; name another --output, or pass --no-save"
        ) from error
    raise ConfigurationError(f"{parent} has a thousand runs of this second already")


def dump(result: Result) -> str:
    """Return the result, with its statistics, as JSON text."""
    return _dumped(document(result))


def write(result: Result, folder: Path) -> None:
    """Write `result.json`, `traces.csv` and `comparisons.csv`, each completely or not at all.

    The last is written if two configurations have two seeds in common. A check, whose runs are of
    several workloads, has the first alone.

    Raises:
        OSError: If they cannot be written.
    """
    whole = document(result)
    with written_atomically(folder / RESULT_FILE) as file:
        file.write(f"{_dumped(whole)}\n".encode())
    if result.command == CHECK:
        return
    with written_atomically(folder / TRACES_FILE) as file:
        file.write(_traces(result).encode())
    if any(math.isfinite(pair.p) for pair in whole.comparisons):
        with written_atomically(folder / COMPARISONS_FILE) as file:
            file.write(_comparisons(whole.comparisons).encode())


def clean(folder: Path) -> None:
    """Remove what a killed process has left in a run's folder, whose journal must be ours.

    The folder may hold other things: those are left alone.

    Raises:
        OSError: If they cannot be removed.
    """
    for name in (RESULT_FILE, TRACES_FILE, COMPARISONS_FILE, journal.JOURNAL_FILE):
        remove_unfinished(folder / name)


def load(path: str | os.PathLike[str]) -> Result:
    """Read a saved result, for library users: see `read`.

    Args:
        path: A result file, or the folder of a run, finished or not; "~" is the home directory.

    Raises:
        ConfigurationError: If it is missing, damaged, of another kind or of another version.
    """
    return read(_path(path, f"cannot read result {path}"))


def save(result: Result, folder: str | os.PathLike[str]) -> None:
    """Save a result in a folder, where `load` and `regtopk-bench show` find it.

    A result that is there is replaced.

    Args:
        result: Such as `simulate_seeds` returns.
        folder: It is made if there is none; "~" is the home directory.

    Raises:
        ConfigurationError: If it cannot be written there, or a command has not ended its run there.
    """
    if not isinstance(result, Result):
        raise ConfigurationError(f"expected a Result, not a {type(result).__name__}")
    place = _path(folder, f"cannot save to {folder}")
    try:
        place.mkdir(parents=True, exist_ok=True)
        unfinished = (place / journal.JOURNAL_FILE).exists()
        if not unfinished:
            write(result, place)
    except OSError as error:
        raise ConfigurationError(f"cannot save to {folder}: {error.strerror}") from error
    if unfinished:
        raise ConfigurationError(f"{folder} has a run that has not ended: name another folder")


def _path(path: object, failing: str) -> Path:
    """Return a path as such, in full; raise ConfigurationError if it is none."""
    if not isinstance(path, str | os.PathLike):
        raise ConfigurationError(f"path {path!r} of a result is no path")
    if "\0" in str(path):
        raise ConfigurationError(f"{failing}: there is a null byte in its name")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # there is no such home
        raise ConfigurationError(f"{failing}: {error}") from error


def read(path: Path) -> Result:
    """Read a result file, or the result in a run's folder.

    A folder with a journal belongs to a run that has not ended: the journal has all that was
    finished, which may be more than the result written when the run was interrupted.

    Raises:
        ConfigurationError: If it is missing, damaged, of another kind or of another version.
    """
    file = path
    try:
        if path.is_dir():
            kept = path / journal.JOURNAL_FILE
            if kept.exists():
                with named(f"journal {kept}"):
                    return journal.read(path).result
            file = path / RESULT_FILE
        raw = content_of(file)
    except OSError as error:
        raise ConfigurationError(f"cannot read result {file}: {error.strerror}") from error
    content = parsed(raw, f"result {file}")
    check_version(content, file)
    return validated(Result, content, f"result {file}")


def saved(parent: Path, *, missing_ok: bool = False) -> list[Path]:
    """Return the folders of the runs that are saved in a folder, newest first.

    What is damaged is among them; its age is that of its file.

    Args:
        parent: The folder.
        missing_ok: Whether there are none where there is no such folder.

    Raises:
        ConfigurationError: If the folder cannot be read.
    """
    try:
        ages = {folder: _age(folder) for folder in parent.iterdir()}
    except OSError as error:
        if missing_ok and isinstance(error, FileNotFoundError):
            return []
        raise ConfigurationError(f"cannot read {parent}: {error.strerror}") from error
    found = [(age, folder) for folder, age in ages.items() if age]
    return [folder for _, folder in sorted(found, reverse=True)]


def _age(folder: Path) -> tuple[float, float] | None:
    """Return when the run in a folder began and was last written; None if there is no run.

    What does not say when it began, in its first bytes, began when it was written.
    """
    for name in (journal.JOURNAL_FILE, RESULT_FILE):
        file = folder / name
        with contextlib.suppress(OSError):  # there is none, or not any more
            began = written = file.lstat().st_mtime
            with contextlib.suppress(OSError, ValueError), opened(file) as content:
                if said := _CREATED.search(content.read(_NEAR)):
                    began = datetime.fromisoformat(said[1].decode()).timestamp()
            return began, written
    return None


def _dumped(whole: Document) -> str:
    return json.dumps(whole.model_dump(mode="json", by_alias=True), allow_nan=False)


def _traces(result: Result) -> str:
    """Return CSV with one line per round: which run, the round from 1, every trace."""
    names = dict.fromkeys(name for run in result.runs for name in run.traces)
    which = _WHICH_KERNEL if result.command == "kernels" else _WHICH_RUN
    cells = [run.cell for run in result.runs]
    labelled = labels(cell for cell in cells if isinstance(cell, TrainingCell))
    text = io.StringIO()
    table = csv.DictWriter(text, [*which, "round", *names], restval="", lineterminator="\n")
    table.writeheader()
    for run in result.runs:
        own = _which(run, labelled)
        length = max(map(len, run.traces.values()), default=0)
        for round in range(length):
            values = {name: _shown(trace[round]) for name, trace in run.traces.items()}
            table.writerow({**own, "round": round + 1, **values})
    return text.getvalue()


def _which(run: Run, labelled: Mapping[str, Label]) -> dict[str, object]:
    """Return what distinguishes a run from the others in its result."""
    if isinstance(run.cell, KernelCell):
        facts = run.cell.problem | run.cell.candidate
        return {name: facts.get(name, "") for name in _WHICH_KERNEL}
    values = (str(labelled[run.cell.group]), density_of(run), run.cell.seed)
    return dict(zip(_WHICH_RUN, values, strict=True))


def _shown(value: float | None) -> float | str:
    """Return an empty text where there is no number, as for a round without an evaluation."""
    return "" if value is None or math.isnan(value) else value


def _comparisons(pairs: Sequence[Comparison]) -> str:
    """Return CSV with one line per pair and metric; what has no number is empty."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COMPARED)
    for pair in pairs:
        difference = pair.difference
        numbers = (difference.mean, difference.half_width, pair.p, pair.p_corrected)
        table.writerow(
            [
                *(pair.metric, pair.better, pair.family),
                *(pair.first.label, pair.first.density, pair.second.label, pair.second.density),
                *(difference.n, *map(_shown, numbers), pair.tests, _shown(pair.p_wilcoxon)),
                *(pair.finding, pair.seeds_needed),
            ]
        )
    return text.getvalue()
