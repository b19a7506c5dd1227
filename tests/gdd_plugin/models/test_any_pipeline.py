"""Pipelines that generative-turbo calls as they are, with random weights."""

import string

import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    StableDiffusionImg2ImgPipeline,
    UNet2DConditionModel,
)
from sampling import make_task, run_method
from transformers import CLIPTextModel, T5Config, T5EncoderModel, T5Tokenizer

from benchmark_adapters.datasets import CIFAR10
from benchmark_adapters.types import UserError
from gdd_plugin.models import samplers, turbo_mini
from gdd_plugin.models.any_pipeline import PipelineSampler
from gdd_plugin.seeds import seeded_generator


def make_pixart():
    """Return a pipeline with a transformer instead of a UNet."""
    torch.manual_seed(0)
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -5.0), ("▁", -2.0)]
    tokenizer = T5Tokenizer(vocab=[*words, *((letter, -3.0) for letter in string.ascii_letters)])
    sizes = {"d_model": 16, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=1,
        norm_num_groups=4,
        cross_attention_dim=16,
        # Pipelines of this class accept few sizes.
        sample_size=32,
        patch_size=2,
        caption_channels=16,
        use_additional_conditions=False,
    )
    return PixArtSigmaPipeline(
        tokenizer,
        T5EncoderModel(T5Config(vocab_size=len(tokenizer), **sizes)).eval(),
        turbo_mini.autoencoder().eval(),
        transformer.eval(),
        DPMSolverMultistepScheduler(),
    )


def make_lcm():
    """Return a latent consistency model, whose UNet gets the scale of the guidance."""
    torch.manual_seed(0)
    words = turbo_mini.tokenizer(["a photo of a cat", "dog"])
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=2,
        cross_attention_dim=turbo_mini.TEXT_WIDTH,
        time_cond_proj_dim=16,
    )
    return LatentConsistencyModelPipeline(
        turbo_mini.autoencoder().eval(),
        CLIPTextModel(turbo_mini.text_config(words)).eval(),
        words,
        unet.eval(),
        LCMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@pytest.fixture(scope="module", params=[make_pixart, make_lcm], ids=["pixart", "lcm"])
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipelines") / "other"
    request.param().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("steps", [1, 3])
def test_images_are_those_of_a_pipeline_call(folder, steps):
    sampler = samplers.load(str(folder), "cpu", steps=steps)
    assert isinstance(sampler, PipelineSampler)
    images = sampler.latents(["cat", "dog"], [seeded_generator(0, 0, index) for index in (0, 1)])
    kind = type(sampler.pipe)
    pipe = kind.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    # The network of a latent consistency model gets the scale of the guidance: the default.
    guidance = {"guidance_scale": 0.0} if kind is PixArtSigmaPipeline else {}
    expected = pipe(
        "dog",
        num_inference_steps=steps,
        **guidance,
        generator=seeded_generator(0, 0, 1),
        height=sampler.size,
        width=sampler.size,
        output_type="pt",
    ).images
    assert (images[1] / 255 - expected[0]).abs().max() < 1e-3


def test_run_uses_another_pipeline(folder):
    metadata = {}
    task = make_task(CIFAR10, ipc=2, model=str(folder), steps=2, pda="none", metadata=metadata)
    batches = run_method(task)
    images = torch.cat([torch.as_tensor(batch[0]) for batch in batches])
    assert images.shape == (20, 3, 32, 32)
    assert images.float().std() > 0
    # A pipeline is stateful, so there is only one worker.
    assert (metadata["lanes"], metadata["steps"], metadata["decoder"]) == (1, 2, "pipeline")
    assert metadata["model"] == "other"


def test_float16_computes_nearly_the_same_images(folder):
    """On a GPU, half precision is the default. The CPU can compute in it too."""
    exact, half = (
        samplers.load(str(folder), "cpu", dtype=dtype) for dtype in (None, torch.float16)
    )
    images = [
        sampler.latents(["cat", "dog"], [seeded_generator(0, 0, index) for index in (0, 1)])
        for sampler in (exact, half)
    ]
    assert half.metadata.dtype == "float16"
    assert images[1].dtype == torch.float32
    assert (images[0] - images[1]).abs().mean() < 2


def test_images_of_another_pipeline_cannot_be_refined_in_latents(folder):
    sampler = samplers.load(str(folder), "cpu")
    with pytest.raises(UserError, match="choose --option refine=pixels"):
        sampler.require_direct()


def test_decoders_of_known_pipelines_are_refused(folder):
    with pytest.raises(UserError, match="decodes its own images; leave out --option decoder=tiny"):
        run_method(make_task(CIFAR10, ipc=1, model=str(folder), decoder="tiny"))


def test_adapters_need_a_known_pipeline(folder, tmp_path):
    with pytest.raises(UserError, match="adapters need a StableDiffusionXLPipeline or a "):
        samplers.load(str(folder), "cpu", lora=str(tmp_path))


@pytest.mark.slow
def test_network_of_another_pipeline_is_compiled_and_uncompiled(folder):
    sampler = samplers.load(str(folder), "cpu")
    before = sampler.latents(["cat"], [seeded_generator(0, 0, 0)])
    assert sampler.compile(3) == ""
    compiled = sampler.latents(["cat"], [seeded_generator(0, 0, 0)])
    assert compiled.shape == before.shape
    assert (compiled - before).abs().max() < 0.1
    sampler.uncompile()
    assert torch.equal(sampler.latents(["cat"], [seeded_generator(0, 0, 0)]), before)


def test_pipelines_that_need_more_than_a_prompt_are_refused(tmp_path):
    pipe = make_lcm()
    parts = {name: part for name, part in pipe.components.items() if name != "image_encoder"}
    other = StableDiffusionImg2ImgPipeline(**parts, requires_safety_checker=False)
    other.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="makes no images from prompts alone"):
        samplers.load(str(tmp_path), "cpu")
