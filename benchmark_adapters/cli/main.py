"""The command group ``ddbench``."""

from importlib.metadata import EntryPoint, entry_points

import click

from benchmark_adapters import console, plugin_import
from benchmark_adapters.cli.check import check_command
from benchmark_adapters.cli.check_plugin import check_plugin_command
from benchmark_adapters.cli.compare import compare_command
from benchmark_adapters.cli.data import data_command
from benchmark_adapters.cli.export import export_command
from benchmark_adapters.cli.leaderboard import leaderboard_command
from benchmark_adapters.cli.list import list_command
from benchmark_adapters.cli.merge import merge_command
from benchmark_adapters.cli.rerun import rerun_command
from benchmark_adapters.cli.resume import resume_command
from benchmark_adapters.cli.robustness import robustness_command
from benchmark_adapters.cli.run import run_command
from benchmark_adapters.cli.runs import rm_command, runs_command
from benchmark_adapters.cli.score import score_command
from benchmark_adapters.cli.show import show_command
from benchmark_adapters.cli.sweep import sweep_command
from benchmark_adapters.execution import discovery

# Keys of a context: whether a command is being called, and the short help of third-party commands.
CALLED, DESCRIBED = "ddbench.called", "ddbench.described"
COMMANDS = (
    run_command,
    sweep_command,
    resume_command,
    rerun_command,
    merge_command,
    check_command,
    check_plugin_command,
    export_command,
    score_command,
    robustness_command,
    compare_command,
    data_command,
    leaderboard_command,
    list_command,
    runs_command,
    show_command,
    rm_command,
)


def main() -> None:
    """Run the command line ``ddbench`` and exit."""
    console.run(commands)


class Commands(click.Group):
    """The commands of this package, and those that plugins add.

    A plugin adds a `click.Command` by an entry point of the group ``ddbench.commands``. It is
    imported only when it is called: a process of its own finds its short help.
    """

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of all commands."""
        added = (entry.name for entry in entry_points(group=discovery.COMMANDS))
        return sorted({*super().list_commands(context), *added})

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is called, with its name and its arguments."""
        context.meta[CALLED] = True
        return super().resolve_command(context, args)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return the command ``name``. Those of this package can't be replaced."""
        own = super().get_command(context, name)
        added = next(iter(entry_points(group=discovery.COMMANDS, name=name)), None)
        if own or not added:
            return own
        if plugin_import.is_own(added) or CALLED in context.meta:
            return _imported(added)
        if DESCRIBED not in context.meta:
            context.meta[DESCRIBED], problems = discovery.commands()
            for line in problems:
                click.echo(line, err=True)
        summary = context.meta[DESCRIBED].get(name)
        return None if summary is None else click.Command(name, short_help=summary)


def _imported(entry: EntryPoint) -> click.Command | None:
    """Import a command; say on stderr why it can't be used."""
    try:
        with console.stdout_to_stderr():
            command: click.Command = entry.load()
    # A plugin's module may raise anything.
    except (Exception, SystemExit) as error:
        reason = plugin_import.reason_of(error)
        click.echo(f"command {entry.name} skipped because its import failed: {reason}", err=True)
        return None
    return command


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start with: ddbench run --method generative-turbo",
)
@click.version_option(package_name="ddbench")
def commands() -> None:
    """Generate distilled datasets under a time limit, score them and rank the results."""


for command in COMMANDS:
    commands.add_command(command)
