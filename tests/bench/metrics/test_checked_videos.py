import numpy as np
import torch

from bench.metrics.videos import clips_of, first_middle_last, float_videos

VIDEOS = torch.rand(3, 4, 3, 6, 5, generator=torch.Generator().manual_seed(0))


def test_every_source_gives_the_same_clips():
    sources = [
        VIDEOS,
        VIDEOS.numpy(),
        VIDEOS.double(),
        list(VIDEOS),
        iter(VIDEOS.numpy()),
        (clip.numpy()[::-1][::-1] for clip in VIDEOS),
        VIDEOS.clone().requires_grad_(),
    ]
    for videos in sources:
        clips = list(clips_of(videos, "x"))
        assert [clip.dtype for clip in clips] == [torch.float32] * 3
        assert torch.equal(torch.stack(clips), VIDEOS)
    assert torch.equal(float_videos(VIDEOS.numpy(), "x"), VIDEOS)


def test_a_generator_is_read_clip_by_clip():
    read = []

    def endless():
        while True:
            read.append(len(read))
            yield np.zeros((2, 3, 4, 4), np.float32)

    clips = clips_of(endless(), "x")
    next(clips), next(clips)
    assert read == [0, 1]


def test_half_precision_is_taken():
    assert next(clips_of(VIDEOS.bfloat16(), "x")).dtype == torch.float32


def test_three_frames_stand_for_a_clip():
    assert torch.equal(first_middle_last(VIDEOS[0]), VIDEOS[0][[0, 2, 3]])
