"""A subcommand of ``ddbench``."""

import click


@click.command("greet")
def greet():
    """Say hello."""
    click.echo("hello")
