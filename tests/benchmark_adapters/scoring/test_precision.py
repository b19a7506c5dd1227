"""How CUDA is told to compute. No GPU is needed to read its settings."""

import subprocess
import sys

import pytest
import torch

from benchmark_adapters.scoring import precision

SHOW = """
import torch
from benchmark_adapters.scoring import precision
cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
def state():
    if hasattr(cudnn, "conv"):
        return cudnn.conv.fp32_precision, matmul.fp32_precision, cudnn.deterministic
    return cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic
{change}
before = state()
for tf32 in (False, True):
    with precision.repeatable(tf32=tf32):
        print(*state())
    assert state() == before
"""
IS_OLD = not hasattr(torch.backends.cudnn, "conv")


@pytest.mark.parametrize(
    "change",
    [
        "",
        "torch.backends.cudnn.allow_tf32 = False",
        "torch.backends.cuda.matmul.allow_tf32 = True",
        pytest.param(
            "torch.backends.fp32_precision = 'tf32'",
            marks=pytest.mark.skipif(IS_OLD, reason="since PyTorch 2.9"),
        ),
        pytest.param(
            "torch.backends.cudnn.fp32_precision = 'ieee'",
            marks=pytest.mark.skipif(IS_OLD, reason="since PyTorch 2.9"),
        ),
    ],
)
def test_precision_is_set_and_restored_whatever_a_program_has_set(change):
    """Reading PyTorch's older switches fails once a program has used the newer ones."""
    script = SHOW.format(change=change)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    new = ["ieee ieee True", "tf32 ieee True"]
    assert done.stdout.splitlines() == (["False False True", "True False True"] if IS_OLD else new)


def test_precision_is_restored_after_an_error():
    before = torch.backends.cudnn.deterministic
    with pytest.raises(KeyError), precision.repeatable(tf32=False):
        raise KeyError
    assert torch.backends.cudnn.deterministic == before
