"""Tests of adapters that cannot be used."""

import pytest

from benchmark_adapters.types import UserError
from gdd_plugin.models.one_step import TurboSampler


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ("nowhere", "is not the folder of a LoRA adapter"),
        ("damaged", "could not apply the adapter .* to this model"),
    ],
)
def test_add_lora_refuses_missing_and_damaged_adapters(lora, message, tmp_path):
    folder = tmp_path / lora
    if lora == "damaged":
        folder.mkdir()
        (folder / "pytorch_lora_weights.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(UserError, match=message):
        TurboSampler("turbo-mini", lora=str(folder))
