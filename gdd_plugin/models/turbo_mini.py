"""The architecture of turbo-mini: SDXL's architecture, at a size that two CPU cores can train.

The folder that ``pipeline.save_pretrained`` writes has the layout of ``stabilityai/sdxl-turbo``, so
the same code loads and samples both. Tests use `pipeline` to create random models.
"""

import json
from collections.abc import Sequence

from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

# Height and width of the images in pixels.
SIDE = 32
PROMPT_TOKENS = 24
# Maximum number of byte-pair merges.
MERGES = 1024
TEXT_WIDTH = 32
TIME_EMBEDDING = 8
SPECIAL_TOKENS = {"<|startoftext|>": 0, "<|endoftext|>": 1}


def pipeline(corpus: Sequence[str]) -> StableDiffusionXLPipeline:
    """Return a pipeline with random weights and a tokenizer trained on ``corpus``.

    The weights are drawn from torch's global generator.
    """
    words = tokenizer(corpus)
    return StableDiffusionXLPipeline(
        vae=autoencoder(),
        text_encoder=CLIPTextModel(text_config(words)),
        text_encoder_2=CLIPTextModelWithProjection(text_config(words)),
        tokenizer=words,
        tokenizer_2=words,
        unet=unet(),
        scheduler=scheduler(),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def tokenizer(corpus: Sequence[str]) -> CLIPTokenizer:
    """Return CLIP's byte-pair tokenizer with merges learned from ``corpus``.

    It can also spell any other text.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*SPECIAL_TOKENS, *letters, *(letter + "</w>" for letter in letters)]
    learner = CLIPTokenizer(vocab=dict(SPECIAL_TOKENS), merges=[]).backend_tokenizer
    # The trainer breaks ties between merges by the order of the letters, which is random for
    # letters that are not passed to it.
    learner.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=len(tokens) + MERGES,
            special_tokens=tokens,
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    vocab = {
        token: index
        for index, token in enumerate(dict.fromkeys([*tokens, *("".join(pair) for pair in merges)]))
    }
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=PROMPT_TOKENS)


def text_config(words: CLIPTokenizer) -> CLIPTextConfig:
    """Return the configuration of a text encoder for the tokenizer ``words``."""
    return CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=PROMPT_TOKENS,
        hidden_act="gelu",
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )


def autoencoder() -> AutoencoderKL:
    """Return an autoencoder for 32x32 RGB images with 4x8x8 latents."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=(16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=SIDE,
        force_upcast=False,
    )


def unet() -> UNet2DConditionModel:
    """Return a UNet for 4x8x8 latents with SDXL's text and size conditioning."""
    return UNet2DConditionModel(
        sample_size=SIDE // 4,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        transformer_layers_per_block=1,
        attention_head_dim=(2, 4),
        norm_num_groups=8,
        cross_attention_dim=2 * TEXT_WIDTH,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_EMBEDDING,
        projection_class_embeddings_input_dim=TEXT_WIDTH + 6 * TIME_EMBEDDING,
    )


def scheduler() -> EulerAncestralDiscreteScheduler:
    """Return SDXL-Turbo's scheduler with v-prediction.

    V-prediction keeps the single step, from sigma 14.6 to 0, well conditioned.
    """
    return EulerAncestralDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    )
