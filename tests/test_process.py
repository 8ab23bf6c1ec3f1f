from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SESSION = """
import gc
from pathlib import Path
usual = gc.get_threshold()
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
import cyto_kedro.settings
assert gc.get_threshold() == (100_000, *usual[1:])
bootstrap_project(Path.cwd())
for _ in range(2):
    KedroSession.create(Path.cwd()).load_context()
    assert gc.get_threshold() == usual
    cyto_kedro.settings.collect_rarely()
    print(gc.get_freeze_count())
"""


def test_garbage_is_looked_for_rarely_until_the_first_session_only(project_root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SESSION],
        cwd=project_root,
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = map(int, done.stdout.split()[-2:])
    assert 0 < second <= first  # nothing of a later session is kept for good
