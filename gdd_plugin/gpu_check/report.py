"""The report of `ddbench gpu-check`: as JSON, and as tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tabulate import tabulate

# Images per second at 512 or 256 pixels on an H100, from floating-point operations and published
# numbers: what its peak allows, and what is expected without and with compilation. Not measured.
EXPECTED = {
    ("vae", 512): ("218", "65 to 90", "75 to 100"),
    ("tiny", 512): ("473", "130 to 170", "160 to 210"),
    ("fitted", 512): ("516", "180 to 230", "240 to 300"),
    ("fitted", 256): ("1,881", "450 to 650", "700 to 950"),
}


@dataclass
class Report:
    """What was measured. Times are medians.

    Attributes:
        device: facts about the device and the libraries.
        unet: ``model``; ``rows`` with ``size``, ``batch``, ``mode``, ``ms`` (per batch) and
            ``images_per_second``; and ``compile_seconds``.
        decoders: rows with ``decoder``, ``size`` and ``ms_per_image``. For fitted ones also
            ``map``, and ``fit_seconds`` without the exact decodes.
        scoring: rows with ``precision``, ``layout``, ``backend`` and ``seconds`` for an epoch.
        repeatable: of a batch of turbo-mini's images: ``same_seed``, whether a seed makes the same
            ones twice; ``psnr_to_cpu``, those on the device against those on the CPU, in dB; and
            ``host_waits``, how often it waits for the GPU.
        skipped: what was left out -> why.
    """

    device: dict[str, Any] = field(default_factory=dict)
    unet: dict[str, Any] = field(default_factory=dict)
    decoders: list[dict[str, Any]] = field(default_factory=list)
    scoring: list[dict[str, Any]] = field(default_factory=list)
    repeatable: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return asdict(self)

    def text(self) -> str:
        """Return the report as tables."""
        facts = [[name, value] for name, value in self.device.items()]
        parts = [tabulate(facts, tablefmt="plain")]
        others = [(name, value) for name, value in self.unet.items() if name != "rows"]
        for title, rows in (
            ("network: " + ", ".join(f"{name} {value}" for name, value in others), self._rows()),
            ("decoders", self.decoders),
            ("whole images per second", self.rates()),
            ("an epoch of scoring on 1,000 images of 32x32 pixels", self.scoring),
        ):
            if rows:
                parts.append(f"{title}\n{tabulate(rows, headers='keys', floatfmt='.4g')}")
        parts += [f"{name}: {value}" for name, value in self.repeatable.items()]
        parts += [f"skipped {name}: {why}" for name, why in self.skipped.items()]
        return "\n\n".join(parts)

    def _rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.unet.get("rows", [])
        return rows

    def rates(self) -> list[dict[str, Any]]:
        """Return images per second of each decoder with the best batch, beside expectations."""
        if self.unet.get("model") != "sdxl-turbo":
            return []
        rates = []
        for (decoder, size), (peak, eager, compiled) in EXPECTED.items():
            # Of the fitted decoders, the convolutional one is the first: for runs of many images.
            seconds = [
                row["ms_per_image"] / 1000
                for row in self.decoders
                if (row["decoder"], row["size"]) == (decoder, size)
            ]
            row = {"decoder": decoder, "size": size}
            for mode in ("eager", "compiled"):
                fastest = [
                    1 / other["images_per_second"]
                    for other in self._rows()
                    if (other["size"], other["mode"]) == (size, mode)
                ]
                both = seconds and fastest
                row[mode] = f"{1 / (min(fastest) + seconds[0]):.0f}" if both else "-"
            expected = {"H100's peak": peak, "H100 eager": eager, "H100 compiled": compiled}
            rates.append({**row, **{f"{name} (est.)": text for name, text in expected.items()}})
        return rates
