"""Adapters that can not be used."""

import pytest

from benchmark_adapters.types import UserError
from gdd_plugin.models.one_step import TurboSampler


@pytest.mark.parametrize(
    ("lora", "message"),
    [("nowhere", "is no folder of a LoRA adapter"), ("damaged", "can't be used with this model")],
)
def test_an_adapter_that_is_none_is_one_line(lora, message, tmp_path):
    folder = tmp_path / lora
    if lora == "damaged":
        folder.mkdir()
        (folder / "pytorch_lora_weights.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(UserError, match=message):
        TurboSampler("turbo-mini", lora=str(folder))
