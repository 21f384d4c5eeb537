from __future__ import annotations

import os
from pathlib import Path

import pytest

from regtopk_bench import machine


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty tree of control groups."""
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_a_machine_says_what_it_is() -> None:
    facts = machine.facts()
    assert facts["processors"] == os.cpu_count()
    assert facts["usable_processors"] == machine.usable_processors()
    assert isinstance(facts["load"], float)
    assert machine.processor()
    before, then = machine.stolen(), machine.stolen()
    assert 0 <= before[0] <= then[0]
    assert before[1] <= then[1]


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ({"cpu.max": "300000 100000", "cpu/cpu.max": "200000 100000"}, 2.0),
    ],
)
def test_the_limit_of_a_container(groups: Path, files: dict[str, str], limit: float | None) -> None:
    for name, text in files.items():
        write(groups / name, text)
    assert machine.processor_limit() == limit


def test_affinity_counts() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.usable_processors() == 1
        if (os.cpu_count() or 1) > 1:
            assert "affinity" in machine.remark("usable_processors", 1)
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("governor", "powersave", "choose performance"),
        ("governor", "performance", ""),
        ("governor", None, ""),
        ("threads_per_core", 2, "SMT"),
        ("threads_per_core", 1, ""),
        ("processor_limit", 1.5, "more than 1.5 processors"),
        ("processor_limit", None, ""),
        ("load", 3.0, "something else is running"),
        ("load", 0.1, ""),
        ("virtual_machine", True, "others may share"),
        ("virtual_machine", False, ""),
        ("gpu_persistence", "Disabled", "nvidia-smi -pm 1"),
        ("gpu_persistence", "Enabled", ""),
    ],
)
def test_remarks(name: str, value: machine.Fact, said: str) -> None:
    remark = machine.remark(name, value)
    assert said in remark
    assert bool(remark) == bool(said)


def test_what_the_gpus_driver_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.gpu("name", "clocks.sm") == {}
    program = tmp_path / "nvidia-smi"
    write(program, "#!/bin/sh\necho 'NVIDIA H200, 1980'\necho 'NVIDIA H200, 345'\n")
    program.chmod(0o755)
    assert machine.gpu("name", "clocks.sm") == {"name": "NVIDIA H200", "clocks.sm": "1980"}
    assert machine.gpu("name") == {}
    write(program, "#!/bin/sh\nexit 9\n")
    assert machine.gpu("name", "clocks.sm") == {}


def test_lists_of_processors() -> None:
    assert machine._numbers("0-1,4") == [0, 1, 4]
    assert machine._numbers("3") == [3]
