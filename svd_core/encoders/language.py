"""A causal language model from a local folder in transformers' format, asked one question at a time or many."""

from pathlib import Path
from typing import Any, Self

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from svd_core.encoders.local import load_whole


class LanguageModel:
    """A frozen language model that answers greedily. Build it with `load`."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> Self:
        """From `path` with safetensors, `config.json` and the tokenizer's files."""
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, padding_side="left")
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        model = load_whole(AutoModelForCausalLM, path)
        return cls(model.to(device), tokenizer)

    @torch.inference_mode()
    def answers(self, questions: list[str], longest: int) -> list[str]:
        """The first line of each answer, at most `longest` tokens; chat models are asked in their own form."""
        asked = [self._asked(question) for question in questions]
        tokens = self.tokenizer(asked, padding=True, return_tensors="pt", add_special_tokens=not self._is_chat)
        tokens = tokens.to(self.model.device)
        said = self.model.generate(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            max_new_tokens=longest,
            do_sample=False,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        texts = self.tokenizer.batch_decode(said[:, tokens["input_ids"].shape[1] :], skip_special_tokens=True)
        return [text.strip().partition("\n")[0].strip() for text in texts]

    @property
    def _is_chat(self) -> bool:
        return self.tokenizer.chat_template is not None

    def _asked(self, question: str) -> str:
        if not self._is_chat:
            return question
        message = [{"role": "user", "content": question}]
        return str(self.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))
