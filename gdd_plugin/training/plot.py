"""Loss curves."""

import csv
from collections import defaultdict
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

matplotlib.rcParams["svg.hashsalt"] = "ddbench"  # equal curves, equal files


def curves(log: Path, output: Path) -> None:
    """Draws ``output`` from the rows (stage, step, loss, value) of ``log``: a panel per stage, a line per loss."""
    stages: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in csv.DictReader(log.open()):
        stages[row["stage"]][row["loss"]].append((int(row["step"]), float(row["value"])))
    figure = Figure(figsize=(4 * len(stages), 3), layout="constrained")
    for panel, (stage, lines) in zip(
        figure.subplots(1, len(stages), squeeze=False)[0], stages.items(), strict=True
    ):
        for loss, points in lines.items():
            panel.plot(*zip(*points, strict=True), label=loss, linewidth=0.8)
        panel.set(title=stage, xlabel="step")
        panel.legend(fontsize="small")
    figure.savefig(output, metadata={"Date": None})
