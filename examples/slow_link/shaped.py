"""Links of a given bandwidth between processes on this machine, as if it were several.

Each rank has a network namespace of its own, whose only way out is a pair of virtual Ethernet
interfaces to a bridge in another namespace: a switch. Both ends of each pair are limited by tc's
token bucket, so that every link has its bandwidth in both directions at once. That needs Linux,
root, and iproute2; nothing outside these namespaces is touched.

    with shaped(ranks=4, rate="100mbit") as network:
        network.run([sys.executable, "train.py"])  # as torchrun would start it on four machines
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PREFIX = "slowlink"
_SUBNET = "10.213.77"
_PORT = 29500
_INTERFACE = "eth0"
"""Of every rank, in its own namespace."""
_BURST_SECONDS = 1e-3
"""What a link may send at once, at its rate: less, and a busy machine wakes up too late to send on
time; more, and short messages travel for nothing."""
_QUEUE_BYTES = 8 * 2**20
"""More than a TCP connection has under way, so that nothing is dropped."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_SECONDS = 0.02
_UNITS = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}


class UnavailableError(RuntimeError):
    """There can be no such network here; its text says in a line what is missing."""


@dataclass
class ShapedNetwork:
    """Ranks with a link each; `shaped` makes it."""

    ranks: int
    rate: str
    """Of every link, in each direction, as tc takes it: 100mbit."""
    _name: str
    _started: list[subprocess.Popen[Any]] = field(default_factory=list)

    def start(
        self,
        rank: int,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> subprocess.Popen[Any]:
        """Start a command as one of the ranks, with what torch.distributed reads set.

        Args:
            rank: Which one.
            command: The command.
            environment: Variables besides this process's own.
            options: Those of `subprocess.Popen`.
        """
        ours = {
            "RANK": str(rank),
            "LOCAL_RANK": "0",
            "WORLD_SIZE": str(self.ranks),
            "MASTER_ADDR": f"{_SUBNET}.1",
            "MASTER_PORT": str(_PORT),
            "GLOO_SOCKET_IFNAME": _INTERFACE,
        }
        inside = ["ip", "netns", "exec", f"{self._name}-{rank}", *command]
        variables = {**os.environ, **ours, **(environment or {})}
        process = subprocess.Popen(inside, env=variables, start_new_session=True, **options)
        self._started.append(process)
        return process

    def run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
        """Run a command as every rank, and return what the first one prints to stdout.

        Raises:
            subprocess.CalledProcessError: If one of them fails, which ends the others.
        """
        with tempfile.TemporaryFile("w+") as printed:
            ranks = [
                self.start(
                    rank, command, environment, stdout=subprocess.DEVNULL if rank else printed
                )
                for rank in range(self.ranks)
            ]
            while any(codes := [process.poll() for process in ranks]) or None in codes:
                if failed := next((code for code in codes if code), 0):
                    self.stop()
                    raise subprocess.CalledProcessError(failed, list(command))
                time.sleep(_POLL_SECONDS)
            printed.seek(0)
            return printed.read()

    def stop(self) -> None:
        """End whatever still runs."""
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):  # it has ended, and so have its children
                os.killpg(process.pid, signal.SIGKILL)
        for process in self._started:
            process.wait()
        self._started.clear()


@contextlib.contextmanager
def shaped(ranks: int, rate: str) -> Iterator[ShapedNetwork]:
    """Make a network, and take it down again, whatever happens meanwhile.

    SIGTERM and SIGHUP end the program as Ctrl-C does. What a program left that was killed outright
    is removed by the next one.

    Args:
        ranks: How many, at least 2.
        rate: Of every link, in each direction: 100mbit, 1gbit.

    Raises:
        UnavailableError: If it cannot be made here.
    """
    require()
    for owner, name in _namespaces():
        if not Path(f"/proc/{owner}").exists():
            _remove(name)
    network = ShapedNetwork(ranks, rate, f"{_PREFIX}{os.getpid()}")
    before = {each: signal.signal(each, _interrupt) for each in _SIGNALS}
    try:
        _make(network)
        yield network
    finally:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        network.stop()
        for owner, name in _namespaces():
            if owner == os.getpid():
                _remove(name)
        for each, handler in before.items():
            signal.signal(each, handler)


def require() -> None:
    """Raise UnavailableError if nothing of this can work here."""
    missing = [tool for tool in ("ip", "tc") if shutil.which(tool) is None]
    if missing:
        raise UnavailableError(f"shaped links need iproute2 (no {' and no '.join(missing)} here)")
    if os.geteuid():
        raise UnavailableError("shaped links need root: network namespaces are made for them")


def _make(network: ShapedNetwork) -> None:
    switch = f"{network._name}-switch"
    _ip("netns", "add", switch)
    _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
    _ip("-n", switch, "link", "set", "bridge", "up")
    for rank in range(network.ranks):
        own, port = f"{network._name}-{rank}", f"port{rank}"
        _ip("netns", "add", own)
        _ip(
            "-n",
            own,
            "link",
            "add",
            _INTERFACE,
            "type",
            "veth",
            "peer",
            "name",
            port,
            "netns",
            switch,
        )
        _ip("-n", switch, "link", "set", port, "master", "bridge", "up")
        _ip("-n", own, "addr", "add", f"{_SUBNET}.{rank + 1}/24", "dev", _INTERFACE)
        for interface in ("lo", _INTERFACE):
            _ip("-n", own, "link", "set", interface, "up")
        for namespace, interface in ((own, _INTERFACE), (switch, port)):
            _limit(namespace, interface, network.rate)


def _limit(namespace: str, interface: str, rate: str) -> None:
    found = re.fullmatch(r"([0-9.]+)([kmg]bit)", rate)
    if not found:
        raise UnavailableError(f'rate "{rate}" is not one such as 100mbit')
    burst = round(float(found[1]) * _UNITS[found[2]] * _BURST_SECONDS / 8)
    _call(
        *("tc", "-n", namespace, "qdisc", "add", "dev", interface, "root", "tbf"),
        *("rate", rate, "burst", str(burst), "limit", str(_QUEUE_BYTES)),
    )


def _namespaces() -> Iterator[tuple[int, str]]:
    """Yield the namespaces that programs have made here, each with the program's process."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False)
    for line in listed.stdout.splitlines():
        if found := re.match(rf"({_PREFIX}(\d+)-\w+)", line):
            yield int(found[2]), found[1]


def _remove(namespace: str) -> None:
    """Delete a namespace; its interfaces go with it."""
    subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _ip(*words: str) -> None:
    _call("ip", *words)


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = " ".join(done.stderr.split())
        raise UnavailableError(f"shaped links cannot be made here: {' '.join(command)}: {reason}")
