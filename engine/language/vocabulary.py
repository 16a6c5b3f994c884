"""Lists of English words by their role in a sentence. The lists are short on purpose: a word in none of them counts as content."""

FUNCTION_WORDS = frozenset(
    "a an and are as at be been being by for had has have he her hers him his i is it its me my of or our she some something "
    "somebody someone somewhere that the their them these they this those to was we were with you your".split()
)
"""Words that say nothing about an action. Particles (up, down, off) and light verbs (put, take) do, so they are not here."""

DIGITS = "zero one two three four five six seven eight nine ten eleven twelve".split()
PAST = dict(
    pair.split("-")
    for pair in (
        "dove-dive rose-rise left-leave ground-grind shot-shoot felt-feel wound-wind bound-bind fell-fall lay-lie saw-see "
        "bore-bear spoke-speak bit-bite lit-light wove-weave stole-steal strove-strive wore-wear shook-shake slid-slide "
        "led-lead bent-bend struck-strike stuck-stick swung-swing hung-hang dug-dig drawn-draw people-person women-woman men-man"
    ).split()
)
"""Past form -> verb, plural -> singular, where simplemma returns the word unchanged because it is also a base form (dove, rose)."""
NOUNS = frozenset("dove rose left ground shot felt wound fell lay bore spoke bit leaves".split())
NOUN_BEFORE = frozenset(
    "a an the his her its my our your their this that one to on from white black red blue green yellow pink small big large little "
    "old new young dry fresh wet single dead wild beautiful".split()
)
"""Words before NOUNS: behind them "left" is a side, "ground" is the floor and "rose" is a flower, not a past form."""
COMPOUNDS = frozenset(
    tuple(pair.split())
    for pair in (
        "table tennis,hot dog,hot dogs,teddy bear,rocking horse,sea horse,sea lion,guinea pig,jacket potato,blood vessel,"
        "sky diving,water skiing,jet skiing,kick boxing,shadow boxing,water polo,couch potato,horse radish"
    ).split(",")
)
"""Two-word compounds; neither word alone counts as its usual meaning (a hot dog is no dog)."""
PRONOUNS = frozenset("it them".split())
ARTICLES = frozenset("a an the his her its their some two three several one this that another".split())
PLACES = frozenset(
    "on in at from into onto to under over behind beside near by with against across through around inside of".split()
)
PHRASE_ENDS = (
    FUNCTION_WORDS - {"her", "his"} | PLACES | frozenset("then while before after who which where lies stands sits rests".split())
)
"""Words that end a noun phrase."""

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
"""Particle or preposition -> its synonyms. It distinguishes "put in" from "put on", so a label's particle must be met."""
PREPOSITIONS: dict[str, tuple[str, ...]] = {
    word: tuple(same.split())
    for word, same in (
        pair.split(":")
        for pair in "to:towards toward into onto,with:using,at:to towards toward on,for:,about:of,against:on,by:with,like:as".split(
            ","
        )
    )
}
"""Preposition that is no particle -> its synonyms. A label's noun behind one must stand behind it in the answer too."""
VERBS_TOO = frozenset(["open"])
"""Particles that are a verb where no verb stands before them: "pull open", and "open the door"."""
OPPOSITE = {"on": "off", "off": "on", "onto": "off", "in": "out", "into": "out", "out": "in", "up": "down", "down": "up"}

PEOPLE = frozenset(
    "person man woman boy girl guy lady someone somebody people child kid actor camera wearer player athlete he she they".split()
)
"""Names for the person in the video. They are ignored when sentences are compared: only the action counts."""
NEGATIONS = frozenset("not no never cannot".split())
"""Negators that a label's own text may hold; an answer with the same meaning holds one too."""
