"""``log.csv``, the log of the losses of a training run, and its plot."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from gdd_plugin.training.files import replacing, reporting_errors
from leaderboard.render.matplotlib_import import import_matplotlib

COLUMNS = ("stage", "step", "loss", "value")


class LossLog:
    """A CSV file with a row for each logged step and loss."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, stage: str, step: int, losses: Mapping[str, float]) -> None:
        """Append the losses of a step.

        Raises:
            UserError: the file cannot be written.
        """
        with reporting_errors(self.path):
            is_new = not self.path.exists()
            with self.path.open("a", newline="") as file:
                writer = csv.writer(file)
                if is_new:
                    writer.writerow(COLUMNS)
                writer.writerows(
                    [stage, step, name, f"{loss:.5f}"] for name, loss in losses.items()
                )

    def truncate(self, stage: str, step: int) -> None:
        """Remove the rows of ``stage`` from ``step`` on.

        A run that was killed may have written them after its last checkpoint.

        Raises:
            UserError: the file cannot be written.
        """
        if not self.path.exists():
            return
        rows = csv.DictReader(self.path.read_text().splitlines())
        kept = [
            row
            for row in rows
            # A full disk may have truncated the last row.
            if row["value"] and (row["stage"] != stage or int(row["step"]) < step)
        ]
        with replacing(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(kept)

    def plot(self, output: Path) -> None:
        """Plot the losses, with a panel for each stage and a line for each loss."""
        import_matplotlib()
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        stages: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        with self.path.open(newline="") as file:
            for row in csv.DictReader(file):
                stages[row["stage"]][row["loss"]].append((int(row["step"]), float(row["value"])))
        figure = Figure(figsize=(4 * len(stages), 3), layout="constrained")
        panels = figure.subplots(1, len(stages), squeeze=False)[0]
        for panel, (stage, lines) in zip(panels, stages.items(), strict=True):
            for loss, points in lines.items():
                panel.plot(*zip(*points, strict=True), label=loss, linewidth=0.8)
            panel.set(title=stage, xlabel="step")
            panel.legend(fontsize="small")
        # With a fixed salt, equal curves produce identical files.
        with rc_context({"svg.hashsalt": "ddbench"}):
            figure.savefig(output, metadata={"Date": None})
