"""English words by what they do in a sentence. Each list is short on purpose: what is not in it is a word of its own."""

FUNCTION_WORDS = frozenset(
    "a an and are as at be been being by for had has have he her hers him his i is it its me my of or our she some something "
    "somebody someone that the their them these they this those to was we were with you your".split()
)
"""Words that carry no label by themselves. Particles (up, down, off) and light verbs (put, take) do, so they are not here."""

DIGITS = "zero one two three four five six seven eight nine ten eleven twelve".split()
PAST = dict(
    pair.split("-")
    for pair in (
        "dove-dive rose-rise left-leave ground-grind shot-shoot felt-feel wound-wind bound-bind fell-fall lay-lie saw-see "
        "bore-bear spoke-speak bit-bite lit-light wove-weave stole-steal strove-strive wore-wear shook-shake slid-slide "
        "led-lead bent-bend struck-strike stuck-stick swung-swing hung-hang dug-dig drawn-draw people-person women-woman men-man"
    ).split()
)
"""Forms that a dictionary takes for another word's first form, and plurals that it keeps."""
NOUNS = frozenset("dove rose left ground shot felt wound fell lay bore spoke bit leaves".split())
NOUN_BEFORE = frozenset(
    "a an the his her its my our your their this that one to on from white black red blue green yellow pink small big large little "
    "old new young dry fresh wet single dead wild beautiful".split()
)
"""After these "left" is a side, "ground" is what one stands on, and "rose" is a flower."""
COMPOUNDS = frozenset(
    tuple(pair.split())
    for pair in (
        "table tennis,hot dog,hot dogs,teddy bear,rocking horse,sea horse,sea lion,guinea pig,jacket potato,blood vessel,"
        "sky diving,water skiing,jet skiing,kick boxing,shadow boxing,water polo,couch potato,horse radish"
    ).split(",")
)
"""Of two words that are one thing neither is the other thing that it is called after."""
PRONOUNS = frozenset("it them".split())
ARTICLES = frozenset("a an the his her its their some two three several one this that another".split())
PLACES = frozenset(
    "on in at from into onto to under over behind beside near by with against across through around inside of".split()
)
THING_ENDS = (
    FUNCTION_WORDS - {"her", "his"} | PLACES | frozenset("then while before after who which where lies stands sits rests".split())
)

PARTICLES: dict[str, tuple[str, ...]] = {
    word: tuple(same.split())
    for word, same in (
        pair.split(":")
        for pair in (
            "in:into inside within,into:in inside,inside:in into within,on:onto upon atop,onto:on upon,upon:on onto,out:outside,"
            "up:upward upwards,down:downward downwards,under:underneath beneath below,below:under beneath,above:over,around:round,"
            "from:off,forward:forwards,backward:backwards"
        ).split(",")
    )
} | dict.fromkeys("off over through across away behind back open together apart".split(), ())
"""What tells putting in from putting on, and what says the same."""
OPPOSITE = {"on": "off", "off": "on", "onto": "off", "in": "out", "into": "out", "out": "in", "up": "down", "down": "up"}

PEOPLE = frozenset(
    "person man woman boy girl guy lady someone somebody people child kid actor camera wearer player athlete he she they".split()
)
"""Who does it is called by many names; what is done is what a sentence is about."""
NEGATIONS = frozenset("not no never cannot".split())
"""In a gold sentence: who says the same denies it too."""
