"""A real SLURM cluster on this machine's loopback, for tests: several nodes, one host, no systemd.

As root, with Debian's packages (`PACKAGES`). Everything lies in one state folder; ports, node names
and the munge socket are the cluster's own, so that two clusters live beside each other.

    python tests/slurm/cluster.py up --state /tmp/slurm-test --accounting   # prints SLURM_CONF
    python tests/slurm/cluster.py down --state /tmp/slurm-test

`down` ends only what `up` started: the daemons by their pid files, and their job steps.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from parts import (
    CGROUPS,
    MEMORY_BY_CGROUP,
    MEMORY_BY_POLLING,
    PARTITION,
    PATH,
    SLURM_CONF,
    SLURMDBD_CONF,
    URGENT,
    WITH_ACCOUNTING,
    ClusterError,
    alive,
    cgroups_usable,
    clean,
    end,
    free_ports,
    missing,
    remove_cgroup,
    wait_for,
)


@dataclass(frozen=True)
class Cluster:
    """A cluster, by its state folder."""

    state: Path

    @property
    def conf(self) -> Path:
        """What SLURM_CONF has to be."""
        return self.state / "slurm.conf"

    @property
    def env(self) -> dict[str, str]:
        """The environment in which SLURM's commands find this cluster."""
        return {**os.environ, "PATH": PATH, "SLURM_CONF": str(self.conf)}

    @property
    def nodes(self) -> list[str]:
        """Names of the nodes."""
        return re.findall(r"(?m)^NodeName=(\S+)", self.conf.read_text())

    @property
    def accounting(self) -> bool:
        """Whether slurmdbd is part of it."""
        return (self.state / "slurmdbd.conf").exists()

    def call(self, *words: str | Path, check: bool = True) -> str:
        """Run one of SLURM's commands; its output, stripped."""
        done = subprocess.run(
            [str(each) for each in words],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if check and done.returncode:
            raise ClusterError(f"{' '.join(map(str, words))}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def jobs(self) -> dict[str, tuple[str, str]]:
        """``{job or task id: (state, name)}`` of all jobs that the controller remembers."""
        return self._squeue("-t", "all")

    def live_jobs(self) -> dict[str, tuple[str, str]]:
        """Those that wait or run."""
        return self._squeue()

    def _squeue(self, *words: str) -> dict[str, tuple[str, str]]:
        lines = self.call("squeue", "-h", "-r", *words, "-o", "%i|%T|%j").splitlines()
        parts = (each.split("|", 2) for each in lines)
        return {identity: (state, name) for identity, state, name in parts}

    def idle(self) -> bool:
        """Whether all nodes are up and no job is on them."""
        states = self.call("sinfo", "-h", "-N", "-p", PARTITION, "-o", "%T", check=False).split()
        return len(states) == len(self.nodes) and set(states) == {"idle"}

    def reset(self) -> None:
        """Cancel every job, put every node back, and wait until all is idle."""
        self.start_controller()
        if self.live_jobs():
            self.call("scancel", "--state=PENDING", "-u", "root", check=False)
            self.call("scancel", "-u", "root", check=False)
        for node in self.nodes:
            self.start_node(node)
        down = self.call("sinfo", "-h", "-N", "-p", PARTITION, "-o", "%N|%T").splitlines()
        for each in down:
            node, state = each.split("|")
            if state.startswith(("down", "drain")):
                self.call("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        wait_for("all nodes idle", self.idle, 60)

    def start_node(self, name: str) -> None:
        """Start a node's slurmd if it does not run."""
        if not self._pid(f"slurmd.{name}", "slurmd"):
            self._start("slurmd", "-N", name, "-f", self.conf)

    def kill_node(self, name: str) -> None:
        """Kill a node's slurmd, as when the machine dies (its jobs go on until they end)."""
        if pid := self._pid(f"slurmd.{name}", "slurmd"):
            os.kill(pid, signal.SIGKILL)

    def start_controller(self) -> None:
        """Start slurmctld, if it does not run, from the state that it left."""
        if not self._pid("slurmctld", "slurmctld"):
            self._start("slurmctld", "-f", self.conf)
        wait_for("slurmctld", lambda: "UP" in self.call("scontrol", "ping", check=False))

    def stop_controller(self) -> None:
        """Stop slurmctld: jobs run on, the client commands fail."""
        self._stop("slurmctld", "slurmctld")

    @contextmanager
    def silent(self) -> Iterator[None]:
        """A controller that lives and does not answer (SIGSTOP), as a host that is overloaded."""
        pid = self._pid("slurmctld", "slurmctld")
        if pid is None:
            raise ClusterError("slurmctld does not run")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def down(self) -> None:
        """Stop what `up` started, job steps first, and remove the cgroups that it made."""
        if self._pid("slurmctld", "slurmctld"):
            self.call("scancel", "-u", "root", check=False)
            deadline = time.monotonic() + 5
            while self.steps() and time.monotonic() < deadline:
                time.sleep(0.1)
        names = self.nodes if self.conf.exists() else []
        self._stop("slurmctld", "slurmctld")
        for name in names:
            self._stop(f"slurmd.{name}", "slurmd")
        for pid in self.steps():
            end(pid)
        self._stop("slurmdbd", "slurmdbd")
        self._stop("mariadbd", "mariadbd")
        self._stop("munged", "munged")
        for name in names:
            for folder in CGROUPS.glob(f"*/slurm_{name}"):
                remove_cgroup(folder)

    def daemons(self) -> dict[str, int]:
        """The daemons of this cluster that run, by the name of their pid file."""
        files = sorted(self.state.glob("*.pid"))
        pids = {each.stem: self._pid(each.stem, each.stem.split(".")[0]) for each in files}
        return {name: pid for name, pid in pids.items() if pid}

    def steps(self) -> list[int]:
        """Process ids of this cluster's job steps (their slurmstepd)."""
        mine = f"SLURM_CONF={self.conf}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
                if not command.startswith(b"slurmstepd") or not alive(int(folder.name)):
                    continue
                if mine in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:  # it ended meanwhile
                continue
        return found

    def _pid(self, name: str, program: str) -> int | None:
        """The process of a pid file, if it lives and is that program still."""
        try:
            pid = int((self.state / f"{name}.pid").read_text().split()[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            return None
        return pid if alive(pid) and program.encode() in command.split(b"\0")[0] else None

    def _start(self, *words: str | Path) -> None:
        log = self.state / f"{words[0]}.start.log"
        with log.open("ab") as file:
            done = subprocess.run(
                [str(each) for each in words],
                env=clean(self.env),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self.state,
                timeout=60,
                check=False,
            )
        if done.returncode:
            raise ClusterError(f"{words[0]} did not start: {log.read_text()[-2000:]}")

    def _stop(self, name: str, program: str) -> None:
        if pid := self._pid(name, program):
            end(pid)


def up(
    state: Path,
    *,
    accounting: bool = True,
    n_nodes: int = 4,
    cpus: int = 4,
    mem_mb: int = 8000,
    max_array_size: int = 1001,
    cgroups: bool | None = None,
) -> Cluster:
    """Bring a cluster up in the empty or absent folder `state`; returns when all nodes are idle.

    Parameters
    ----------
    accounting
        With slurmdbd and a MariaDB of its own.
    cpus, mem_mb
        What each node claims to have; only memory of a job is enforced.
    cgroups
        Enforce memory by cgroups (None: where they can be used), else by polling.

    Raises
    ------
    ClusterError
        If something that it needs is not here, or a daemon does not start.
    """
    if reason := missing(accounting):
        raise ClusterError(reason)
    state = state.resolve()
    state.mkdir(parents=True, exist_ok=True)
    if any(state.iterdir()):
        raise ClusterError(f"{state} is not empty: give another folder, or `down` what is there")
    state.chmod(0o755)
    cluster = Cluster(state)
    try:
        _bring_up(cluster, accounting, n_nodes, cpus, mem_mb, max_array_size, cgroups)
    except BaseException:
        cluster.down()
        raise
    return cluster


def _bring_up(
    cluster: Cluster,
    accounting: bool,
    n_nodes: int,
    cpus: int,
    mem_mb: int,
    max_array_size: int,
    cgroups: bool | None,
) -> None:
    state = cluster.state
    port, dbd_port, db_port, *node_ports = free_ports(3 + n_nodes)
    name = f"test{port}"  # node names become names of cgroups, so they are the cluster's own
    for each in ("ctld", "db"):
        (state / each).mkdir()
    host = socket.gethostname().split(".")[0]
    nodes = [
        f"NodeName={name}n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={each} CPUs={cpus} "
        f"RealMemory={mem_mb} Gres=gpu:1 State=UNKNOWN"
        for number, each in enumerate(node_ports, start=1)
    ]
    by_cgroup = cgroups_usable() if cgroups is None else cgroups
    conf = SLURM_CONF.format(
        name=name,
        port=port,
        state=state,
        partition=PARTITION,
        urgent=URGENT,
        max_array_size=max_array_size,
        memory=MEMORY_BY_CGROUP if by_cgroup else MEMORY_BY_POLLING,
        accounting=WITH_ACCOUNTING.format(port=dbd_port, state=state) if accounting else "",
        nodes="\n".join(nodes),
    )
    cluster.conf.write_text(conf)
    (state / "gres.conf").write_text("Name=gpu File=/dev/null\n")
    (state / "cgroup.conf").write_text(
        "CgroupPlugin=cgroup/v1\nConstrainRAMSpace=yes\nConstrainSwapSpace=no\nAllowedSwapSpace=0\n"
        if by_cgroup
        else "CgroupPlugin=disabled\n"
    )
    key = state / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    cluster._start(
        "munged",
        f"--socket={state}/munge.socket",
        f"--key-file={key}",
        f"--pid-file={state}/munged.pid",
        f"--log-file={state}/munged.log",
        f"--seed-file={state}/munged.seed",
    )
    if accounting:
        _start_accounting(cluster, name, dbd_port, db_port)
    cluster.start_controller()
    for each in cluster.nodes:
        (state / f"spool.{each}").mkdir()
        cluster.start_node(each)
    wait_for("all nodes idle", cluster.idle, 60)


def _start_accounting(cluster: Cluster, name: str, dbd_port: int, db_port: int) -> None:
    state, db = cluster.state, cluster.state / "db"
    cluster._start(
        *("mariadb-install-db", "--no-defaults", f"--datadir={db}", "--user=root"),
        *("--auth-root-authentication-method=normal", "--skip-test-db"),
    )
    log = (state / "mariadbd.log").open("ab")
    subprocess.Popen(
        [
            *("mariadbd", "--no-defaults", f"--datadir={db}", "--user=root"),
            *(f"--socket={state}/mariadb.socket", f"--port={db_port}", "--bind-address=127.0.0.1"),
            *(f"--pid-file={state}/mariadbd.pid", "--innodb-buffer-pool-size=64M"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-lock-wait-timeout=900"),
        ],
        env=clean(cluster.env),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=state,
        start_new_session=True,
    )
    log.close()
    sql = (
        "CREATE USER 'slurm'@'%' IDENTIFIED BY 'slurm'; "
        "GRANT ALL ON slurm_acct_db.* TO 'slurm'@'%';"
    )
    client = ("mariadb", "--no-defaults", f"--socket={state}/mariadb.socket", "-u", "root", "-e")
    wait_for("MariaDB", lambda: cluster.call(*client, "SELECT 1", check=False))
    cluster.call(*client, sql)
    conf = state / "slurmdbd.conf"
    conf.touch(mode=0o600)
    conf.write_text(SLURMDBD_CONF.format(state=state, port=dbd_port, db_port=db_port))
    cluster._start("slurmdbd")  # finds its file beside slurm.conf
    wait_for(
        "slurmdbd", lambda: "Cluster" in cluster.call("sacctmgr", "show", "cluster", check=False)
    )
    cluster.call("sacctmgr", "-i", "add", "cluster", name)
    cluster.call("sacctmgr", "-i", "add", "account", "lab", f"Cluster={name}")
    cluster.call("sacctmgr", "-i", "add", "user", "root", "Account=lab", f"Cluster={name}")


@contextmanager
def running(state: Path, **settings: object) -> Iterator[Cluster]:
    """A cluster that lives as long as the ``with`` block."""
    cluster = up(state, **settings)  # type: ignore[arg-type]
    try:
        yield cluster
    finally:
        cluster.down()


def main(words: Sequence[str] | None = None) -> int:
    """The command line; prints the line that a shell can ``eval``."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("--state", type=Path, required=True, help="the cluster's own folder")
    parser.add_argument("--accounting", action="store_true", help="with slurmdbd and MariaDB")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--max-array-size", type=int, default=1001)
    given = parser.parse_args(words)
    if given.action == "down":
        Cluster(given.state.resolve()).down()
        return 0
    try:
        cluster = up(
            given.state,
            accounting=given.accounting,
            n_nodes=given.nodes,
            max_array_size=given.max_array_size,
        )
    except ClusterError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"export SLURM_CONF={cluster.conf}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
