import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bench.metrics.protocols import PROTOCOLS, protocol_named


def clip(height, width, frames=9):
    return torch.rand(frames, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_tensorflow_1_resizes_without_half_pixels():
    """Doubling 112 pixels: even outputs are the inputs, odd ones lie between, the last repeats (tf.image, TF 1)."""
    frames = clip(112, 112)
    resized = PROTOCOLS["unterthiner"].for_i3d(frames)
    torch.testing.assert_close(resized[..., ::2, ::2], frames)
    torch.testing.assert_close(resized[..., 1:-1:2, ::2], (frames[..., :-1, :] + frames[..., 1:, :]) / 2)
    torch.testing.assert_close(resized[..., -1, ::2], frames[..., -1, :])


def test_stretching_is_left_to_the_encoder():
    frames = clip(40, 50)
    assert PROTOCOLS["stylegan-v"].for_i3d(frames) is frames


@pytest.mark.parametrize(("height", "width"), [(100, 150), (150, 100), (224, 224), (500, 333)])
def test_centre_crop_keeps_the_aspect_ratio(height, width):
    resized = PROTOCOLS["centre-crop"].for_i3d(clip(height, width))
    assert resized.shape == (9, 3, 224, 224)
    ramp = torch.linspace(0, 1, width).expand(9, 3, height, width)
    slope = PROTOCOLS["centre-crop"].for_i3d(ramp)[0, 0, 0].diff()[5:-5].median()
    assert slope == pytest.approx(min(height, width) / 224 / (width - 1), rel=0.02)


def test_ucf101_sees_svds_frames_as_the_paper_says():
    protocol = PROTOCOLS["ucf101-zero-shot"]
    generated = clip(320, 576)
    expected = F.interpolate(generated, (240, 432), mode="bilinear", antialias=True)[..., 56:376]
    torch.testing.assert_close(protocol.cropped(generated), expected)
    real = clip(240, 320)
    assert protocol.cropped(real) is real


def test_a_crop_wider_than_the_frame_is_refused():
    with pytest.raises(ValueError, match="frames of 320 x 320 are only 240 wide"):
        PROTOCOLS["ucf101-zero-shot"].cropped(clip(320, 320))


def test_constant_frames_stay_constant_under_every_protocol():
    for protocol in PROTOCOLS.values():
        grey = torch.full((9, 3, 50, 40), 0.5)
        torch.testing.assert_close(protocol.for_i3d(grey), torch.tensor(0.5).expand_as(protocol.for_i3d(grey)))


def test_few_frames_are_refused():
    for protocol in PROTOCOLS.values():
        with pytest.raises(ValueError, match="at least 9 frames, got 8"):
            protocol.for_i3d(clip(32, 32, frames=8))


def test_misspelt_protocol_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'stylegan-v'"):
        protocol_named("styleganv")


def test_a_changed_protocol_says_so_in_its_name():
    protocol = PROTOCOLS["stylegan-v"]
    assert protocol.but(None, None, None) is protocol
    assert protocol.but(16, 1, 1) is protocol
    changed = protocol.but(32, None, 0)
    assert changed.name == "stylegan-v (frames 32, clips per video 0)"
    assert (changed.frames, changed.clips_per_video, changed.stride) == (32, 0, 1)
    with pytest.raises(ValueError, match="frames >= 1"):
        protocol.but(0, None, None)


def test_numbers_differ_between_protocols_only_through_resizing():
    names = ["stylegan-v", "unterthiner", "centre-crop"]
    frames = clip(60, 90)
    resized = [PROTOCOLS[name].for_i3d(frames) for name in names]
    resized[0] = F.interpolate(frames, (224, 224), mode="bilinear")
    means = [float(array.mean()) for array in resized]
    assert np.ptp(means) < 0.02 and len(set(means)) == 3
