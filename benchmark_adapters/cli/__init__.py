"""The command ``ddbench``."""

import click

from benchmark_adapters import console
from benchmark_adapters.cli import checking, robustness, running, showing, submitting

COMMANDS = (
    running.run_command,
    running.rerun_command,
    running.merge_command,
    submitting.check_command,
    checking.check_plugin_command,
    submitting.export_command,
    submitting.score_command,
    robustness.robustness_command,
    showing.compare_command,
    showing.data_command,
    showing.leaderboard_command,
    showing.list_command,
    showing.show_command,
)


def main() -> None:
    """The command ``ddbench``."""
    console.run(commands)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start with: ddbench run --method generative-turbo",
)
@click.version_option(package_name="ddbench")
def commands() -> None:
    """Distil a dataset under a time limit, score it with fixed students, compare."""


for command in COMMANDS:
    commands.add_command(command)
