"""Run a command line. Only this module turns errors into a one-line message and an exit code."""

import contextlib
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from benchmark_adapters.types import Notice, UserError, one_line

MAX_MESSAGE = 5000
# By default, torch's OpenMP threads busy-wait for so long that two runs on the same cores starve
# each other. OpenMP reads this setting when torch is loaded.
SPIN_COUNT = "1000"
# Commands don't receive the flag because `run` looks for it in `sys.argv`.
DEBUG = click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send to stderr what code of plugins writes to stdout, which is for results.

    File descriptor 1 is redirected too, because compiled code and child processes write to it.
    """
    sys.stdout.flush()
    stdout = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


@contextlib.contextmanager
def _notices_on_one_line() -> Iterator[None]:
    """Print notices as lines of their own. Other warnings are shown as before."""
    show = warnings.showwarning

    def show_notice(
        message: Warning | str, category: type[Warning], *where: Any, **also: Any
    ) -> None:
        if issubclass(category, Notice):
            click.echo(f"warning: {one_line(message, MAX_MESSAGE)}", err=True)
        else:
            show(message, category, *where, **also)

    warnings.showwarning = show_notice
    try:
        yield
    finally:
        warnings.showwarning = show


def run(commands: click.Group) -> NoReturn:
    """Run a command line and exit.

    The exit code is the command's own, 2 for errors that the user can fix, and 1 for interruptions
    and internal errors.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with _notices_on_one_line():
            code = commands.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = 2
    except (UserError, click.UsageError) as error:
        if "--debug" in sys.argv:
            raise
        text = error.format_message() if isinstance(error, click.UsageError) else str(error)
        click.echo(f"error: {one_line(text, MAX_MESSAGE)}", err=True)
        code = 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("error: interrupted", err=True)
        code = 1
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        text = f"{type(error).__name__}: {one_line(error)}"
        click.echo(f"error: internal error: {text} (--debug shows the traceback)", err=True)
        code = 1
    sys.exit(code)
