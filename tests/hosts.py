"""Machines of a cluster, as far as one machine can play them: each has an address, a folder, processes.

On loopback addresses they differ in their address alone. With network and mount namespaces (Linux, root)
each has a network of its own, behind a cable that can be pulled, and sees no file of the others: not the
folders of their processes, and not the package where this process has it, but a copy at another path.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("lakehouse", "transforms", "sql")
NETWORK = "10.213.0"  # of the namespaces, which no other network can see
LOST_SECONDS = 60.0  # until a machine whose cable is pulled counts as lost


@dataclass
class Host:
    """One machine: its processes run under `prefix`, in `folder`, with `environment` beside the usual."""

    address: str
    folder: Path
    prefix: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    cable: tuple[str, ...] = ()  # the command that pulls it
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`python ARGUMENTS` on this machine; its output goes to `log` in the machine's folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*self.prefix, sys.executable, *arguments],
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def run(self, *arguments: str) -> bytes:
        """What `python ARGUMENTS` on this machine prints. Raises CalledProcessError."""
        command = [*self.prefix, sys.executable, *arguments]
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, cwd=self.folder, env=environment, check=True, stdout=subprocess.PIPE)
        return done.stdout

    def wait_for(self, *ports: str) -> None:
        """Until something answers at the ports of this machine."""
        code = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"
        for port in ports:
            for _ in range(300):
                with suppress(subprocess.CalledProcessError):
                    self.run("-W", "ignore", "-c", f"import os; os.close(2)\n{code}", self.address, port)
                    break
                time.sleep(0.1)

    def lose(self) -> None:
        """The machine is gone at once: no process of it says goodbye, and nobody answers for it."""
        if self.cable:
            subprocess.run(self.cable, check=True)
        for process in self.running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.running.clear()


def scheduler(host: Host) -> str:
    """Starts a Dask scheduler; returns its address. Workers' silence is taken for their loss early."""
    file = host.folder / "scheduler.json"
    host.environment["DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP"] = f"{LOST_SECONDS / 4:.0f}s"
    told = ["--host", host.address, "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    process = host.start("-m", "distributed.cli.dask_scheduler", *told)
    return str(json.loads(_written(file, process, host))["address"])


def worker(host: Host, scheduler: str, *told: str) -> None:
    """Starts a Dask worker of one thread, with nothing but its own folder to write to."""
    where = ["--host", host.address, "--local-directory", str(host.folder / "scratch")]
    usual = ["--nworkers", "1", "--nthreads", "1", "--no-dashboard", "--resources", "cpu=1 io=1"]
    host.start("-m", "distributed.cli.dask_worker", scheduler, *where, *usual, *told)


def _written(file: Path, process: subprocess.Popen[bytes], host: Host) -> str:
    for _ in range(600):
        if file.exists() and file.read_text().endswith("}"):
            return file.read_text()
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError((host.folder / "log").read_text())


@contextmanager
def on_loopback(folder: Path, names: Sequence[str]) -> Iterator[list[Host]]:
    """One machine per name, at 127.0.0.2 and so on, which Linux answers to without being told."""
    hosts = [Host(f"127.0.0.{n}", folder / name) for n, name in enumerate(names, 2)]
    with _ending(hosts):
        yield hosts


@contextmanager
def in_namespaces(folder: Path, names: Sequence[str]) -> Iterator[list[Host]]:
    """One machine per name, the first with a bridge to which the others are cabled.

    Raises OSError or CalledProcessError where this process may not make namespaces.
    """
    with ExitStack() as stack:
        spaces = [f"pairlake-{os.getpid()}-{n}" for n in range(len(names))]
        for space in spaces:
            _ip("netns", "add", space)
            stack.callback(_ip, "netns", "del", space)
            _ip("-n", space, "link", "set", "lo", "up")
        _ip("-n", spaces[0], "link", "add", "bridge", "type", "bridge")
        _ip("-n", spaces[0], "addr", "add", f"{NETWORK}.1/24", "dev", "bridge")
        _ip("-n", spaces[0], "link", "set", "bridge", "up")
        hosts = []
        for n, (name, space) in enumerate(zip(names, spaces, strict=True)):
            host = Host(f"{NETWORK}.{n + 1}", folder / name, ("ip", "netns", "exec", space))
            if n:
                _cable(spaces[0], space, f"{host.address}/24", f"port{n}")
                host.cable = ("ip", "-n", spaces[0], "link", "set", f"port{n}", "down")
                _alone(host, [folder / other for other in names if other != name])
            hosts.append(host)
        stack.enter_context(_ending(hosts))
        yield hosts


def _cable(hub: str, space: str, address: str, port: str) -> None:
    _ip("-n", hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
    _ip("-n", hub, "link", "set", port, "master", "bridge", "up")
    _ip("-n", space, "addr", "add", address, "dev", "eth0")
    _ip("-n", space, "link", "set", "eth0", "up")


def _alone(host: Host, others: Sequence[Path]) -> None:
    """Hides the other machines' folders and this process's package from those of `host`."""
    code = host.folder / "code"
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    host.environment["PYTHONPATH"] = str(code)
    hidden = [*others, *[REPOSITORY / package for package in PACKAGES]]
    for other in others:
        other.mkdir(parents=True, exist_ok=True)
    mounts = " && ".join(f"mount -t tmpfs none {shlex.quote(str(path))}" for path in hidden)
    host.prefix = (*host.prefix, "sh", "-c", f'{mounts} && exec "$@"', "sh")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def _ending(hosts: Sequence[Host]) -> Iterator[None]:
    try:
        yield
    finally:
        for host in hosts:
            host.cable = ()
            host.lose()
