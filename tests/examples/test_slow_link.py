"""The comparison on a slow link: what it measures there, and what it says where there is none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "slow_link"
sys.path.insert(0, str(FOLDER))
from shaped import shaped_network, unavailable  # noqa: E402

WHY = unavailable()
shaped = pytest.mark.skipif(WHY is not None, reason=str(WHY))

HOLDS = """
import sys
from shaped import shaped_network
with shaped_network(2, "100mbit") as network:
    print(network.prefix, flush=True)
    network.run(["sleep", "600"])
"""


def compare(*arguments: str, **environment: str) -> Any:
    return subprocess.run(
        [sys.executable, str(FOLDER / "compare.py"), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


def left(prefix: str) -> bool:
    """Whether a namespace of the network is still there."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return prefix in listed.stdout


def test_says_in_one_line_what_is_missing(tmp_path: Path) -> None:
    ended = compare("--rate", "20mbit", PATH=str(tmp_path))  # where there is no iproute2
    assert ended.returncode == 3
    (line,) = ended.stderr.splitlines()
    assert "needs root" in line or "needs iproute2" in line or "needs the network name" in line
    assert not ended.stdout


@shaped
def test_ranks_train_across_a_limited_link(tmp_path: Path) -> None:
    rounds, output = 4, tmp_path / "measured.json"
    ended = compare(
        *("--rate", "50mbit", "--hooks", "regtopk", "--rounds", str(rounds), "--batch", "4"),
        *("--evaluate-every", str(rounds), "--output", str(output)),
    )
    assert ended.returncode == 0, ended.stderr
    row = ended.stdout.splitlines()[-1].split("|")
    assert row[1].strip() == "regtopk"
    (measured,) = json.loads(output.read_text())["hooks"]
    assert len(measured["seconds"]) == rounds
    assert measured["bytes"] == 8 * (measured["parameters"] // 100)  # an index and a value each
    assert [each[0] for each in measured["evaluations"]] == [rounds]


@shaped
def test_links_are_no_faster_than_asked() -> None:
    size, rate = 200_000, 10e6  # bytes, bit/s
    talk = (
        "import os, socket, sys, time\n"
        "first = os.environ['RANK'] == '0'\n"
        "if first:\n"
        "    with socket.create_server(('10.77.0.1', 5000)) as server:\n"
        "        peer, _ = server.accept()\n"
        "        started, came = time.perf_counter(), 0\n"
        "        while part := peer.recv(65536):\n"
        "            came += len(part)\n"
        "        print(came, time.perf_counter() - started)\n"
        "else:\n"
        "    while True:\n"
        "        try:\n"
        "            peer = socket.create_connection(('10.77.0.1', 5000))\n"
        "            break\n"
        "        except ConnectionRefusedError:\n"
        "            time.sleep(0.05)\n"
        f"    peer.sendall(bytes({size}))\n"
    )
    with shaped_network(2, "10mbit", burst="32kbit") as network:
        came, seconds = network.run([sys.executable, "-c", talk]).split()
    assert int(came) == size
    assert float(seconds) > 0.9 * 8 * size / rate - 0.05  # a busy machine only makes it slower


@shaped
def test_a_rank_that_fails_ends_the_others() -> None:
    with (
        shaped_network(3, None) as network,
        pytest.raises(subprocess.CalledProcessError) as failed,
    ):
        network.run(["sh", "-c", "[ $RANK = 1 ] && exit 7; sleep 600"])
    assert failed.value.returncode == 7
    assert not left(network.prefix)


@shaped
def test_a_network_that_cannot_be_made_is_an_error_and_leaves_nothing() -> None:
    with pytest.raises(OSError, match="rate"), shaped_network(2, "nonsense"):
        pass


@shaped
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_when_killed(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS], cwd=FOLDER, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        prefix = holder.stdout.readline().strip()
        assert left(prefix)
        holder.send_signal(number)
    deadline = time.monotonic() + 30.0
    while left(prefix) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left(prefix)
