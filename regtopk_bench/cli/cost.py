"""`regtopk-bench cost`: what a step costs on a network, and whether sparsifying pays there."""

from __future__ import annotations

from pathlib import Path

from regtopk_bench.cli.device import choose_device, memory_for, note_if_busy
from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.progress import Counted
from regtopk_bench.cli.stored import damage_told, located, stored
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.experiments.costs import entry_of, outline, planned
from regtopk_bench.report.step_cost import cost_tables, draw
from regtopk_bench.report.table import print_report
from regtopk_bench.results import costs
from regtopk_bench.results.costs import Costs
from regtopk_bench.results.reached import Reached
from regtopk_bench.settings import CostSettings, flag_name

_EXAMPLES = {"params": "1.3e9", "workers": "64", "network": "25gbit:20us", "compute": "180ms"}
"""What has no default, each with a value to begin with."""

_CHOSEN = ("algorithm", "density", "k")


def run_cost(invocation: Invocation) -> None:
    """Find out what each sparsifier costs, print it, and draw it if that is asked for."""
    settings: CostSettings = invocation.resolved.settings
    _check_complete(settings)
    reached = _reached(settings)
    device = choose_device(settings.device)
    if settings.sparsifier_time is None:
        note_if_busy(invocation)
    found = _found(invocation, device, reached)
    print_report(
        invocation.out,
        settings.format,
        name="cost",
        tables=lambda: cost_tables(found),
        document=lambda: costs.dump(found),
    )
    if settings.plot:
        _draw(found, Path(settings.plot))
        invocation.note(f"drew {settings.plot}")


def _draw(found: Costs, path: Path) -> None:
    """Draw the plot; raise ConfigurationError if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(found, path)
    except OSError as error:
        raise ConfigurationError(
            f"cannot draw into {path}: {error.strerror}; choose another --plot"
        ) from error


def _check_complete(settings: CostSettings) -> None:
    missing = [name for name in _EXAMPLES if getattr(settings, name) is None]
    if missing:
        example = " ".join(f"{flag_name(name)} {_EXAMPLES[name]}" for name in missing)
        raise ConfigurationError(f"what a step costs is not known without more: add {example}")
    assert settings.network is not None
    assert settings.workers is not None
    settings.network.check(settings.workers)


def _reached(settings: CostSettings) -> Reached | None:
    """Return what the saved result says, if there is one.

    Raises:
        ConfigurationError: If it cannot be read, or says nothing of a target.
    """
    if settings.run is None:
        return None
    path = located(Path(settings.run))
    with damage_told(path):
        return Reached.of(stored(path), str(path))


def _found(invocation: Invocation, device: str, reached: Reached | None) -> Costs:
    settings, sources = invocation.resolved.settings, invocation.resolved.sources
    chosen = any(sources[name] != "built-in" for name in _CHOSEN)
    sparsifiers = planned(settings, None if chosen else reached)
    entries = []
    with Counted(invocation, len(sparsifiers), "sparsifiers") as progress:
        for number, sparsifier in enumerate(sparsifiers):
            progress.begin(f"sparsifier {number + 1} of {len(sparsifiers)}", number)
            progress.update(0)
            with memory_for("the gradients", "give --sparsifier-time"):
                entries.append(entry_of(sparsifier, settings, device, reached))
    return outline(settings, device, reached).of(entries)
