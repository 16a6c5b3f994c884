"""Numbers with the noun that they count, as sentences have them."""

IRREGULAR = {"query": "queries", "micro-batch": "micro-batches"}


def quantity(number: int, noun: str) -> str:
    """
    >>> quantity(1, "train clip"), quantity(2_000, "label"), quantity(0, "query")
    ('1 train clip', '2,000 labels', '0 queries')
    """
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """
    >>> plural("generator"), plural("query")
    ('generators', 'queries')
    """
    return IRREGULAR.get(noun, f"{noun}s")
