"""Units of length, mass, volume, speed and time: what a number with one unit is in another."""

import regex

_METRE, _GRAM, _LITRE, _METRE_PER_S, _SECOND = "metre", "gram", "litre", "metre a second", "second"
UNITS: dict[str, tuple[str, float]] = {
    spelling: (dimension, factor)
    for dimension, factor, spellings in (
        (_METRE, 1e-3, "mm millimetre millimetres millimeter millimeters"),
        (_METRE, 1e-2, "cm centimetre centimetres centimeter centimeters"),
        (_METRE, 1.0, "m metre metres meter meters"),
        (_METRE, 1e3, "km kilometre kilometres kilometer kilometers"),
        (_METRE, 0.0254, "inch inches"),
        (_METRE, 0.3048, "ft foot feet"),
        (_METRE, 0.9144, "yd yard yards"),
        (_METRE, 1609.344, "mile miles"),
        (_GRAM, 1.0, "g gram grams gramme grammes"),
        (_GRAM, 1e3, "kg kilo kilos kilogram kilograms"),
        (_GRAM, 28.349523125, "oz ounce ounces"),
        (_GRAM, 453.59237, "lb lbs pound pounds"),
        (_LITRE, 1e-3, "ml millilitre millilitres milliliter milliliters"),
        (_LITRE, 1.0, "l litre litres liter liters"),
        (_METRE_PER_S, 1.0, "m/s"),
        (_METRE_PER_S, 1 / 3.6, "km/h kmh kph"),
        (_METRE_PER_S, 0.44704, "mph"),
        (_SECOND, 1e-3, "ms millisecond milliseconds"),
        (_SECOND, 1.0, "s sec secs second seconds"),
        (_SECOND, 60.0, "min mins minute minutes"),
        (_SECOND, 3600.0, "h hr hrs hour hours"),
    )
    for spelling in spellings.split()
}
"""Spelling -> dimension and the factor to its base unit. A table of what videos show; pint would bring a thousand others."""
_AFTER_NUMBER = regex.compile(r"[\s-]*(m/s|km/h|\p{L}+)", regex.IGNORECASE)
_ASKED = regex.compile(r"\b(?:in|many|of)\s+(m/s|km/h|\p{L}{2,})\b|\((m/s|km/h|\p{L}+)\)", regex.IGNORECASE)


def unit_after(text: str, offset: int) -> str:
    """The unit right behind a number, as the table spells it; "" without one.

    >>> unit_after("It is 200 cm long", 9), unit_after("It has 200 pages", 10)
    ('cm', '')
    """
    match = _AFTER_NUMBER.match(text, offset)
    spelling = match[1].casefold() if match else ""
    return spelling if spelling in UNITS else ""


def asked_unit(question: str) -> str:
    """The unit in which a question wants its answer: "in metres", "(cm)", "how many feet"; "" without one.

    >>> asked_unit("How long is the plank, in metres?"), asked_unit("How many people are in it?")
    ('metres', '')
    """
    spellings = ((match[1] or match[2]).casefold() for match in _ASKED.finditer(question))
    return next((spelling for spelling in spellings if spelling in UNITS), "")


def converted(value: float, unit: str, wanted: str) -> float | None:
    """The value in another unit; None if the two measure different things.

    >>> converted(200, "cm", "metres"), converted(5, "kg", "m")
    (2.0, None)
    """
    dimension, factor = UNITS[unit]
    wanted_dimension, wanted_factor = UNITS[wanted]
    return value * factor / wanted_factor if dimension == wanted_dimension else None
