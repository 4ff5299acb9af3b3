"""Pages of text, drawn: what networks that find text are measured on.

equibench run -m net.py:build -s examples/board/pages.py:Pages
"""

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from equibench.cases.suite import Case, Suite
from equibench.foundation.seeds import generator

SENTENCE = (
    "a network that finds text in images should find the same text where an image has moved by "
    "some pixels and it does so as far as its layers commute with the shift of what is given to it"
)


class Pages(Suite):
    """Pages (1, 1, size, size) of dark words on uneven paper, in the font that comes with Pillow.

    A page is seeded by its name: sizes of letters, words, light and noise.
    """

    name = "pages"
    metrics = ("agreement", "dice")

    def __init__(self, n: int = 12, size: int = 224) -> None:
        self.n, self.size = n, size

    @property
    def configuration(self) -> Mapping[str, str | int | float | bool]:
        return {"n": self.n, "size": self.size}

    def cases(self) -> list[str]:
        return [f"page-{number:03d}" for number in range(self.n)]

    def load(self, name: str) -> Case:
        random = generator(self.name, name)
        page = Image.new("L", (self.size, self.size), 255)
        draw, top, margin = ImageDraw.Draw(page), 12, 16
        while top < self.size - 2 * margin:
            font = ImageFont.load_default(int(random.integers(12, 26)))
            line = ""
            for word in random.permutation(SENTENCE.split()):
                if draw.textlength(f"{line} {word}", font) > self.size - 2 * margin:
                    break
                line = f"{line} {word}".strip()
            draw.text((margin, top), line, int(random.integers(0, 90)), font)
            top += int(1.7 * font.size)
        ink = np.asarray(page, np.float32) / 255
        slope = np.linspace(-1, 1, self.size, dtype=np.float32)
        light = 0.8 + 0.15 * (
            random.uniform(-1, 1) * slope + random.uniform(-1, 1) * slope[:, None]
        )
        noise = random.standard_normal(ink.shape, dtype=np.float32)
        image = (ink * light + np.float32(0.02) * noise).astype(np.float32).clip(0, 1)
        return Case(name=name, input=torch.from_numpy(image)[None, None])
