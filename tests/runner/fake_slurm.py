"""sbatch, squeue, sacct, scancel and scontrol without SLURM: ``fake_slurm.py COMMAND STATE WORDS``.

Tasks of an array are processes of this machine, at most two at once. ``<state>/faults.json`` says what
goes wrong: ``{"refuse": 1, "kill": 1}`` refuses the first call of sbatch, and kills the first task,
which SLURM then calls OUT_OF_MEMORY. ``blind`` calls of squeue say nothing of any job, ``silent`` ones
find no controller. A stranger's job ``cyto:hello`` is always in the queue.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

AT_ONCE = 2


def counted(state: Path, what: str) -> bool:
    """Whether a fault is to happen now; it happens as often as ``faults.json`` says."""
    told = json.loads((state / "faults.json").read_text())
    with (state / f"{what}.count").open("a+") as file:
        file.seek(0)
        done = len(file.read())
        file.write("x")
    return done < told.get(what, 0)


def sbatch(state: Path, words: list[str]) -> int:
    """Keep the script and start what runs its tasks."""
    if counted(state, "refuse"):
        sys.stderr.write(
            "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job "
            "violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n"
        )
        return 1
    text = Path(words[-1]).read_text()
    job = str(100 + len(list(state.glob("*.job"))))
    options = dict(re.findall(r"(?m)^#SBATCH --([a-z-]+)=(.*)$", text))
    first, _, last = options["array"].partition("%")[0].partition("-")
    name = options["job-name"].strip('"')
    tasks = {str(index): "PENDING" for index in range(int(first), int(last or first) + 1)}
    content = {"name": name, "script": words[-1], "output": options["output"], "tasks": tasks}
    (state / f"{job}.job").write_text(json.dumps(content))
    subprocess.Popen(
        [sys.executable, __file__, "work", str(state), job],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    sys.stdout.write(job + "\n")
    return 0


def work(state: Path, words: list[str]) -> int:
    """Run the tasks of a job, and keep their states."""
    path = state / f"{words[0]}.job"
    job = json.loads(path.read_text())
    running: dict[str, subprocess.Popen[bytes]] = {}

    def note(task: str, what: str) -> None:
        job["tasks"][task] = what
        part = path.with_suffix(".part")
        part.write_text(json.dumps(job))
        part.replace(path)

    todo = list(job["tasks"])
    while todo or running:
        while todo and len(running) < AT_ONCE:
            task = todo.pop(0)
            env = {**os.environ, "SLURM_ARRAY_JOB_ID": words[0], "SLURM_ARRAY_TASK_ID": task}
            with Path(job["output"].strip('"').replace("%a", task)).open("wb") as log:
                if counted(state, "kill"):
                    note(task, "OUT_OF_MEMORY")
                    continue
                command = ["bash", job["script"]]
                running[task] = subprocess.Popen(command, env=env, stdout=log, stderr=log)
            note(task, "RUNNING")
        task, process = next(iter(running.items()))
        note(task, "COMPLETED" if process.wait() == 0 else "FAILED")
        del running[task]
    return 0


def squeue(state: Path, words: list[str]) -> int:
    """Every task with its state, as our client asks for it."""
    with (state / "squeue.calls").open("a") as file:
        file.write(" ".join(words) + "\n")
    live = "--me" in words
    if counted(state, "silent"):
        sys.stderr.write("slurm_load_jobs error: Unable to contact slurm controller\n")
        return 1
    if live:
        sys.stdout.write("7|7|cyto:hello\n")
    elif counted(state, "blind"):
        return 0
    for path in sorted(state.glob("*.job")):
        job = json.loads(path.read_text())
        for task, said in job["tasks"].items():
            if not live:
                sys.stdout.write(f"{path.stem}_{task}|{said}|None\n")
            elif said in ("PENDING", "RUNNING"):
                sys.stdout.write(f"{path.stem}|{path.stem}|{job['name']}\n")
    return 0


def scancel(state: Path, words: list[str]) -> int:
    """Noted; nothing to cancel is left when these tests end."""
    with (state / "scancel.calls").open("a") as file:
        file.write(" ".join(words) + "\n")
    return 0


def sacct(state: Path, words: list[str]) -> int:
    """A cluster without accounting."""
    sys.stderr.write("Slurm accounting storage is disabled\n")
    return 1


def scontrol(state: Path, words: list[str]) -> int:
    """The limit of arrays, and whether a job is known."""
    if "job" in words:
        if not (state / f"{words[-1]}.job").exists():
            sys.stderr.write("slurm_load_jobs error: Invalid job id specified\n")
            return 1
        sys.stdout.write(f"JobId={words[-1]} JobState=RUNNING\n")
        return 0
    sys.stdout.write("MaxArraySize            = 3\n")
    return 0


COMMANDS = {each.__name__: each for each in (sbatch, work, squeue, scancel, sacct, scontrol)}


def install(folder: Path, faults: dict[str, int]) -> Path:
    """Put the commands into `folder`; returns what PATH has to begin with."""
    state = folder / "state"
    state.mkdir(parents=True)
    (state / "faults.json").write_text(json.dumps(faults))
    for name in COMMANDS:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "{state}" "$@"\n')
        path.chmod(0o755)
    return folder


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(COMMANDS[sys.argv[1]](Path(sys.argv[2]), sys.argv[3:]))
