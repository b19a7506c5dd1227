"""How commands end: errors become one line and an exit code here and nowhere else."""

import os
import signal
import sys
from typing import NoReturn

import click

from benchmark_adapters.types import UserError, one_line

SPINS = "1000"  # by default torch's threads wait for each other so busily that two runs on the same cores starve both; read when torch is loaded
DEBUG = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show tracebacks."
)  # `run` looks for it


def run(commands: click.Group) -> NoReturn:
    """Runs a command line: 0 when it did its work, 2 for errors that the user can mend, 1 for others."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        code = commands.main(standalone_mode=False)
    except (UserError, click.UsageError) as error:
        if "--debug" in sys.argv:
            raise
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()
        else:
            text = error.format_message() if isinstance(error, click.UsageError) else str(error)
            click.echo(f"error: {one_line(text, 5000)}", err=True)
        code = 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("error: interrupted", err=True)
        code = 1
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        click.echo(
            f"error: internal: {type(error).__name__}: {one_line(error)} (--debug shows where)",
            err=True,
        )
        code = 1
    sys.exit(code)
