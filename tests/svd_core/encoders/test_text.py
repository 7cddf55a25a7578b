import pytest
import torch

from svd_core.encoders.text import PromptTooLong, WordVectors


def test_vectors_are_fixed_for_all_time() -> None:
    text, lengths = WordVectors(tokens=4, dim=8).encode(["a Ring."])
    assert lengths.tolist() == [2]
    torch.testing.assert_close(text[0, 0, :3], torch.tensor([2.230447, -0.993702, 0.185607]), rtol=0, atol=1e-5)


def test_padding_and_the_empty_prompt_are_zero() -> None:
    text, lengths = WordVectors(tokens=4, dim=8).encode(["", "red"])
    assert lengths.tolist() == [0, 1]
    assert not text[0].any()
    assert text[1, 0].any()
    assert not text[1, 1:].any()


def test_a_token_has_unit_variance_and_knows_the_word_before_it() -> None:
    text, _ = WordVectors(tokens=6, dim=64).encode(["red circle", "blue circle"])
    torch.testing.assert_close(text[:, :2].square().mean(-1), torch.ones(2, 2))
    similarity = torch.cosine_similarity(text[0, 1], text[1, 1], dim=0).item()
    assert 0.5 < similarity < 0.95


def test_a_prompt_that_is_too_long_is_refused() -> None:
    with pytest.raises(PromptTooLong, match="5 words, but the text encoder takes 4: 'a b c d e'"):
        WordVectors(tokens=4, dim=8).encode(["a b c d e"])
