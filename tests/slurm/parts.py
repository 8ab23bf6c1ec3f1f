"""What a cluster of the tests is made of: SLURM's configuration, ports, processes."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = (
    *("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "munge"),
    *("slurmdbd", "mariadb-server"),
)
BASIC = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db", "mariadb", "sacctmgr", "sacct")
CGROUPS = Path("/sys/fs/cgroup")
PARTITION = "test"
URGENT = "urgent"  # its jobs preempt those of the other
# daemons live in sbin, which is not on every PATH
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

SLURM_CONF = """\
ClusterName={name}
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={state}/munge.socket
CredType=cred/munge
StateSaveLocation={state}/ctld
SlurmctldPidFile={state}/slurmctld.pid
SlurmctldLogFile={state}/slurmctld.log
SlurmdSpoolDir={state}/spool.%n
SlurmdPidFile={state}/slurmd.%n.pid
SlurmdLogFile={state}/slurmd.%n.log
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=20
KillWait=2
InactiveLimit=0
MessageTimeout=5
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=500
{memory}
JobAcctGatherFrequency=1
MinJobAge=3600
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1,default_queue_depth=1000
MaxArraySize={max_array_size}
GresTypes=gpu
{accounting}
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
{nodes}
PartitionName={partition} Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName={urgent} Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10
"""
WITH_ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={state}/munge.socket
AccountingStorageEnforce=limits
AccountingStorageTRES=gres/gpu"""
SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={state}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
PidFile={state}/slurmdbd.pid
LogFile={state}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={db_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""
# true OUT_OF_MEMORY where cgroups v1 are ours to write; elsewhere memory is polled and a job over it
# is killed, which SLURM reports as FAILED 0:9
MEMORY_BY_CGROUP = """\
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/linux"""
MEMORY_BY_POLLING = """\
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill,UsePss"""


class ClusterError(RuntimeError):
    """The cluster cannot be brought up."""


def missing(accounting: bool = False) -> str | None:
    """Why a cluster cannot run here, or None when it can."""
    if os.geteuid() != 0:
        return "a SLURM cluster of several nodes on one host needs root"
    programs = BASIC + (ACCOUNTING if accounting else ())
    absent = [each for each in programs if shutil.which(each, path=PATH) is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install {' '.join(PACKAGES)}"
    return None


def cgroups_usable() -> bool:
    """Whether memory cgroups (v1) are mounted and may be made."""
    probe = CGROUPS / "memory" / f"slurm_probe_{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return (CGROUPS / "freezer").is_dir()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, below the range that outgoing connections use."""
    found: list[int] = []
    while len(found) < count:
        port = 17000 + secrets.randbelow(13000)
        with socket.socket() as each:
            try:
                each.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody waits for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"


def wait_for(what: str, check: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait until `check()` is true.

    Raises
    ------
    ClusterError
        If it is not within `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    while not check():
        if time.monotonic() > end:
            raise ClusterError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.05)


def clean(env: dict[str, str]) -> dict[str, str]:
    """`env` without what a surrounding job may have put there."""
    return {k: v for k, v in env.items() if k == "SLURM_CONF" or not k.startswith("SLURM")}


def end(pid: int, patience_s: float = 8.0) -> None:
    """SIGTERM, then SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience_s
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not alive(pid):
            return


def remove_cgroup(folder: Path) -> None:
    """Remove a cgroup and those in it, as far as nothing runs in them."""
    for each in [*sorted(folder.rglob("*/"), reverse=True), folder]:
        try:
            each.rmdir()
        except OSError:  # something still runs in it
            continue


if __name__ == "__main__":  # for `apt-get install`
    sys.stdout.write(" ".join(PACKAGES) + "\n")
