"""Run a command line. Only this module turns errors into a one-line message and an exit code."""

import contextlib
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import click

from benchmark_adapters import reporting
from benchmark_adapters.types import Notice, UserError, one_line

Command = TypeVar("Command", bound=Callable[..., Any])

MAX_MESSAGE = 5000
# By default, torch's OpenMP threads busy-wait for so long that two runs on the same cores starve
# each other. OpenMP reads this setting when torch is loaded.
SPIN_COUNT = "1000"
# Commands don't receive the flag because `run` looks for it in `sys.argv`.
DEBUG = click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")


def _sets(variable: str, value: str) -> Callable[..., None]:
    """Return a callback of a flag that sets an environment variable, which children inherit."""

    def callback(context: click.Context, parameter: click.Parameter, is_set: bool) -> None:
        if is_set:
            os.environ[variable] = value

    return callback


FOLLOW = click.option(
    "--follow",
    is_flag=True,
    expose_value=False,
    callback=_sets(reporting.FOLLOW_ENV, "1"),
    help="Show what the method prints while it runs; log.txt in the run's folder has it too.",
)
_LOUDNESS = (
    click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_sets(reporting.LEVEL_ENV, "verbose"),
        help="Say more: the options and data in use, and results as they come.",
    ),
    click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_sets(reporting.LEVEL_ENV, "quiet"),
        help="Say less: only results, warnings and errors.",
    ),
)


def loudness(command: Command) -> Command:
    """Add the options that say how much a command says while it works."""
    for option in reversed(_LOUDNESS):
        command = option(command)
    return command


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


@contextlib.contextmanager
def _own_environment() -> Iterator[None]:
    """Forget the environment variables that options set."""
    before = {name: os.environ.get(name) for name in (reporting.LEVEL_ENV, reporting.FOLLOW_ENV)}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def run(commands: click.Group) -> NoReturn:
    """Run a command line and exit.

    The exit code is the command's own, 2 for errors that the user can fix, and 1 for interruptions
    and for errors of the system or of the code.
    """
    for stream in (sys.stdout, sys.stderr):
        # Names of files may hold bytes that are no text.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with _notices_on_one_line(), _own_environment():
            code = commands.main(standalone_mode=False)
            sys.stdout.flush()
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
        click.echo(f"error: {_unexpected(error)} (--debug shows the traceback)", err=True)
        code = 1
    sys.exit(code)


def _unexpected(error: Exception) -> str:
    """Describe an error that no other code has described."""
    if isinstance(error, OSError) and error.strerror:
        place = one_line(error.filename, MAX_MESSAGE) if error.filename else "the output"
        return f"{place}: {one_line(error.strerror)}"
    return f"unexpected {type(error).__name__}: {one_line(error)}"
