"""Small random checkpoints in the formats of the real ones, made here and loaded offline."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Blip2Config,
    Blip2ForConditionalGeneration,
    BlipImageProcessor,
    OPTConfig,
    PreTrainedTokenizerFast,
)

from svd_core.encoders.coca import Coca
from svd_core.encoders.language import LanguageModel
from svd_core.encoders.video_blip import VideoBlip

WORDS = ["<pad>", "</s>", "a", "video", "of", "red", "ring", "moves", "right", "one", "sentence"]


def images(count: int, height: int = 40, width: int = 60) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def save_tokenizer(path: Path, **options: str) -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="<pad>"))  # noqa: S106
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>", **options)  # noqa: S106
    tokenizer.save_pretrained(path)
    return tokenizer


def tiny_opt() -> OPTConfig:
    return OPTConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        word_embed_proj_dim=32,
        ffn_dim=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )


@pytest.fixture(scope="module")
def coca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import open_clip

    path = tmp_path_factory.mktemp("coca")
    text = {"context_length": 32, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1, "embed_cls": True}
    config = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32,
            "patch_size": 16,
            "width": 16,
            "layers": 1,
            "head_width": 8,
            "attentional_pool": True,
            "attn_pooler_heads": 2,
            "output_tokens": True,
        },
        "text_cfg": {**text, "output_tokens": True},
        "multimodal_cfg": {**text, "attn_pooler_heads": 2},
        "custom_text": True,
    }
    torch.manual_seed(0)
    model = open_clip.CoCa(**{name: part for name, part in config.items() if name != "custom_text"})
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)  # as CoCa begins, it says the same of every picture
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path / "open_clip_model.safetensors"
    )
    (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    return path


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video-blip")
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Blip2Config(
        vision_config={**tower, "image_size": 32, "patch_size": 16},
        qformer_config={**tower, "encoder_hidden_size": 32, "vocab_size": 16, "cross_attention_frequency": 1},
        text_config=tiny_opt().to_dict(),
        num_query_tokens=4,
    )
    torch.manual_seed(0)
    Blip2ForConditionalGeneration(config).save_pretrained(path)
    save_tokenizer(path)
    BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("caption-llm")
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(tiny_opt()).save_pretrained(path)
    save_tokenizer(path)
    return path


def test_coca_says_the_likeliest_words(coca: Path) -> None:
    captioner = Coca.load(coca)
    pictures = images(3)
    tokens = captioner._greedy(torch.stack([captioner.preprocess(to_pil(picture)) for picture in pictures]))
    said = captioner.model(torch.zeros(3, 3, 32, 32), tokens[:, :-1], output_labels=False, **seen(captioner, pictures))
    assert torch.equal(said["logits"].argmax(dim=2), tokens[:, 1:])
    assert tokens.shape == (3, 30)
    texts = captioner.captions(pictures)
    assert texts == [captioner.captions([picture])[0] for picture in pictures]
    assert len(set(texts)) > 1


def to_pil(picture: np.ndarray):  # type: ignore[no-untyped-def]
    from PIL import Image

    return Image.fromarray(picture)


def seen(captioner: Coca, pictures: list[np.ndarray]) -> dict[str, torch.Tensor]:
    pixels = torch.stack([captioner.preprocess(to_pil(picture)) for picture in pictures])
    latent, embeddings = captioner.model._encode_image(pixels)
    return {"image_latent": latent, "image_embs": embeddings}


def test_a_caption_ends_where_coca_says_so(coca: Path) -> None:
    captioner = Coca.load(coca)
    words = captioner.tokenizer.encode("a red ring")
    start, end = captioner.tokenizer.sot_token_id, captioner.tokenizer.eot_token_id
    assert captioner._text([start, *words, end, 0, 0]) == "a red ring"
    assert captioner._text([start, *words]) == "a red ring"


def test_other_open_clip_models_are_not_taken_for_coca(coca: Path, tmp_path: Path) -> None:
    config = json.loads((coca / "open_clip_config.json").read_text())
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(FileNotFoundError, match=r"no open_clip_model.safetensors"):
        Coca.load(tmp_path)
    del config["model_cfg"]["multimodal_cfg"]
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="no CoCa"):
        Coca.load(tmp_path)


def test_video_blip_on_one_frame_is_blip_2(blip: Path) -> None:
    """With a single frame nothing is left of the video: transformers' own generation must say the same."""
    captioner, model = VideoBlip.load(blip), Blip2ForConditionalGeneration.from_pretrained(blip).eval()
    model.config.image_token_index = model.config.image_token_id = 0
    pixels = captioner.processor(images=images(2), return_tensors="pt")["pixel_values"]
    prompt = captioner.tokenizer(["a video of"] * 2, return_tensors="pt")["input_ids"]
    asked = torch.cat([torch.zeros(2, 4, dtype=torch.long), prompt], dim=1)
    said = model.generate(pixel_values=pixels, input_ids=asked, max_new_tokens=40, do_sample=False)
    expected = captioner.tokenizer.batch_decode(said[:, asked.shape[1] :], skip_special_tokens=True)
    assert captioner.captions([[frame] for frame in images(2)]) == [text.strip() for text in expected]


def test_video_blip_sees_all_frames_and_no_other_clip(blip: Path) -> None:
    captioner = VideoBlip.load(blip)
    heard: list[torch.Tensor] = []
    captioner.model.qformer.register_forward_pre_hook(
        lambda module, given, named: heard.append(named["encoder_hidden_states"]), with_kwargs=True
    )
    clips = [images(6)[:3], images(6)[3:]]
    both = captioner.captions(clips)
    assert both == [captioner.captions([clip])[0] for clip in clips]
    assert heard[0].shape == (2, 3 * 5, 32)  # four patches and a class token of each of three frames
    torch.testing.assert_close(heard[0][1:], heard[2])


def test_a_language_model_answers_a_batch_as_it_does_alone(language: Path) -> None:
    model = LanguageModel.load(language)
    questions = ["a red ring moves", "right", "one sentence of a video of a ring"]
    assert model.answers(questions, longest=8) == [model.answers([question], longest=8)[0] for question in questions]


def test_chat_models_are_asked_in_their_own_form(language: Path, tmp_path: Path) -> None:
    AutoModelForCausalLM.from_pretrained(language).save_pretrained(tmp_path)
    template = (
        "{% for m in messages %}one {{ m['content'] }} {% endfor %}{% if add_generation_prompt %}sentence{% endif %}"
    )
    save_tokenizer(tmp_path, chat_template=template)
    chat, plain = LanguageModel.load(tmp_path), LanguageModel.load(language)
    assert chat.answers(["a ring"], longest=8) == plain.answers(["one a ring sentence"], longest=8)


def test_folders_without_safetensors_are_refused(blip: Path, language: Path, tmp_path: Path) -> None:
    for source, load in ((blip, VideoBlip.load), (language, LanguageModel.load)):
        folder = tmp_path / source.name
        folder.mkdir()
        for path in source.iterdir():
            if path.suffix != ".safetensors":
                (folder / path.name).write_bytes(path.read_bytes())
        with pytest.raises(OSError, match="safetensors"):
            load(folder)
