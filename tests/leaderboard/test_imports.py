"""What importing the leaderboard brings with it."""

import os
import subprocess
import sys


def test_it_imports_neither_torch_nor_the_project():
    code = (
        "import sys\n"
        "from leaderboard.analysis import ranking, stats; from leaderboard.records import store; from leaderboard.render import pages, report, tables\n"
        "stats.ranks([[.1, .2], [.3, .4]]); stats.summary([.1, .2])\n"
        "print([m for m in ('torch', 'benchmark_adapters', 'gdd_plugin') if m in sys.modules])"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    assert (
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout.strip()
        == "[]"
    )
