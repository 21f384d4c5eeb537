"""A slow network on one machine: a namespace for each rank, on links with a token bucket.

```python
with shaped_network(ranks=2, rate="20mbit") as network:
    print(network.run([sys.executable, "train.py"]))
```

Each rank has its own link to a switch, as fast up as down, whatever the others do. It needs Linux,
root and iproute2: `unavailable()` says what is missing.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

INTERFACE = "shaped"
"""What every rank calls its link."""

PORT = 29500
STDERR = 2

# One process makes the network and removes it. It reads from whoever asked for the network, and
# knows from the end of the file that they are done, were interrupted, or were killed.
_CARETAKER = """
prefix=$1 last=$(($2 - 1)) shape=$3 interface=$4
remove() {
    for space in hub $(seq 0 "$last"); do
        ip netns pids "$prefix$space" | xargs -r kill -KILL
        ip netns delete "$prefix$space"
    done 2> /dev/null
}
limit() {
    [ -z "$shape" ] || tc -n "$1" qdisc add dev "$2" root tbf $shape
}
trap remove EXIT
set -e
hub=${prefix}hub
ip netns add "$hub"
ip -n "$hub" link add switch type bridge
ip -n "$hub" link set switch up
for rank in $(seq 0 "$last"); do
    here=$prefix$rank
    ip netns add "$here"
    ip -n "$here" link set lo up
    ip -n "$here" link add "$interface" type veth peer name "port$rank" netns "$hub"
    ip -n "$here" address add "10.77.0.$((rank + 1))/24" dev "$interface"
    limit "$here" "$interface"
    limit "$hub" "port$rank"
    ip -n "$hub" link set "port$rank" master switch up
    ip -n "$here" link set "$interface" up
done
echo ready
cat > /dev/null
"""


@dataclass(frozen=True)
class ShapedNetwork:
    """Namespaces that reach each other over their links, and nothing else."""

    prefix: str
    ranks: int

    def start(
        self, rank: int, command: Sequence[str], environment: Mapping[str, str], stdout: int
    ) -> subprocess.Popen[str]:
        """Start the process of a rank; it finds in its environment what `env://` looks for."""
        group = {
            "RANK": str(rank),
            "LOCAL_RANK": "0",
            "WORLD_SIZE": str(self.ranks),
            "MASTER_ADDR": "10.77.0.1",
            "MASTER_PORT": str(PORT),
            "GLOO_SOCKET_IFNAME": INTERFACE,
        }
        return subprocess.Popen(
            ["ip", "netns", "exec", f"{self.prefix}{rank}", *command],
            env={**os.environ, **environment, **group},
            stdout=stdout,
            text=True,
        )

    def run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
        """Run a command once in every namespace, all at the same time.

        Args:
            command: The program and its arguments.
            environment: What it finds in its environment beside what is there.

        Returns:
            What rank 0 wrote to stdout; what the others write goes to stderr.

        Raises:
            subprocess.CalledProcessError: If a rank failed; the others are ended then.
        """
        with tempfile.TemporaryFile("w+") as written:
            started: list[subprocess.Popen[str]] = []
            try:
                for rank in range(self.ranks):
                    stdout = written.fileno() if rank == 0 else STDERR
                    started.append(self.start(rank, command, environment or {}, stdout))
                while None in (codes := [each.poll() for each in started]) and not any(codes):
                    time.sleep(0.05)
            finally:
                for each in started:
                    each.kill()
                    each.wait()
            if failed := next(filter(None, codes), None):
                raise subprocess.CalledProcessError(failed, list(command))
            written.seek(0)
            return written.read()


@contextlib.contextmanager
def shaped_network(
    ranks: int, rate: str | None, *, burst: str = "256kbit", latency: str = "50ms"
) -> Iterator[ShapedNetwork]:
    """Make a network, and remove it with all processes in it, whatever happens.

    Args:
        ranks: How many namespaces.
        rate: The bandwidth of each link and direction as tc writes it, `20mbit`; None: unlimited.
        burst: How much may pass at once.
        latency: How long a packet may wait for its turn before it is dropped.

    Raises:
        OSError: If it cannot be made.
    """
    prefix = f"slow-{secrets.token_hex(4)}-"
    shape = f"rate {rate} burst {burst} latency {latency}" if rate else ""
    with subprocess.Popen(
        ["sh", "-c", _CARETAKER, "sh", prefix, str(ranks), shape, INTERFACE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is not for the one who cleans up
    ) as caretaker:
        assert caretaker.stdout is not None
        if not caretaker.stdout.readline():
            _, said = caretaker.communicate()
            raise OSError(" ".join(said.split()) or "the network could not be made")
        yield ShapedNetwork(prefix, ranks)


def unavailable() -> str | None:
    """Say in a line why there can be no such network here; None if there can."""
    if not sys.platform.startswith("linux"):
        return "a shaped link needs the network namespaces of Linux"
    if os.geteuid() != 0:
        return "a shaped link needs root: network namespaces are made for it"
    if missing := [each for each in ("ip", "tc") if shutil.which(each) is None]:
        return f"a shaped link needs iproute2: {' and '.join(missing)} not found"
    try:
        with shaped_network(ranks=2, rate="1gbit"):
            return None
    except OSError as error:
        return f"this system makes no shaped link: {error}"
