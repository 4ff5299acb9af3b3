"""Names and numbers as text in Markdown and LaTeX."""

import re

__all__ = ["escape_latex", "escape_markdown"]


def escape_markdown(text: str) -> str:
    """A name on one line of a table, no part of it taken for markup."""
    return re.sub(r"([\\|`*\[]|<(?=\S))", r"\\\1", " ".join(text.split()))


_LATEX: dict[str, str] = {
    **{c: rf"\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "Δ": r"$\Delta$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "∞": r"$\infty$",
    "×": r"$\times$",
    "−": "$-$",
    "–": "--",
    "’": "'",
    "…": r"\ldots{}",
}

_NUMBER = re.compile(r"(-?[\d.]+)(?:e([+-]\d+))?")
_POWER = re.compile(r"(?<![\w.])(-?\d[\d.]*)e([+-]\d+)(?!\w)")


def escape_latex(text: str) -> str:
    """Text for LaTeX: a number as a formula, of a sentence its powers of ten."""
    value = _NUMBER.fullmatch(text)
    if value:
        return _formula(value)
    parts, at = [], 0
    text = " ".join(text.split())
    for power in _POWER.finditer(text):
        parts += [_plain(text[at : power.start()]), _formula(power)]
        at = power.end()
    return "".join([*parts, _plain(text[at:])])


def _formula(number: re.Match[str]) -> str:
    power = int(number[2] or 0)
    return rf"${number[1]}\times10^{{{power}}}$" if power else f"${number[1]}$"


def _plain(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
