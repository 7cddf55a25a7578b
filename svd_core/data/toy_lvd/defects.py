"""What can be wrong with a shot besides its caption. Severity runs from near 0 (mild, yet measurable) to 1 (strong)."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from svd_core.data.toy_lvd.drawing import Image
from svd_core.data.toy_lvd.scenes import Colour

KINDS = ("static", "text", "poor_looks", "wrong_caption")
SHARES = {"static": 0.25, "text": 0.25, "poor_looks": 0.25, "wrong_caption": 0.5}
"""The shares that the paper drops on the matching axes (Stage II), so that its percentiles fit this corpus."""

MAX_DRIFT = 0.02
"""Speed, in frame sides per second, of the mildest static shot; the slowest good one moves ten times as fast."""

LOOKS = ("blur", "grain", "faded", "overexposed", "underexposed")
WORDS = ("LIVE", "NEWS", "Breaking", "SALE", "Channel", "Subscribe", "12:45", "www.toy", "PREVIEW", "Studio", "50% OFF")
INKS: tuple[Colour, ...] = ((255, 255, 255), (255, 235, 60), (255, 80, 70), (120, 230, 255))
TEXT_HEIGHT = (0.1, 0.135)
"""Type size as a share of the frame's side: 19 to 26 px at 192, so that capitals are 14 to 18 px high."""


@dataclass(frozen=True)
class Defects:
    """Severity in (0, 1] of each planted defect, None where it is absent; names as in `KINDS`."""

    static: float | None = None
    text: float | None = None
    poor_looks: float | None = None
    wrong_caption: float | None = None

    @property
    def good(self) -> bool:
        """None of the four."""
        return self == Defects()


@dataclass(frozen=True)
class Looks:
    """One way to look poor, with its severity; `grain_seed` fixes the grain, which does not move."""

    kind: str
    severity: float
    grain_seed: int

    def spoil(self, image: Image) -> Image:
        """The spoilt copy of an RGB image (size, size, 3)."""
        severity = self.severity
        match self.kind:
            case "blur":
                sigma = (0.023 + 0.02 * severity) * image.shape[0]
                return _pixels(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))
            case "grain":
                lighter, darker = self._grain(image.shape[0])
                return _pixels(cv2.subtract(cv2.add(image, lighter), darker))
            case "faded":
                return _tone(image, gain=0.43 - 0.23 * severity, offset=62 + 28 * severity)
            case "overexposed":
                return _tone(image, gain=1.1 + 0.4 * severity, offset=100 + 40 * severity)
            case "underexposed":
                return _tone(image, gain=0.45 - 0.25 * severity, offset=0)
        raise ValueError(f"unknown looks {self.kind!r}: expected one of {', '.join(LOOKS)}")

    def _grain(self, size: int) -> tuple[Image, Image]:
        """What to add and what to take away: colour noise of a 64 x 64 grid, coarse enough to be seen when small."""
        noise = np.random.default_rng(self.grain_seed).standard_normal((64, 64, 3), dtype=np.float32)
        grain = cv2.resize(noise * (28 + 27 * self.severity), (size, size), interpolation=cv2.INTER_LINEAR)
        return np.clip(grain, 0, 255).astype(np.uint8), np.clip(-grain, 0, 255).astype(np.uint8)


def draw_looks(rng: np.random.Generator, severity: float) -> Looks:
    """A random kind of poor looks."""
    return Looks(LOOKS[int(rng.integers(len(LOOKS)))], severity, int(rng.integers(2**31)))


@dataclass(frozen=True)
class Text:
    """Burned-in lines. `height` is a share of the frame's side, `place` (x, y) in 0..1 of the room that is left."""

    lines: tuple[str, ...]
    height: float
    place: tuple[float, float]
    ink: Colour
    italic: bool


def draw_text(rng: np.random.Generator, severity: float) -> Text:
    """Random words; more severe is larger and has more lines."""
    low, high = TEXT_HEIGHT
    count = 1 + int(severity * 2.999)
    return Text(
        lines=tuple(WORDS[i] for i in rng.permutation(len(WORDS))[:count]),
        height=low + (high - low) * severity,
        place=(rng.uniform(0, 1), rng.uniform(0, 1)),
        ink=INKS[int(rng.integers(len(INKS)))],
        italic=bool(rng.integers(2)),
    )


class Overlay:
    """A text with its dark outline, drawn once for frames of `size` pixels and then laid over any number of them."""

    def __init__(self, text: Text, size: int) -> None:
        ink, solid = _letters(text, size)
        self.take = 255 - solid
        self.add = (ink * (np.array(text.ink) / 255)).astype(np.uint8)

    def over(self, image: Image) -> Image:
        """The image, RGB (size, size, 3), with the text burned in."""
        return _pixels(cv2.add(cv2.multiply(image, self.take, scale=1 / 255), self.add))


def _letters(text: Text, size: int) -> tuple[Image, Image]:
    """Coverage 0..255, (size, size, 3), by letters and by letters with outline."""
    font = cv2.FontFace("italic" if text.italic else "sans")
    height = max(3, round(text.height * size))
    pitch = round(height * 1.25)
    widths = [cv2.getTextSize((size, size), line, (0, 0), font, height, 600)[2] for line in text.lines]
    left = round(text.place[0] * max(0, size - max(widths) - 4)) + 2
    top = round(text.place[1] * max(0, size - pitch * len(text.lines) - 4))
    ink = np.zeros((size, size, 3), np.uint8)
    for row, line in enumerate(text.lines):
        cv2.putText(ink, line, (left, top + row * pitch + height), (255, 255, 255), font, height, 600)
    reach = 2 * max(1, round(size / 128)) + 1
    return ink, _pixels(cv2.dilate(ink, np.ones((reach, reach), np.uint8)))


def _tone(image: Image, gain: float, offset: float) -> Image:
    return _pixels(cv2.convertScaleAbs(image, alpha=gain, beta=offset))


def _pixels(image: NDArray[np.generic]) -> Image:
    return image.astype(np.uint8, copy=False)
