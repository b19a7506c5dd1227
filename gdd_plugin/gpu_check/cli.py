"""The command ``ddbench gpu-check``."""

from __future__ import annotations

import json

import click

from benchmark_adapters import console

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
    is needed. Without a CUDA GPU, what a CPU can do is measured in two minutes, and the rest is
    listed as skipped.
    """
    from tqdm import tqdm

    from benchmark_adapters.execution import devices
    from gdd_plugin.gpu_check import measure
    from gdd_plugin.gpu_check.report import Report

    chosen = devices.resolve(device)
    report = Report(device=measure.facts(chosen))
    with tqdm(total=4, desc="network", leave=False, disable=None) as bar:
        sampler = measure.network(report, chosen)
        for name, step in (
            ("decoders", lambda: measure.decoders(report, sampler)),
            ("repeatability", lambda: measure.repeatability(report, chosen)),
            ("scoring", lambda: measure.scoring(report, chosen)),
        ):
            bar.update()
            bar.set_description(name)
            step()
    click.echo(json.dumps(report.as_dict(), indent=1) if as_json else report.text())
