import pytest
import torch

from svd_core.encoders.text import SCALE, BagOfWords, PromptTooLong


def test_vectors_are_fixed_for_all_time() -> None:
    text = BagOfWords(8).encode(["Red ring."])
    torch.testing.assert_close(text[0, 0, :3], torch.tensor([1.552440, 2.423504, 3.636805]), rtol=0, atol=1e-5)


def test_the_empty_prompt_is_zero_as_is_one_of_function_words() -> None:
    assert not BagOfWords(8).encode(["", "on a"]).any()


def test_function_words_change_nothing() -> None:
    one, same = BagOfWords(64).encode(["a ring on the left", "ring left"])
    torch.testing.assert_close(one, same)


def test_case_punctuation_and_order_do_not_matter_but_words_do() -> None:
    one, same, other = BagOfWords(64).encode(["a Red ring", "ring, red: a", "a blue ring"])
    torch.testing.assert_close(one, same)
    assert 0.3 < torch.cosine_similarity(one, other, dim=1).item() < 0.9


def test_every_word_has_the_same_length() -> None:
    text = BagOfWords(64).encode(["red", "circle"])
    torch.testing.assert_close(text.square().mean(-1), torch.full((2, 1), SCALE**2))


def test_a_prompt_that_is_too_long_is_refused() -> None:
    with pytest.raises(PromptTooLong, match="21 words, but the text encoder takes 20: 'a a a"):
        BagOfWords(8).encode(["a " * 21])
