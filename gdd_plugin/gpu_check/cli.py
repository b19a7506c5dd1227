"""The command ``ddbench gpu-check``."""

from __future__ import annotations

import json

import click

from benchmark_adapters import console
from benchmark_adapters.types import one_line

DEVICES = ("auto", "cpu", "cuda", "mps")


@click.command("gpu-check")
@click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="Device to measure.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, to be sent in.")
@console.DEBUG
def gpu_check_command(device: str, as_json: bool) -> None:
    """Measure how fast this machine samples and scores, in about five minutes.

    Networks have random weights in SDXL-Turbo's configuration, so nothing is downloaded and no data
    is needed. Without a CUDA GPU, it measures what a CPU can run in about two minutes, and lists
    the rest as skipped.
    """
    from tqdm import tqdm

    from benchmark_adapters.execution import devices
    from gdd_plugin.gpu_check import measure
    from gdd_plugin.gpu_check.report import Report

    chosen = devices.resolve(device)
    report = Report(device=measure.facts(chosen))
    steps = {
        "network": measure.network,
        "decoders": measure.decoders,
        "repeatability": measure.repeatability,
        "scoring": measure.scoring,
    }
    for name, step in tqdm(steps.items(), leave=False, disable=None):
        try:
            step(report, chosen)
        # One part that fails, for want of memory for example, must not lose the others.
        except Exception as error:
            report.skipped[name] = f"it failed: {type(error).__name__}: {one_line(error, 200)}"
    click.echo(json.dumps(report.as_dict(), indent=1) if as_json else report.text())
