"""A video captioner of the BLIP-2 family (paper: V-BLIP), from a local folder in transformers' format.

VideoBLIP (Yu 2023) is BLIP-2 whose Q-Former attends to the patches of several frames at once; its checkpoints
hold BLIP-2's tensors under BLIP-2's names. Checkpoints of BLIP-2 itself work alike, but have seen single images only.
"""

from pathlib import Path
from typing import Any, Self

import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, Blip2ForConditionalGeneration, BlipImageProcessor

from svd_core.encoders.local import load_whole

PROMPT = "a video of"
LONGEST = 40
"""New tokens of the longest caption."""


class VideoBlip:
    """Frozen VideoBLIP that captions clips greedily. Build it with `load`."""

    def __init__(self, model: Any, tokenizer: Any, processor: Any) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.processor = processor

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> Self:
        """From `path` with safetensors, `config.json`, the tokenizer's files and `preprocessor_config.json`."""
        model = load_whole(Blip2ForConditionalGeneration, path)
        return cls(
            model.to(device),
            AutoTokenizer.from_pretrained(path, local_files_only=True),
            BlipImageProcessor.from_pretrained(path, local_files_only=True),
        )

    @torch.inference_mode()
    def captions(self, clips: list[list[NDArray[Any]]]) -> list[str]:
        """One caption for each clip, given as equally many uint8 RGB frames (H, W, 3) of each."""
        pixels = self.processor(images=[frame for clip in clips for frame in clip], return_tensors="pt")["pixel_values"]
        patches = self.model.vision_model(pixels.to(self.model.device)).last_hidden_state
        patches = patches.reshape(len(clips), -1, patches.shape[-1])  # all frames of a clip side by side
        queries = self.model.query_tokens.expand(len(clips), -1, -1)
        seen = self.model.qformer(query_embeds=queries, encoder_hidden_states=patches).last_hidden_state
        prompt = self.tokenizer([PROMPT] * len(clips), return_tensors="pt")["input_ids"].to(self.model.device)
        words = self.model.get_input_embeddings()(prompt)
        inputs = torch.cat([self.model.language_projection(seen).to(words.dtype), words], dim=1)
        attended = torch.ones(inputs.shape[:2], dtype=torch.long, device=inputs.device)
        said = self.model.language_model.generate(
            inputs_embeds=inputs, attention_mask=attended, max_new_tokens=LONGEST, do_sample=False
        )
        return [text.strip() for text in self.tokenizer.batch_decode(said, skip_special_tokens=True)]
