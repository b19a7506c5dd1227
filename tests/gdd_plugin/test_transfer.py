"""How often a batch waits for a GPU, counted on tensors that only claim to be on one.

No GPU is needed: torch's fake tensors have shapes and devices, and no values.
"""

import pytest
import torch
from sampling import make_task
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark_adapters.datasets import CIFAR10, FASHION_MNIST
from gdd_plugin.generator import ImageGenerator
from gdd_plugin.settings import parse_settings
from gdd_plugin.transfer import to_device

READS = [torch.ops.aten._local_scalar_dense, torch.ops.aten.is_nonzero, torch.ops.aten.item]
KEYS = [(label, 0) for label in range(4)]


class Waits(TorchDispatchMode):
    """A list of the operations after which the CPU has to wait for the GPU."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, function, types, args=(), named=None):
        named = named or {}
        if function.overloadpacket in READS:
            if not isinstance(args[0], FakeTensor):
                return function(*args, **named)
            if args[0].device.type == "cpu":
                return 1
            self.operations.append("value read")
            return 1
        result = function(*args, **named)
        if function.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.to):
            source, target = args[0].device.type, result.device.type
            names = [argument.name for argument in function._schema.arguments]
            given = dict(zip(names, args, strict=False)) | named
            if source != target and not given.get("non_blocking"):
                self.operations.append(f"{source} to {target}")
        return result


@pytest.fixture
def waits(monkeypatch):
    """Pretend that there is a GPU, and count how often the CPU waits for it."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda values: values)
    with FakeTensorMode(allow_non_fake_inputs=True), Waits() as mode:
        yield mode


def on_fake_gpu(network):
    """Replace the weights of ``network`` by fake ones on a GPU."""
    for layer in network.modules():
        for kind in (layer._parameters, layer._buffers):
            for name, values in kind.items():
                if values is not None:
                    kind[name] = torch.empty_like(values, device="cuda").requires_grad_(False)
    if hasattr(network, "conv_in"):
        assert network.device.type == "cuda"


@pytest.mark.parametrize("dataset", [CIFAR10, FASHION_MNIST], ids=["colour", "grey"])
@pytest.mark.parametrize("pda", ["none", "published"])
def test_batch_waits_for_the_gpu_only_when_it_is_moved(random_turbo, dataset, pda, waits):
    with unset_fake_temporarily():
        task = make_task(dataset, model=str(random_turbo), pda=pda)
        made = ImageGenerator(task, parse_settings(task.options, dataset.name), 20)
    for network in (made.sampler.pipe.unet, made.sampler.pipe.vae):
        on_fake_gpu(network)
    made.sampler.device = "cuda"
    made.sampler.embeddings.by_prompt = {
        prompt: [torch.empty(kind.shape, device="cuda") for kind in kinds]
        for prompt, kinds in made.sampler.embeddings.by_prompt.items()
    }
    made.choose_decoder()
    waits.operations.clear()
    made.generate(KEYS)
    # The finished images are moved. By then, the check for infinite values is on the CPU too.
    assert waits.operations == ["cuda to cpu"]


def test_pinned_memory_is_moved_without_waiting(waits):
    assert to_device(torch.zeros(3), "cuda").device.type == "cuda"
    assert waits.operations == []
    torch.zeros(3).to("cuda")
    assert waits.operations == ["cpu to cuda"]
