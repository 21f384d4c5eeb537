from __future__ import annotations

import os
from pathlib import Path

import pytest

from regtopk_bench import ConfigurationError
from regtopk_bench.settings import COMMANDS, load, resolve

REPOSITORY = Path(__file__).parents[2]


def write(text: str) -> None:
    Path("benchmarks.toml").write_text(text, encoding="utf-8")


PACKAGED = {"quick", "ci", "paper", "finetune"}


def test_the_packages_and_the_repositorys_profiles_are_valid() -> None:
    assert set(load(None).profiles) == PACKAGED
    file = load(REPOSITORY / "benchmarks.toml")
    assert set(file.profiles) == {*PACKAGED, "thresholds", "images", "gate"}
    for profile in file.profiles:
        for command in COMMANDS:
            resolve(command, {}, {}, file, profile)


def test_a_first_look_has_the_baseline_worth_including() -> None:
    settings = resolve("linreg", {}, {}, load(None), "quick").settings
    assert "randomk" in map(str, settings.algorithm)


def test_profiles_of_ones_own_are_added_or_take_the_place_of_the_packages() -> None:
    write("version = 1\n[profiles.quick.linreg]\nrounds = 7\n[profiles.mine.toy]\n")
    file = load(None)
    assert set(file.profiles) == {*PACKAGED, "mine"}
    settings = resolve("linreg", {}, {}, file, "quick").settings
    assert (settings.rounds, settings.workers) == (7, 20)
    assert file.profile("mine").commands == ("toy",)
    assert file.profile("ci").claims


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("claims = 3", r"must be tables, \[\[profiles.a.claims\]\]"),
        ("claims = [3]", "must be a table"),
        ('[[profiles.a.claims]]\nalgorithm = "topk"', "below is missing"),
        ('[[profiles.a.claims]]\nalgorithm = "tpk"', 'did you mean "topk"'),
        ("[[profiles.a.claims]]\ndecade = 3", 'unknown key "decade"; did you mean "decades"'),
        ("[[profiles.a.claims]]\ndensity = 2", "density: 2 is not in"),
    ],
)
def test_unusable_claims_name_file_and_key(claim: str, message: str) -> None:
    write(f"version = 1\n[profiles.a]\n{claim}")
    with pytest.raises(ConfigurationError, match=message) as caught:
        load(None)
    assert "benchmarks.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("profile", "command", "regtopk"),
    [
        ("paper", "linreg", "regtopk:mu=4"),
        ("paper", "cifar", "regtopk:mu=5"),
        ("finetune", "cifar", "regtopk:mu=2,q=1e4,denominator=current"),
    ],
)
def test_the_papers_hyper_parameters(profile: str, command: str, regtopk: str) -> None:
    file = load(REPOSITORY / "benchmarks.toml")
    settings = resolve(command, {}, {}, file, profile).settings
    assert regtopk in map(str, settings.algorithm)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = 2", "version is 2, and must be 1"),
        ("", "version is None"),
        ("version = true", "version is True, and must be 1"),
        ("version = 1.0", "version is 1.0, and must be 1"),
        ('version = "1"', "version is '1', and must be 1"),
        ("version = 1\nx = 1" + "0" * 5000, "not valid TOML"),
        ("version = 1\nx = " + "[" * 100_000, "not valid TOML"),
        ("version = 1\n[defaults]\nrounds" + ".a" * 2000 + " = 1", "is not a whole"),
        ("version = 1\n[defaults]\nrounds = 1" + "0" * 400, "0… is above"),
        ("version = 1\n[defaults]\nsave = 1", "save: 1 is neither true nor false"),
        ("version = 1\n[defaults]\nlearning_rate = 1e400", "inf is not a finite number"),
        ("version = 1\n[defaults]\nrounds = 1979-05-27", "date.* is not a whole number"),
        ("version = 1\n[defaults]\nseeds = 1979-05-27", "date.* is not a seed"),
        ("version = 1\n[defaults]\ndensity = [[0.1]]", r"\[0.1\] is not in"),
        ("version = 1\n[defaults]\nk = 3\ndensity = -inf", "-inf is not in"),
        ("version = 1\n[defaults]\ncache = '~no-such-user'", "there is no such home folder"),
        ('version = 1\n[defaults]\noutput = "a\\u0000b"', "holds a NUL byte"),
        ("# " + "x" * 2**20, "larger than 262144 bytes"),
        ("version = 1\nprofile = 3", 'unknown key "profile"; did you mean "profiles"'),
        (
            "version = 1\n[defaults]\nrouns = 3",
            r'\[defaults\] unknown key "rouns"; did you mean "rounds"',
        ),
        ("version = 1\n[profiles.a.toy]\nworkers = 3", r"\[profiles.a.toy\] unknown key"),
        (
            "version = 1\n[profiles.a.linreg]\nlearning_rate = 0",
            r"\[profiles.a.linreg\] learning_rate: 0 is not above 0",
        ),
        (
            'version = 1\n[defaults]\nalgorithm = ["regtopkk:mu=4"]',
            r'\[defaults\] algorithm: unknown value "regtopkk"; did you mean "regtopk"\?',
        ),
        ("version = 1\n[profiles.a]\ndensity = [0.5, 2]", r"\[profiles.a\] density: 2 is not in"),
        ("version = 1\n[profiles.a]\nrounds = true", "True is not a whole number"),
        ("version = 1\nprofiles = 3", "profiles must be a table"),
        ("version = 1\n[defaults]\nlinreg = 3", "defaults.linreg must be a table"),
        ("version = ", "not valid TOML"),
        ("version = 1\n[profiles.quick]\n[profiles.a", "not valid TOML"),
    ],
)
def test_unusable_files_name_file_and_key(text: str, message: str) -> None:
    write(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load(None)
    assert "benchmarks.toml" in str(caught.value)


@pytest.mark.parametrize("table", ["defaults", "profiles.mine", "profiles.mine.linreg"])
@pytest.mark.parametrize(
    ("key", "spec"),
    [
        ("mu", "regtopk:mu=4"),
        ("q", "regtopk:q=1e8"),
        ("denominator", "regtopk:denominator=current"),
    ],
)
def test_hyper_parameters_are_referred_to_the_algorithm(table: str, key: str, spec: str) -> None:
    write(f"version = 1\n[{table}]\n{key} = 3")
    with pytest.raises(ConfigurationError) as caught:
        load(None)
    assert str(caught.value).endswith(
        f'[{table}] unknown key "{key}": hyper-parameters belong to the algorithm, '
        f'as in algorithm = ["{spec}"]'
    )


def test_the_toy_has_no_algorithm_to_give_hyper_parameters_to() -> None:
    write("version = 1\n[defaults.toy]\nmu = 3")
    with pytest.raises(ConfigurationError, match='unknown key "mu"') as caught:
        load(None)
    assert "algorithm" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pipe", "cannot read pipe: not a regular file"),
        (".", "cannot read .: Is a directory"),
        ("/dev/zero", "cannot read /dev/zero: not a regular file"),
        ("loop", "cannot read loop: Too many levels of symbolic links"),
        ("x" * 300, "File name too long"),
        ("~no-such-user/x", "--config: '~no-such-user/x': there is no such home folder"),
        ("a\0b", "--config: 'a\\x00b' is no path"),
        ("latin", "latin is not valid TOML: 'utf-8' codec can't decode"),
    ],
)
def test_what_is_no_settings_file_is_refused_at_once(name: str, message: str) -> None:
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    Path("latin").write_bytes(b"version = 1\n# \xe9")
    with pytest.raises(ConfigurationError) as caught:
        load(Path(name))
    assert message in str(caught.value)


def test_a_link_that_leads_nowhere_is_not_the_same_as_no_file() -> None:
    assert load(None).path is None
    Path("benchmarks.toml").symlink_to("nowhere")
    with pytest.raises(ConfigurationError, match=r"cannot read benchmarks\.toml: No such file"):
        load(None)


def test_a_settings_file_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write("version = 1\n[profiles.mine]\nrounds = 3\n")
    assert set(load(Path("~/benchmarks.toml")).profiles) == {*PACKAGED, "mine"}


def test_a_missing_file_or_profile_is_explained() -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        load(Path("absent.toml"))
    with pytest.raises(ConfigurationError, match=r"no benchmarks\.toml in this folder, and no pro"):
        load(None).profile("mine")
    write("version = 1\n[profiles.quick]")
    with pytest.raises(ConfigurationError, match='did you mean "quick"'):
        load(None).profile("quik")
