from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cyto_kedro.runner.resources import Resources
from cyto_kedro.runner.slurm.script import directive, script

EXPECTED = """\
#!/bin/bash
#SBATCH --job-name=cyto:r1:segment:001
#SBATCH --array=0-2%2
#SBATCH --chdir=/p
#SBATCH --output=/p/runs/r1/jobs/segment/001/%a.log
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=1:00:00
#SBATCH --partition=gpu
#SBATCH --gres=gpu:1
#SBATCH --no-requeue
#SBATCH --open-mode=truncate
#SBATCH --exclusive
export OMP_NUM_THREADS=4
export MKL_NUM_THREADS=4
export OPENBLAS_NUM_THREADS=4
export BLIS_NUM_THREADS=4
export VECLIB_MAXIMUM_THREADS=4
export NUMEXPR_NUM_THREADS=4
export NUMBA_NUM_THREADS=4
export TF_NUM_INTRAOP_THREADS=4
export TF_NUM_INTEROP_THREADS=4
export DASK_NUM_WORKERS=4
export TMPDIR=/scratch
export COLUMNS=160
export NOTE='it'"'"'s $HOME'
{ module load Python/3.11
} || { echo 'setup failed: module load Python/3.11' >&2; exit 97; }
exec apptainer exec 'my image.sif' python3 -m cyto_kedro.runner.worker \
/p/runs/r1/jobs/segment/001/task.json "$SLURM_ARRAY_TASK_ID"
"""


def test_the_script_is_the_recorded_one() -> None:
    asked = Resources(
        partition="gpu",
        gres="gpu:1",
        cpus_per_task=4,
        mem="8G",
        max_parallel=2,
        setup=("module load Python/3.11",),
        container=("apptainer", "exec", "my image.sif"),
        python="python3",
        options=("--exclusive",),
        scratch="/scratch",
        environment={"NOTE": "it's $HOME"},
    )
    folder = Path("/p/runs/r1/jobs/segment/001")
    text = script(
        asked, name="cyto:r1:segment:001", project=Path("/p"), folder=folder, tasks=range(3)
    )
    assert text == EXPECTED


def test_no_path_is_read_by_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "a b; touch x $(touch y) 'q' 50%"
    folder.mkdir()
    shown = tmp_path / "python"
    shown.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    shown.chmod(0o755)
    text = script(
        Resources(python=str(shown)), name="n", project=tmp_path, folder=folder, tasks=[0, 4]
    )
    assert "--array=0,4\n" in text and '50%%/%a.log"' in text
    done = subprocess.run(
        ["bash", "-c", text],
        cwd=tmp_path,
        env={**os.environ, "SLURM_ARRAY_TASK_ID": "4"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "-m",
        "cyto_kedro.runner.worker",
        f"{folder}/task.json",
        "4",
    ]
    assert not (tmp_path / "x").exists() and not (tmp_path / "y").exists()


def test_directives_are_quoted_as_sbatch_reads_them() -> None:
    assert directive("gpu:1") == "gpu:1"
    assert directive('a "b" \\ c') == '"a \\"b\\" \\\\ c"'
    assert sys.executable in script(
        Resources(), name="n", project=Path("/p"), folder=Path("/p/f"), tasks=[0]
    )
