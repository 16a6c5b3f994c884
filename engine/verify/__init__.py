"""Whether an answer confirms its clip's label. Pure functions: texts in, a verdict with its reason out.

stages        the verifiers that judge an answer, one after another
rules         the first stage: the rules below
judge         the second stage, where it is named: a model behind a server
judging       what the judge is asked, and what its reply means
asking        how a judge is reached
library       verify() with defaults, for notebooks and scripts
verdict       verify(): presets, checks of every answer, then the rule of the label's kind
keywords      keyword labels: the words occur together and are asserted
pattern       a keyword label, parsed: required words, particles, prepositions
occurrences   where the words of a label stand together in an answer
roles         whether they have the same relations there: objects, particles, prepositions
event         whether a verb happens in the video: not in a picture, not earlier
state         whether a form of a verb says how a thing is: peeled, open
actor         whether somebody else does it than the question asks about
parsed        what a dependency parse says against an occurrence
choice        choice labels: by letter or by words
letters       which option letters a text affirms, denies or leaves open
number        number labels: within a relative tolerance
timestamp     timestamp labels: within a tolerance in seconds
time_range    time range labels: intersection over union
box           box labels: intersection over union, several formats
sentences     sentence labels: a clause with the same meaning for each, in order if required
reference     free answers: only the same words are kept, and no rule decides about others
sequence      class sequence labels: the classes happen in order
same_or_not   whether two things are the same: the last mention decides
enumeration   reject answers that enumerate many classes
repetition    reject answers that repeat themselves or break off
turns         reject answers that go on as their own user
unseen        reject answers that say they have not seen the video
leakage       reject rationalizations that reveal the hint or only copy it
published     Video-STaR's rules for all kinds, as in its paper and its code
tools         what the published rules use beside the text: models, and a list of stop words
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.rows import Verdict


class _Verify(ModuleType):
    """This package, called: `from engine import verify` is the function of docs/library.md, and engine.verify stays the package.

    Importing any module of the package binds its name in `engine`, so a function of the same name there would be lost.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """For processes of multiprocessing: a module cannot be pickled."""
        return importlib.import_module, (self.__name__,)

    def __call__(self, text: str, question: str, label: Any, **options: Any) -> "Verdict":
        from engine.verify.library import verify  # whoever imports the package for one of its modules needs none of it

        return verify(text, question, label, **options)


sys.modules[__name__].__class__ = _Verify
