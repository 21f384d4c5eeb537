"""Faults, and whether they are handled: nothing lost, nothing silent, one line for everyone.

Run `python benchmarks/faults.py`, about twenty-five minutes on two quiet cores; Linux only. A trial
is run again alone by its number, as in `--only kills --trial 17`, with the same seed and counts.
What was not handled is kept in a folder that is named at the end: commands, signals and outputs.

Seven campaigns, all of them of the program in this repository:

- kills: SIGKILL at random moments to the program, to its whole group, or to a pool process, the
  fork server or the resource tracker; the run is resumed, killed again, and resumed to its end.
- signals: the same with SIGINT, SIGTERM and SIGHUP, also twice, and with processes that are
  stopped and do not answer.
- restarts: SIGKILL, once or twice, to processes of a pool, to those that run cells, and to ranks
  of torchrun, all of which are started again; in some trials less often than they are killed.
- hangs: the same with SIGSTOP, which a time limit notices.
- injected: at calls that change files (fsync, rename, link, unlink, rmdir, mkdir, ftruncate,
  write, open), found by a shim in C: SIGKILL just before or just after, and the call failing.
- files: damaged results, journals, settings files, archives, images, checkpoints, weights and
  caches.
- settings: extreme values of every setting, outputs that are closed or full, systems that lack
  something.

The first five hold the resumed run to an undisturbed one, bit for bit, and look for what may be
left: processes, temporary files, shared memory, files of the run. In all, an exit code must be the
documented one, and a failure is one line and no traceback.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from campaigns import files, injected, kills, restarts, settings
from campaigns.trial import Campaign, Verdict, remove
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

_COUNTS = {
    "kills": 200,
    "signals": 40,
    "restarts": 60,
    "hangs": 18,
    "injected": 50,
    "files": 2000,
    "settings": 300,
}
_SHOWN = 3

Result = tuple[str, int, Verdict]
"""The campaign, the trial's number, and what it showed."""


def main() -> None:
    options = _options()
    # In the background of a shell some signals are ignored, and programs would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit("stopped"))
    home = Path(tempfile.mkdtemp(prefix="regtopk-bench-faults-"))
    errors = Console(stderr=True)
    results: list[Result] = []
    for name in options.only:
        results += _campaign(name, options, home, errors)
    faults = [result for result in results if result[2].complaints]
    _print_counts(options.only, results)
    if not faults:
        remove(home)
        return
    _print_faults(faults)
    lines = [
        f"{name} {number}\t{verdict.attempt}\t{'; '.join(verdict.complaints)}"
        for name, number, verdict in faults
    ]
    (home / "faults.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{home} has all of them in faults.tsv, and what was done and printed, by trial")
    print(
        f"again, alone: python benchmarks/faults.py --seed {options.seed} --only CAMPAIGN "
        "--trial NUMBER, with the same counts"
    )
    raise SystemExit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, count in _COUNTS.items():
        what = "calls, each hit in two ways" if name == "injected" else "trials"
        parser.add_argument(
            f"--{name}", type=int, default=count, metavar="N", help=f"{what}; default {count}"
        )
    parser.add_argument("--seed", type=int, default=0, help="of all that is random; default 0")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=list(_COUNTS),
        help="campaigns, as in kills,files",
    )
    parser.add_argument("--trial", type=int, help="a trial to run again, of one campaign")
    parser.add_argument("--jobs", type=int, default=2, help="trials at a time; default 2")
    options = parser.parse_args()
    unknown = set(options.only) - set(_COUNTS)
    if unknown:
        parser.error(f"no campaign {min(unknown)!r}: there are {', '.join(_COUNTS)}")
    return options


def _campaign(
    name: str, options: argparse.Namespace, home: Path, errors: Console
) -> Iterator[Result]:
    """Run the trials of a campaign, and yield what they show."""
    started = time.monotonic()
    if name == "injected" and (reason := injected.unavailable()):
        errors.print(f"{name}: skipped, {reason}")
        return
    makers: dict[str, Callable[..., Campaign]] = {
        "kills": kills.kills,
        "signals": kills.signals,
        "restarts": restarts.restarts,
        "hangs": restarts.hangs,
        "injected": injected.Injected,
        "files": files.Files,
        "settings": settings.Settings,
    }
    folder = home / name
    folder.mkdir()
    errors.print(f"{name}: preparing")
    campaign = makers[name](getattr(options, name), options.seed, folder)
    numbers: Sequence[int] = range(campaign.trials)
    if options.trial is not None:
        numbers = [options.trial]

    def trial(number: int) -> list[Verdict]:
        own = folder / str(number)
        own.mkdir()
        found = []
        try:
            found += campaign.run(number, own)
        except Exception as error:  # one that breaks must not end all others
            (own / "error.txt").write_text(traceback.format_exc())
            found.append(Verdict("the trial itself", [f"{type(error).__name__}: {error}"]))
        if not any(verdict.complaints for verdict in found):
            remove(own)
        return found

    with (
        Progress(console=errors, transient=True) as progress,
        ThreadPoolExecutor(options.jobs) as threads,
    ):
        task = progress.add_task(name, total=len(numbers))
        begun = {threads.submit(trial, number): number for number in numbers}
        try:
            for done in as_completed(begun):
                yield from ((name, begun[done], verdict) for verdict in done.result())
                progress.advance(task)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    errors.print(f"{name}: {time.monotonic() - started:.0f} s")


def _print_counts(names: Sequence[str], results: Sequence[Result]) -> None:
    table = Table("campaign")
    for title in ("tried", "handled", "not handled"):
        table.add_column(title, justify="right")
    for name in names:
        own = [verdict for campaign, _, verdict in results if campaign == name]
        faulty = sum(bool(verdict.complaints) for verdict in own)
        table.add_row(name, str(len(own)), str(len(own) - faulty), str(faulty))
    Console().print(table)


def _print_faults(faults: Sequence[Result]) -> None:
    """Print what went wrong, how often, and in which trials first."""
    alike: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for name, number, verdict in faults:
        for complaint in verdict.complaints:
            alike[name, complaint].append((name, number, verdict))
    table = Table("campaign", "not handled", "times", "trials", "such as", show_lines=True)
    for (name, complaint), own in sorted(
        alike.items(), key=lambda each: (each[0][0], -len(each[1]))
    ):
        numbers = list(dict.fromkeys(number for _, number, _ in own))
        shown = ", ".join(map(str, numbers[:_SHOWN])) + (", …" if len(numbers) > _SHOWN else "")
        table.add_row(name, complaint, str(len(own)), shown, own[0][2].attempt)
    Console().print(table, markup=False)


if __name__ == "__main__":
    main()
