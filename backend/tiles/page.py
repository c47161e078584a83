"""The page of a figure: title, picture, legend or colour bar, scale bar; drawn with Pillow."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

RGB = tuple[int, ...]

#: Share of the page's width that the picture has.
PLOT = 0.74
#: Legend rows that are printed, at most; the rest is named as a number.
MOST_ROWS = 48
#: Fonts that are tried, first to last.
FONTS = ("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "Arial.ttf")
_PLAIN = str.maketrans({"µ": "u", "μ": "u", "²": "2", "–": "-", "−": "-", "≥": ">="})


class Entry(NamedTuple):
    """One row of a legend."""

    name: str
    colour: RGB
    cells: int


@dataclass(frozen=True, slots=True)
class Bar:
    """A colour bar: (k, 3) uint8 low to high, values at its ends and middle, flat colours."""

    colours: NDArray[np.uint8]
    ticks: list[float]
    log: bool
    unit: str
    zero: RGB | None
    none: tuple[RGB, int] | None


class Words(NamedTuple):
    """What is printed above and below the picture."""

    title: str
    lines: tuple[str, ...]
    foot: str


class Page:
    """A page of given width; its height follows from the picture and the legend.

    Parameters
    ----------
    width : int
        Pixels.
    dark : bool
        Dark background instead of white.
    """

    def __init__(self, width: int, dark: bool) -> None:
        self.width = width
        self.em = max(9, round(width / 100))
        self.plot_width = round(width * PLOT)
        self._back: RGB = (0x0E, 0x11, 0x14) if dark else (255, 255, 255)
        self._text: RGB = (0xE7, 0xEA, 0xEE) if dark else (0x1B, 0x21, 0x29)
        self._soft: RGB = (0xB0, 0xB8, 0xC2) if dark else (0x4D, 0x57, 0x64)

    def compose(
        self, picture: NDArray[np.uint8], legend: Any, words: Words, scale: float, unit: str
    ) -> bytes:
        """Return the page as PNG.

        Parameters
        ----------
        picture : (h, plot_width, 4) uint8
        legend : list of Entry, or Bar
        words : Words
        scale : float
            Pixels per unit of length.
        unit : str
            Unit of length; "um" is printed as µm.
        """
        em = self.em
        head = round(em * (4.2 + 1.6 * len(words.lines)))
        foot = round(em * 6.4)
        height = head + max(picture.shape[0], self._legend_height(legend)) + foot
        page = Image.new("RGB", (self.width, height), self._back)
        page.paste(Image.fromarray(picture), (em, head), Image.fromarray(picture[..., 3]))
        draw = ImageDraw.Draw(page)
        self._write(draw, (em, em), words.title, 2.0, self._text)
        for i, line in enumerate(words.lines):
            self._write(draw, (em, round(em * (3.8 + 1.6 * i))), line, 1.1, self._soft)
        left = em * 2 + self.plot_width
        if isinstance(legend, Bar):
            self._bar(draw, page, (left, head), legend)
        else:
            self._rows(draw, (left, head), legend)
        self._scale_bar(draw, height - round(em * 5), scale, unit)
        self._write(draw, (em, height - round(em * 1.9)), words.foot, 0.9, self._soft)
        out = io.BytesIO()
        page.save(out, "PNG", dpi=(300, 300))
        return out.getvalue()

    def _legend_height(self, legend: Any) -> int:
        if isinstance(legend, Bar):
            return self.em * 24
        return round(self.em * 1.6 * (min(len(legend), MOST_ROWS) + 2))

    def _write(
        self, draw: Any, at: tuple[int, int], text: str, size: float, colour: RGB, room: int = 0
    ) -> None:
        """Write one line, cut with an ellipsis where it is longer than ``room`` pixels."""
        text = printable(text)
        font = font_of(self.em * size)
        room = room or self.width - at[0] - self.em
        while text and font.getlength(text) > room:
            text = text.removesuffix("…")[:-1].rstrip() + "…"
            if text == "…":
                break
        draw.text(at, text, fill=colour, font=font)

    def _rows(self, draw: Any, at: tuple[int, int], entries: list[Entry]) -> None:
        left, top = at
        em, step = self.em, self.em * 1.6
        right = self.width - em
        count_font = font_of(em * 1.0)
        for i, entry in enumerate(entries[:MOST_ROWS]):
            y = round(top + i * step)
            draw.rectangle((left, y, left + em, y + em), fill=entry.colour)
            count = f"{entry.cells:,}"
            wide = count_font.getlength(count)
            room = round(right - wide - left - em * 2.6)
            self._write(draw, (round(left + em * 1.6), y), entry.name, 1.0, self._text, room)
            self._write(draw, (round(right - wide), y), count, 1.0, self._soft, round(wide) + 2)
        if len(entries) > MOST_ROWS:
            rest = f"and {len(entries) - MOST_ROWS:,} more"
            self._write(draw, (left, round(top + MOST_ROWS * step)), rest, 1.0, self._soft)

    def _bar(self, draw: Any, page: Any, at: tuple[int, int], bar: Bar) -> None:
        left, top = at
        em = self.em
        self._write(draw, (left, top), bar.unit, 1.0, self._soft)
        top, height, wide = round(top + em * 2), em * 12, round(em * 1.4)
        rows = np.linspace(len(bar.colours) - 1, 0, height).round().astype(int)
        strip = np.repeat(bar.colours[rows][:, None], wide, axis=1)
        page.paste(Image.fromarray(strip), (left, top))
        for tick in bar.ticks:
            width = bar.ticks[-1] - bar.ticks[0]
            place = (tick - bar.ticks[0]) / width if width else 0.0
            place = math.log1p(9 * place) / math.log(10) if bar.log else place
            y = round(top + height * (1 - place))
            draw.line((left + wide, y, left + wide + em // 3, y), fill=self._soft, width=2)
            text = f"{tick:,.3g}".replace("-", "\N{MINUS SIGN}")
            if abs(tick) >= 1000:
                text = f"{tick:,.0f}".replace("-", "\N{MINUS SIGN}")
            self._write(draw, (left + wide + em // 2, round(y - em * 0.6)), text, 1.0, self._text)
        y = top + height + em * 2
        flat = [("Zero", bar.zero)] if bar.zero else []
        if bar.none:
            flat.append((f"No value: {bar.none[1]:,} cells", bar.none[0]))
        for name, colour in flat:
            draw.rectangle((left, y, left + em, y + em), fill=colour)
            self._write(draw, (round(left + em * 1.6), y), name, 1.0, self._text)
            y += round(em * 1.8)

    def _scale_bar(self, draw: Any, y: int, scale: float, unit: str) -> None:
        length = round_length(self.plot_width / scale / 5)
        em, name = self.em, "µm" if unit == "um" else unit
        wide = round(length * scale)
        draw.rectangle((em, y, em + wide, y + max(3, em // 4)), fill=self._text)
        text = f"{length / 1000:g} mm" if unit == "um" and length >= 1000 else f"{length:g} {name}"
        self._write(draw, (em, round(y + em * 0.6)), text, 1.0, self._text)


@lru_cache(maxsize=64)
def font_of(size: float) -> Any:
    """Return a font with Greek letters where one is installed, else the one of Pillow."""
    for name in FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def printable(text: str) -> str:
    """Return text without the signs that Pillow's own font lacks, where that is all there is."""
    if font_of(12.0).getname()[0] != "Aileron":
        return text
    return text.translate(_PLAIN)


def round_length(length: float) -> float:
    """Return the largest of 1, 2 or 5 times a power of ten that is not above ``length``."""
    power = 10.0 ** math.floor(math.log10(max(length, 1e-9)))
    return max(step * power for step in (1, 2, 5) if step * power <= length * 1.0000001)
