"""Stored results that are damaged, strange or hostile: a correct table, or one line."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regtopk_bench.results import Result, store
from regtopk_bench.results.journal import JOURNAL_FILE, Journal
from tests.results.samples import header, image_run, result, run, timed

Call = Callable[..., Any]

FORMATS = ("table", "json", "csv", "markdown", "latex")
SETTINGS = {"workers": 2, "rounds": 3, "learning_rate": 0.1, "target": 0.05}


def sample(command: str) -> Result:
    if command == "kernels":
        return result([timed()], command)
    if command == "cifar":
        return result([image_run(seed=seed) for seed in (0, 1)], command, **SETTINGS)
    traces = {"loss": [3.0, 2.0, 1.0]}
    runs = [run(name, seed, traces=traces) for name in ("topk", "regtopk") for seed in (0, 1)]
    return result(runs, command, **SETTINGS)


def places(content: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where every value of a JSON document is."""
    if at:
        yield at
    if isinstance(content, dict | list):
        for part in content if isinstance(content, dict) else range(len(content)):
            yield from places(content[part], (*at, part))


def changed(content: Any, at: tuple[Any, ...], value: Any) -> Any:
    """Return a document with another value, or with none, at a place."""
    content = copy.deepcopy(content)
    inner = content
    for part in at[:-1]:
        inner = inner[part]
    if value is ...:
        del inner[at[-1]]
    else:
        inner[at[-1]] = value
    return content


VALUES = (..., None, True, -1, 0, 3, 0.5, 1e308, 10**400, "", "x", "a b", "\x1b[2J", [], {}, [None])


@pytest.mark.parametrize("command", ["linreg", "cifar", "toy", "kernels"])
def test_whatever_value_is_changed_show_ends_as_documented(run: Call, command: str) -> None:
    content, draw = json.loads(store.dump(sample(command))), random.Random(0)
    everywhere = list(places(content))
    for number in range(50):
        at, value = draw.choice(everywhere), draw.choice(VALUES)
        Path("result.json").write_text(json.dumps(changed(content, at, value)))
        done = run("show", "result.json", "--no-plot", "-f", FORMATS[number % len(FORMATS)])
        assert done.exit_code in (0, 2), (at, value, done.output)
        assert len(done.stderr.splitlines()) == (done.exit_code == 2), (at, value, done.stderr)
        assert "internal error" not in done.stderr
        assert all(each.isprintable() for each in done.stdout.replace("\n", "")), (at, value)


NAMES = (
    "pkg._Mine",
    "$x^$",
    "[/bold]",
    "a\nb",
    "\x1b[2J",
    "\u202eabc",
    "|\\{$",
    "$5 and $6",
    "模型",
)


def named(command: str) -> Path:
    """Write a result whose algorithms have names that nobody expects."""
    content = json.loads(store.dump(sample(command)))
    one = content["runs"][0]
    content["runs"] = [changed(one, ("cell", "sparsifier", "algorithm"), name) for name in NAMES]
    Path("result.json").write_text(json.dumps(content))
    return Path("result.json")


@pytest.mark.parametrize("command", ["linreg", "cifar", "toy"])
def test_no_name_breaks_a_plot_or_a_table(run: Call, command: str) -> None:
    file = str(named(command))
    assert run("show", file, "--plot-format", "svg", "-f", "csv").exit_code == 0
    for output_format in FORMATS:
        done = run("show", file, "-f", output_format, "--no-plot")
        assert (done.exit_code, done.stderr) == (0, "")
        assert all(each.isprintable() for each in done.stdout.replace("\n", ""))


def test_names_are_shown_as_they_are(run: Call) -> None:
    file = str(named("linreg"))
    assert r"| \|\\{$ | 0.5 |" in run("show", file, "-f", "markdown", "--no-plot").stdout
    latex = run("show", file, "-f", "latex", "--no-plot").stdout
    assert r"\textbar{}\textbackslash{}\{\$ & 0.5 &" in latex
    assert r"\x1b[2J" in run("show", file, "--no-plot").stdout


@pytest.mark.parametrize("output_format", FORMATS)
def test_an_unknown_algorithm_is_shown(run: Call, output_format: str) -> None:
    content = json.loads(store.dump(sample("linreg")))
    content["settings"]["algorithm"] = {"value": ["novelty:mu=3", "topk"], "source": "flag"}
    for number, one in enumerate(content["runs"]):
        one["cell"]["sparsifier"]["algorithm"] = "novelty"
        one["cell"]["seed"] = number
    Path("result.json").write_text(json.dumps(content))
    done = run("show", "result.json", "-f", output_format)
    assert done.exit_code == 0, done.stderr
    assert "novelty" in done.stdout


@pytest.mark.parametrize("flags", [["-f", "table", "--no-plot"], ["-f", "json"]])
def test_an_unknown_command_is_one_line(run: Call, flags: list[str]) -> None:
    Path("result.json").write_text(store.dump(sample("linreg")).replace('"linreg"', '"novelty"', 1))
    done = run("show", "result.json", *flags)
    assert done.exit_code == 2
    assert done.stderr == (
        'error: cannot show results of "novelty", which this version does not know: upgrade it\n'
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rounds", None),
        ("rounds", "many"),
        ("learning_rate", []),
        ("algorithm", [3]),
        ("plot_format", 8),
    ],
)
def test_settings_that_cannot_be_are_damage(run: Call, name: str, value: Any) -> None:
    content = json.loads(store.dump(sample("linreg")))
    content["settings"][name] = {"value": value, "source": "flag"}
    Path("result.json").write_text(json.dumps(content))
    for arguments in (["show"], ["linreg", "--resume"]):
        done = run(*arguments, "result.json")
        assert done.exit_code == 2
        assert f"result result.json is damaged at settings.{name}: " in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_run_that_cannot_be_shown_is_not_resumed(run: Call) -> None:
    content = json.loads(store.dump(sample("linreg")))
    for one in content["runs"]:
        del one["traces"]["gap"]
    Path("result.json").write_text(json.dumps(content))
    done = run("linreg", "--resume", "result.json")
    assert done.exit_code == 2
    assert done.stderr == "error: result result.json is damaged (KeyError: 'gap')\n"
    assert "Traceback" in run("show", "result.json", "--debug").stderr


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_run_that_was_killed_in_its_first_cell_is_shown(run: Call, output_format: str) -> None:
    with Journal.create(Path(), header(rounds=3)) as journal:
        for started in (False, True):
            if started:
                journal.started("0" * 16, 0, {"cpu": "here"})
            done = run("show", ".", "-f", output_format)
            assert done.exit_code == 0, done.stderr
            assert done.stderr == ""
    Path(JOURNAL_FILE).write_bytes(Path(JOURNAL_FILE).read_bytes()[:-5])
    assert run("show", ".", "-f", output_format).exit_code == 0


def test_folders_without_a_result_are_one_line(run: Call) -> None:
    Path("checkpoints").mkdir()
    os.mkfifo("pipe")
    for path in (".", "checkpoints", "absent", "pipe", "/dev/zero", "x" * 300):
        done = run("show", path)
        assert done.exit_code == 2
        assert done.stderr.startswith("error: cannot read result ")
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-o", "file"], "cannot draw into file: File exists"),
        (["-o", "file/plots"], "cannot draw into file/plots: Not a directory"),
        (["-o", "/proc/plots"], "cannot draw into /proc/plots: No such file or directory"),
        (["-o", "~no-such-user/x"], "--output: '~no-such-user/x': there is no such home folder"),
        (["--plot-format", "gif"], '--plot-format: unknown value "gif"'),
        (["--plot-width", "triple"], '--plot-width: unknown value "triple"'),
        (
            ["-o", "a.svg", "--plot-format", "pdf"],
            "--output a.svg with --plot-format pdf: give one",
        ),
        (["-o", "file/a.pdf"], "cannot draw into file/a.pdf: "),
        (["-o", "x" * 300 + ".pdf"], "File name too long; choose another --output"),
    ],
)
def test_where_a_plot_cannot_be_drawn(run: Call, flags: list[str], message: str) -> None:
    Path("file").touch()
    Path("result.json").write_text(store.dump(sample("linreg")))
    done = run("show", "result.json", *flags)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
