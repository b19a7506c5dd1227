"""``ddbench list``: list the installed components."""

from __future__ import annotations

import json

import click

from benchmark_adapters import console, method_files
from benchmark_adapters.cli import options, output
from benchmark_adapters.plugins import KINDS, Plugins
from benchmark_adapters.types import Option, UserError


@click.command("list")
@click.argument("kind", required=False, type=click.Choice([*KINDS, "options"]))
@click.argument("method", required=False)
@options.JSON
@console.DEBUG
def list_command(kind: str | None, method: str | None, as_json: bool) -> None:
    """List what is installed, or the options of a method.

    `ddbench list options METHOD` lists the options of an installed method or of a Python file;
    without arguments, everything is listed.
    """
    plugins = output.installed_plugins()
    if kind == "options":
        if method is None:
            raise UserError("name the method: ddbench list options METHOD")
        method_options = method_files.find(plugins, method).options
        listing = {"options": {option.name: _describe(option) for option in method_options}}
    elif method is not None:
        raise UserError(f"unexpected argument {method!r}; only `list options` takes a name")
    else:
        listing = _summaries(plugins, [kind] if kind else list(KINDS))
    if as_json:
        click.echo(json.dumps(listing, indent=1))
        return
    width = max((len(name) for entries in listing.values() for name in entries), default=0)
    for title, entries in listing.items():
        click.echo(title)
        for name, text in entries.items() or {"": "none"}.items():
            click.echo(f"  {name:{width}}  {text}".rstrip())


def _summaries(plugins: Plugins, kinds: list[str]) -> dict[str, dict[str, str]]:
    """Return the summaries of all components by kind and name."""
    summaries: dict[str, dict[str, str]] = {kind: {} for kind in kinds}
    for part in plugins.descriptions:
        if part.kind in summaries:
            summaries[part.kind][part.name] = part.summary
    return summaries


def _describe(option: Option) -> str:
    kind = "|".join(option.choices) if option.choices else option.type.__name__
    # Many help texts explain the default, which may depend on other options.
    is_explained = option.default is None or "default:" in option.help or "auto:" in option.help
    return f"{kind}. {option.help}" + ("" if is_explained else f" (default: {option.default})")
