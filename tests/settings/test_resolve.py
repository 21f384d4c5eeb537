from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regtopk_bench import ConfigurationError
from regtopk_bench.settings import as_json, declarations, load, resolve, resumed
from regtopk_bench.settings.paths import UserPath

RESULT = Path("runs/one")


def settle(
    flags: dict[str, Any],
    environment: dict[str, str] | None = None,
    profile: str | None = None,
    command: str = "linreg",
) -> Any:
    return resolve(command, flags, environment or {}, load(None), profile)


def test_precedence_and_sources() -> None:
    Path("benchmarks.toml").write_text(
        """
        version = 1
        [defaults]
        rounds = 10
        workers = 3
        samples = 11
        dim = 7
        [defaults.linreg]
        dim = 8
        [profiles.mine.linreg]
        rounds = 20
        workers = 4
        samples = 12
        """
    )
    resolved = settle(
        {"rounds": "40", "density": []},
        {"REGTOPK_BENCH_ROUNDS": "30", "REGTOPK_BENCH_WORKERS": "5"},
        "mine",
    )
    found = {
        name: (getattr(resolved.settings, name), resolved.sources[name])
        for name in ("rounds", "workers", "samples", "dim", "learning_rate", "density")
    }
    assert found == {
        "rounds": (40, "flag"),
        "workers": (5, "environment"),
        "samples": (12, "profile mine"),
        "dim": (8, "defaults"),
        "learning_rate": (0.01, "built-in"),
        "density": ((0.4, 0.6), "built-in"),
    }


@pytest.mark.parametrize("raw", [["dense", "regtopk:mu=5,q=1e6"], "dense,regtopk:mu=5,q=1e6"])
def test_algorithms_by_flag_and_by_variable(raw: Any) -> None:
    from_flag = settle({"algorithm": raw}).settings.algorithm
    assert list(map(str, from_flag)) == ["dense", "regtopk:mu=5,q=1e6"]
    if isinstance(raw, str):
        assert settle({}, {"REGTOPK_BENCH_ALGORITHM": raw}).settings.algorithm == from_flag


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"density": ["0"]}, r"--density: 0 is not in \(0, 1\]"),
        ({"density": ["nan"]}, "--density: nan"),
        ({"rounds": "-1"}, "--rounds: -1 is below 0"),
        ({"rounds": "2.5"}, "'2.5' is not a whole number"),
        ({"algorithm": ["regtopkk"]}, '--algorithm: unknown value "regtopkk"; did you mean'),
        ({"learning_rate": "inf"}, "--learning-rate: 'inf' is not a finite number"),
        ({"k": ["101"]}, "k 101 exceeds dim 100"),
        ({"processes": "21"}, "processes 21 exceeds workers 20"),
        ({"processes": "several"}, "--processes: 'several' is not a whole number"),
        ({"jobs": "2", "processes": "2"}, "jobs 2 with processes 2"),
    ],
)
def test_unusable_values_name_the_flag(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        settle(flags)


def test_unusable_variables_name_the_variable() -> None:
    with pytest.raises(ConfigurationError, match="REGTOPK_BENCH_LEARNING_RATE: 'x'"):
        settle({}, {"REGTOPK_BENCH_LEARNING_RATE": "x"})


@pytest.mark.parametrize("value", ["3", ""])
def test_a_misspelt_variable_is_an_error(value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settle({}, {"REGTOPK_BENCH_RUONDS": value})
    assert str(caught.value) == (
        'unknown variable "REGTOPK_BENCH_RUONDS"; did you mean "REGTOPK_BENCH_ROUNDS"?'
    )


def test_variables_of_other_commands_and_empty_ones_are_fine() -> None:
    others = {"REGTOPK_BENCH_MODEL": "cnn", "REGTOPK_BENCH_AT": "x", "REGTOPK_BENCH_ROUNDS": ""}
    others |= {"REGTOPK_BENCH_PROFILE": "x", "REGTOPK_BENCH_CONFIG": "y", "REGTOPK": "z"}
    assert settle({}, others).settings == settle({}).settings


@pytest.mark.parametrize(
    ("flags", "environment", "profile", "message"),
    [
        ({"density": ["0.1"], "k": ["3"]}, {}, None, r"--density \(flag\) with --k \(flag\)"),
        ({"density": ["0.1"]}, {"K": "3"}, None, r"\(flag\) with --k \(environment\)"),
        ({"density": ["0.1"]}, {}, "k", r"\(flag\) with --k \(profile k\)"),
        ({}, {"DENSITY": "0.1", "K": "3"}, None, r"\(environment\) with --k \(environment\)"),
        ({"k": ["3"]}, {}, None, None),
        ({"k": ["3"]}, {"DENSITY": "0.1"}, None, None),
        ({"k": ["3"]}, {}, "density", None),
        ({}, {"DENSITY": "0.1"}, "density", None),
    ],
)
def test_a_density_that_k_would_silence_is_an_error(
    flags: dict[str, Any], environment: dict[str, str], profile: str | None, message: str | None
) -> None:
    Path("benchmarks.toml").write_text(
        "version = 1\n[profiles.k]\nk = [3]\n[profiles.density]\ndensity = [0.2]\n"
    )
    variables = {f"REGTOPK_BENCH_{name}": value for name, value in environment.items()}
    if message is None:
        settle(flags, variables, profile)
        return
    with pytest.raises(ConfigurationError, match=message):
        settle(flags, variables, profile)


def before(**flags: Any) -> dict[str, Any]:
    return as_json(settle(flags).settings)


def test_a_resumed_run_has_its_settings_but_for_what_does_not_decide() -> None:
    stored = before(rounds="40", algorithm="regtopk:mu=3", processes="2", output="there")
    resolved = resumed(settle({"processes": "4", "rounds": "40"}), stored, RESULT)
    assert resolved.settings.rounds == 40
    assert list(map(str, resolved.settings.algorithm)) == ["regtopk:mu=3"]
    assert str(resolved.settings.output) == "there"
    assert resolved.settings.processes == 4
    assert resolved.sources["processes"] == "flag"
    assert resolved.sources["rounds"] == resolved.sources["output"] == "resumed run"


def test_defaults_give_way_to_a_resumed_run() -> None:
    stored = before(rounds="40")
    Path("benchmarks.toml").write_text("version = 1\n[defaults]\nrounds = 10\n")
    assert resumed(settle({}), stored, RESULT).settings.rounds == 40


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"rounds": "13"}, r"--rounds is 13 \(flag\), but the run to resume has 2500"),
        ({"density": "0.1"}, r"--density is 0.1 \(flag\), but the run to resume has 0.4, 0.6"),
        ({"algorithm": "topk"}, r"is topk \(flag\), but the run to resume has dense, topk, regt"),
        ({"k": "3"}, r"--k is 3 \(flag\), but the run to resume has none"),
    ],
)
def test_what_decides_cannot_change_in_a_resumed_run(flags: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        resumed(settle(flags), before(), RESULT)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rounds", "many", "runs/one: setting rounds: 'many' is not a whole number"),
        ("rounds", -1, "runs/one: setting rounds: -1 is below 0"),
        ("algorithm", ["topkk"], "runs/one: setting algorithm: unknown value"),
        ("rounds", None, "runs/one: setting rounds: None is not a whole number"),
        ("density", [], "runs/one: setting density: the list is empty"),
        ("density", [0.1, None], r"runs/one: setting density: None is not in"),
        ("save", "perhaps", "runs/one: setting save: 'perhaps' is neither"),
    ],
)
def test_a_stored_value_that_cannot_be_read_is_an_error(
    name: str, value: Any, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        resumed(settle({}), before() | {name: value}, RESULT)


def test_an_empty_stored_list_is_the_default() -> None:
    stored = before()
    assert stored["k"] == []
    resolved = resumed(settle({}), stored, RESULT)
    assert resolved.settings.k == declarations(type(resolved.settings))["k"].default == ()


IMAGES = """
version = 1
[profiles.both.cifar]
data = "pictures"
dataset = "synthetic"
[profiles.synthetic.cifar]
dataset = "synthetic"
[profiles.pictures.cifar]
data = "pictures"
"""


@pytest.mark.parametrize(
    ("flags", "environment", "profile", "source"),
    [
        ({"data": "pictures", "dataset": "synthetic"}, {}, None, "flag"),
        ({}, {"DATA": "pictures", "DATASET": "cifar10"}, None, "environment"),
        ({}, {}, "both", "profile both"),
    ],
)
def test_a_data_set_that_data_would_silence_is_an_error(
    flags: dict[str, Any], environment: dict[str, str], profile: str | None, source: str
) -> None:
    Path("benchmarks.toml").write_text(IMAGES)
    variables = {f"REGTOPK_BENCH_{name}": value for name, value in environment.items()}
    with pytest.raises(ConfigurationError) as caught:
        settle(flags, variables, profile, "cifar")
    assert str(caught.value) == (
        f"--dataset ({source}) with --data ({source}), which takes its place: give one of them"
    )


@pytest.mark.parametrize(
    ("flags", "environment", "profile", "data"),
    [
        ({"dataset": "synthetic"}, {"DATA": "pictures"}, None, None),
        ({"dataset": "synthetic"}, {}, "both", None),
        ({}, {"DATASET": "synthetic"}, "pictures", None),
        ({"data": "pictures"}, {"DATASET": "synthetic"}, None, "pictures"),
        ({"data": "pictures"}, {}, "synthetic", "pictures"),
        ({}, {}, "pictures", "pictures"),
    ],
)
def test_of_data_and_data_set_the_one_whose_source_goes_first_counts(
    flags: dict[str, Any], environment: dict[str, str], profile: str | None, data: str | None
) -> None:
    Path("benchmarks.toml").write_text(IMAGES)
    variables = {f"REGTOPK_BENCH_{name}": value for name, value in environment.items()}
    found = settle(flags, variables, profile, "cifar")
    assert found.settings.data == (None if data is None else UserPath(data))
    assert (found.sources["data"] == "built-in") == (data is None)


UNUSED = [
    ("linreg", {"save": False, "output": "there"}, "--output", "--save"),
    ("cifar", {"save": False, "plot_format": "pdf"}, "--plot-format", "--save"),
    ("kernels", {"save": False, "plot_width": "single"}, "--plot-width", "--save"),
    ("toy", {"plot_title": False}, "--plot-title", "--save"),
    ("check", {"save": False, "output": "there"}, "--output", "--save"),
    ("check", {"margin": "1.2"}, "--margin", "--against or --timing"),
    ("check", {"time_budget": "9"}, "--time-budget", "--against or --timing"),
    ("check", {"time": ["*"]}, "--time", "--against or --timing"),
    ("check", {"cache": "there"}, "--cache", "--against or --timing"),
    ("baseline", {"processes": "4"}, "--processes", "--time"),
]


@pytest.mark.parametrize(("command", "flags", "flag", "needed"), UNUSED)
def test_a_flag_that_would_do_nothing_is_an_error(
    command: str, flags: dict[str, Any], flag: str, needed: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settle(flags, command=command)
    assert str(caught.value) == f"{flag} does nothing without {needed}: leave it out"


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("toy", {"plot_format": "pdf", "save": True}),
        ("check", {"margin": "1.2", "time": ["*"], "against": "there"}),
        ("check", {"time_budget": "9", "cache": "there", "timing": True}),
        ("check", {"time_budget": "9", "resume": "runs/one"}),
        ("baseline", {"processes": "4", "time": ["*"]}),
    ],
)
def test_a_flag_with_what_it_needs_is_fine(command: str, flags: dict[str, Any]) -> None:
    found = settle(flags, command=command)
    assert {found.sources[name] for name in flags} == {"flag"}


def test_what_was_not_given_as_a_flag_may_do_nothing() -> None:
    Path("benchmarks.toml").write_text(
        'version = 1\n[defaults]\nplot_format = "pdf"\n[profiles.mine.check]\nmargin = 1.2\n'
    )
    variables = {"REGTOPK_BENCH_OUTPUT": "there", "REGTOPK_BENCH_PROCESSES": "4"}
    settle({"save": False}, variables)
    settle({}, variables, "mine", "check")
    settle({}, variables, command="baseline")
