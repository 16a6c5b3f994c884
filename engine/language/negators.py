"""Words that deny."""

NEGATORS = frozenset(
    "not cannot never without hardly scarcely barely rarely seldom unlike lacks lacking avoids avoided avoiding "
    "pretend pretends pretended pretending unlikely zero aint "
    "isnt arent wasnt werent dont doesnt didnt cant couldnt wont wouldnt hasnt "
    "havent ne não non не 没 不 未 無 无 别 別 "
    "لا لم لن ليس ليست دون بدون نه نیست לא nie nu nem ei nunca jamás jamais niemals nie никогда δεν không tidak bukan नहीं".split()
)
POSTPOSED_NEGATORS = frozenset("nicht kein keine keinen niet geen inte ikke değil".split())
"""Negators of other languages that may stand behind what they deny: "Er tanzt nicht"."""
SUBJECT_NEGATORS = frozenset("no none nobody nothing neither nor nowhere niemand nadie nessuno ninguém никто nikt".split())
"""Negators that can be the subject: the verb that follows is denied too."""
PREPOSITIONAL_NEGATORS = frozenset(
    "zero without unlike instead rather opposed far lack absence lacks lacking confused mistaken".split()
)
"""Negators that deny a noun phrase and nothing behind it."""


def denies(word: str) -> bool:
    """Whether the word is a negator."""
    return (
        word in NEGATORS or word in SUBJECT_NEGATORS or word in POSTPOSED_NEGATORS or word.endswith("n't") or word.startswith("n'")
    )
