"""Two machines on this one: network namespaces that are joined by a cable, each of which can run a process."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ADDRESSES = ("10.99.0.1", "10.99.0.2")


class TwoMachines:
    """Two network namespaces with one interface each.

    Args:
        name: At most ten letters, which no other pair uses at the same time.

    Raises:
        PermissionError: This user may not make network namespaces.
    """

    def __init__(self, name: str) -> None:
        self.spaces = (f"{name}-a", f"{name}-b")
        self.interfaces = (f"{name}-0", f"{name}-1")
        if os.geteuid() != 0 or shutil.which("ip") is None:
            raise PermissionError("network namespaces need root and iproute2")
        for space in self.spaces:
            if subprocess.run(["ip", "netns", "add", space], capture_output=True, check=False).returncode:
                raise PermissionError("network namespaces cannot be made here")
        first, second = self.interfaces
        cable = ["ip", "link", "add", first, "netns", self.spaces[0], "type", "veth", "peer", "name", second]
        subprocess.run([*cable, "netns", self.spaces[1]], check=True)
        for space, interface, address in zip(self.spaces, self.interfaces, ADDRESSES, strict=True):
            subprocess.run(["ip", "-n", space, "addr", "add", f"{address}/24", "dev", interface], check=True)
            for each in ("lo", interface):
                subprocess.run(["ip", "-n", space, "link", "set", each, "up"], check=True)

    def start(
        self, machine: int, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a command on a machine; what it says goes to ``folder/said0.txt`` or ``said1.txt``."""
        own = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": self.interfaces[machine], **environment}
        with open(folder / f"said{machine}.txt", "a") as said:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.spaces[machine], *command],
                cwd=folder,
                env={**os.environ, **own},
                stdout=said,
                stderr=said,
            )

    def unplug(self) -> None:
        """Pull the cable: packets are lost, and nobody is told."""
        subprocess.run(["ip", "-n", self.spaces[0], "link", "set", self.interfaces[0], "down"], check=True)

    def plug(self) -> None:
        """Put the cable back."""
        subprocess.run(["ip", "-n", self.spaces[0], "link", "set", self.interfaces[0], "up"], check=True)

    def remove(self) -> None:
        """Remove the namespaces, and the interfaces with them."""
        for space in self.spaces:
            subprocess.run(["ip", "netns", "delete", space], check=False, capture_output=True)
