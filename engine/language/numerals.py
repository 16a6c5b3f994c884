"""The numerals of a text and their values: digits, words, fractions, dozens, k, and Chinese numerals."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import regex

ONES = (
    "zero one two three four five six seven eight nine ten "
    "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
MULTIPLIERS = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
VALUES = (
    {word: value for value, word in enumerate(ONES)}
    | {word: 10 * (i + 2) for i, word in enumerate(TENS)}
    | MULTIPLIERS
    | {"once": 1, "twice": 2, "thrice": 3}
)
PARTS = {"half": 1 / 2, "third": 1 / 3, "quarter": 1 / 4, "fourth": 1 / 4, "fifth": 1 / 5, "tenth": 1 / 10}
GLYPHS = {"½": 1 / 2, "¼": 1 / 4, "¾": 3 / 4, "⅓": 1 / 3, "⅔": 2 / 3, "⅛": 1 / 8, "⅜": 3 / 8, "⅝": 5 / 8, "⅞": 7 / 8}
HAN_DIGITS = {letter: i for i, letters in enumerate("零〇 一 二两兩 三 四 五 六 七 八 九".split()) for letter in letters}
HAN_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10_000, "萬": 10_000}
_HAN = "".join([*HAN_DIGITS, *HAN_UNITS])
_DIGITS = (
    r"(?<![\p{N}.])(?<!(?!\p{Han}|\p{Hangul}|\p{Hiragana})\p{L})(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?"
    r"|\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?![.,]?\d)"
    r"|(?<!\d,\s?)\d+,\d{1,2}(?![\p{L}\d]|[.,]\d|\s*,\s*\d)|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
)
"""1,000 and 12 000 are thousands, 76,5 has a decimal comma, and 1,2,3 is a list."""
_WORDS = rf"\b(?:{'|'.join(VALUES)})(?:(?:[\s-]+|\s+and\s+)(?:{'|'.join(VALUES)})){{0,7}}\b"
_MULTIPLIER = "|".join(MULTIPLIERS)
_NUMERAL = regex.compile(
    rf"(?P<minus>(?<!\d\s?)(?<=^|[\s(\[=:,<])[-−](?=[\d.])|\b(?:minus|negative)\s+)?"
    rf"(?:(?P<glyph>[{''.join(GLYPHS)}])"
    r"|(?<![\p{L}\p{N}./])(?P<over>\d)/(?P<under>[2348])(?![\d/.]|\s*(?:points?|stars?)\b)"
    rf"|(?P<digits>{_DIGITS})(?:(?P<k>k\b)|\s?(?P<more>[{''.join(GLYPHS)}])|\s+(?P<plus>\d)/(?P<parts>[2348])(?![\d/.]))?"
    rf"|\b(?P<halved>half\s+an?\s+(?P<halves>{_MULTIPLIER}))\b"
    r"|\b(?:(?P<count>an?|one|two|three|four)[\s-]+)?(?P<part>(?<!(?:first|second|other|next|last)\s)half|thirds|(?:quarter|fourth|fifth)s?"
    r"|(?:third|tenths?)(?=\s+of\b))\b(?!\s+(?:of\s+)?(?:a|an)\s+(?:second|minute|hour)s?\b)(?!\s*[-\s]?(?:way|time|final|court)\b)"
    r"|\b(?P<few>an?\s+(?:single|lone)|(?:a|one)\s+(?:pair|couple)\s+of)\b"
    rf"|(?P<words>{_WORDS})"
    rf"|(?<![第另每同{_HAN}])(?P<han>[{_HAN}]+)(?=[个個人名位只隻条條台臺辆輛张張把本次秒分点點米岁歲度杯件]))"
    rf"(?:\s+point\s+(?P<point>(?:(?:{'|'.join(ONES[:10])})\b\s*)+))?(?(digits)(?:\s+(?P<multiplier>{_MULTIPLIER})\b)?)"
    r"(?P<half>\s+and\s+a\s+half)?",
    regex.IGNORECASE,
)

_JOINT, _DECIMAL_COMMA, _GROUPING = (regex.compile(pattern) for pattern in (r"[\s-]+", r"\d+,\d{1,2}", r"[,\s]"))
"""Between the words of a numeral; digits whose comma is a decimal one; what groups digits."""


@dataclass(frozen=True)
class Numeral:
    """Numeral(value=0.75, start=3, end=17, word="", is_part=True). `word`: the first one of a numeral in words, folded."""

    value: float
    start: int
    end: int
    word: str
    is_part: bool
    """A part of one thing, as in "half" and "three quarters"."""


def numerals(text: str) -> Iterator[Numeral]:
    """
    >>> [numeral.value for numeral in numerals("3½ m; 1/2; 12k; 76,5; 12 000; half a dozen; two and a half; 三个人")]
    [3.5, 0.5, 12000.0, 76.5, 12000.0, 6.0, 2.5, 3.0]
    >>> [numeral.value for numeral in numerals("three quarters of it, a single cup, a pair of cups, 1, 2, 3")]
    [0.75, 1, 2, 1.0, 2.0, 3.0]
    """
    for match in _NUMERAL.finditer(text):
        word = _JOINT.split((match["words"] or match["few"] or "").casefold())[0]
        yield Numeral(_value(match), match.start(), match.end(), word, match["part"] is not None)


def _value(match: "regex.Match[str]") -> float:
    value = _whole(match)
    if match["point"]:
        value += float("0." + "".join(str(ONES.index(word)) for word in match["point"].casefold().split()))
    if match["half"]:
        value += 0.5
    return -value if match["minus"] else value


def _whole(match: "regex.Match[str]") -> float:
    """The value without sign, and without words behind it that add to it."""
    if match["digits"]:
        value = _digits(match["digits"]) * MULTIPLIERS.get((match["multiplier"] or "").casefold(), 1)
        value *= 1000 if match["k"] else 1
        return value + GLYPHS.get(match["more"] or "", 0) + (int(match["plus"]) / int(match["parts"]) if match["plus"] else 0)
    if match["glyph"]:
        return GLYPHS[match["glyph"]]
    if match["over"]:
        return int(match["over"]) / int(match["under"])
    if match["halves"]:
        return MULTIPLIERS[match["halves"].casefold()] / 2
    if match["part"]:
        count = (match["count"] or "a").casefold()
        return VALUES.get(count, 1) * PARTS[match["part"].casefold().removesuffix("s")]
    if match["few"]:
        return 2 if match["few"].casefold().endswith("of") else 1
    if match["han"]:
        return han_number(match["han"])
    return float(spelled_number(_JOINT.split(match["words"].casefold())))


def _digits(text: str) -> float:
    """The value of digits: a comma before one or two of them is a decimal comma."""
    if _DECIMAL_COMMA.fullmatch(text):
        return float(text.replace(",", "."))
    return float(_GROUPING.sub("", text))


def spelled_number(number_words: Sequence[str]) -> int:
    """The value of a number in words.

    >>> spelled_number(["twenty", "five"]), spelled_number(["one", "hundred", "and", "five"]), spelled_number(["two", "thousand"])
    (25, 105, 2000)
    """
    total, group = 0, 0
    for word in number_words:
        value = VALUES.get(word, 0)
        if value >= 1000:
            total, group = total + max(group, 1) * value, 0
        else:
            group = max(group, 1) * value if value in (12, 100) and word in ("dozen", "hundred") else group + value
    return total + group


def han_number(letters: str) -> float:
    """The value of a Chinese numeral.

    >>> han_number("十二"), han_number("三百零五"), han_number("两万")
    (12.0, 305.0, 20000.0)
    """
    total, group, digit = 0, 0, 0
    for letter in letters:
        unit = HAN_UNITS.get(letter, 0)
        if unit >= 10_000:
            total, group, digit = (total + group + digit or 1) * unit, 0, 0
        elif unit:
            group, digit = group + max(digit, 1) * unit, 0
        else:
            digit = HAN_DIGITS[letter]
    return float(total + group + digit)
