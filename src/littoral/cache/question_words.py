"""Tables of English words for telling questions apart (questions.py). Data, no decisions.

A word that is in none of them is a content word, and content words decide on their own: so a word
missing here makes the guard stricter in nearly all cases, never looser, except in `SOFT`, `LIGHT`
and `SAME`, whose entries each say that something does not matter.
"""

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["EXPANSIONS", "HARD", "LIGHT", "LINKS", "OPENINGS", "SAME", "SOFT"]


def _words(text: str) -> list[str]:
    return text.split()


OPENINGS: Final = re.compile(
    r"^(?:(?:hi|hello|hey|please|ok|okay|so|well|thanks|kindly|quick question|question)\b[\s,.:!-]*"
    r"|(?:can|could|would|will) (?:you|u)(?: please)? (?=tell|explain|show|give|help|say|please)"
    r"|(?:please )?(?:tell|show|give) (?:me|us)\b(?: please)?[\s,:]*"
    r"|i (?:want|need|would like|'d like) to (?:know|understand)\b[\s,:]*"
    r"|(?:do you know|i wonder|i am wondering|i'm wondering|any idea)\b[\s,:]*"
    r"|(?:help me (?:to )?understand)\b[\s,:]*)+",
    re.IGNORECASE,
)
"""Politeness before the question itself."""

EXPANSIONS: Final = (
    (re.compile(r"\bcan(?:no|')t\b", re.IGNORECASE), "can not"),
    (re.compile(r"\bwon't\b", re.IGNORECASE), "will not"),
    (re.compile(r"\bshan't\b", re.IGNORECASE), "shall not"),
    (re.compile(r"n't\b", re.IGNORECASE), " not"),
    (re.compile(r"'ll\b", re.IGNORECASE), " will"),
    (re.compile(r"'re\b", re.IGNORECASE), " are"),
    (re.compile(r"'ve\b", re.IGNORECASE), " have"),
    (re.compile(r"'m\b", re.IGNORECASE), " am"),
    (re.compile(r"'d\b", re.IGNORECASE), " would"),
    (re.compile(r"\b(what|who|where|when|how|it|that|there)'s\b", re.IGNORECASE), r"\1 is"),
    (
        re.compile(
            r"\bhow (?:do|can|could|would|should|might) (?:i|you|we|one|someone) ", re.IGNORECASE
        ),
        "how to ",
    ),
    (re.compile(r"\bhow (?:do|does) one ", re.IGNORECASE), "how to "),
    (
        re.compile(r"\bwhat is the (?:best |right )?(?:way|method) (?:to|of) ", re.IGNORECASE),
        "how to ",
    ),
    (re.compile(r"\bin order to\b", re.IGNORECASE), "to"),
    (re.compile(r"\ba few\b", re.IGNORECASE), "several"),
    (re.compile(r"\ba little\b", re.IGNORECASE), "a-little"),
)
"""Forms that are the same, made one form."""

SOFT: Final = frozenset(_words("a an the is are am be been being do does what which"))
"""Words that carry no meaning of their own: they may be there or not."""

LIGHT: Final = frozenset(
    _words("please kindly thanks really actually basically currently presently")
)
"""Content that does not change what is asked."""

LINKS: Final = frozenset(
    _words(
        "to in on at of for with about this that these those it its have has having as there "
        "here through among just also very"
    )
)
"""Words between others: in a reworded question they are others, in the same words they matter."""

HARD: Final = frozenset(
    _words(
        # negation
        "not no nor never none nobody nothing nowhere neither without except excluding besides "
        "minus unless lacking free "
        # questions
        "who whose where when why how many much "
        # tense and modality
        "was were did had used will shall going gonna can could able should ought must may "
        "might would mandatory required obligatory optional optionally if whether "
        # quantity
        "all every each always entire whole some sometimes several any anyone most mostly "
        "mainly usually often few rarely seldom hardly barely scarcely only solely both either "
        "or and plus but too almost nearly exactly another other others same "
        # comparison and order
        "than versus first earliest last latest newest oldest next upcoming following previous "
        "former prior best better worst worse more less fewer least high higher highest low "
        "lower lowest large larger largest small smaller smallest tiny long longer longest "
        "short shorter shortest tall taller tallest fast faster fastest slow slower slowest "
        "slowly cheap cheaper cheapest expensive costly priciest maximum max minimum min "
        "greater greatest hot hotter warm warmer cold colder cool cooler heat heating chill "
        "cooling early earlier late later "
        # direction and place
        "from by into onto out off up down over under above below beneath beyond before after "
        "ago until since afterwards against anti between during while "
        # opposites
        "increase increases increased increasing decrease decreases decreased decreasing raise "
        "raises raised raising rise rises rising reduce reduces reduced reducing drop drops "
        "fall falls gain gains loss losses grow grows shrink shrinks exceeds exceeding enable "
        "enables enabled enabling disable disables disabled disabling activate deactivate allow "
        "allows allowed permit permits forbid forbids forbidden ban bans deny denies block "
        "blocks prohibit prohibited start starts started open opens opening stop stops end ends "
        "ended finish quit close closes closing cancel add adds include includes including "
        "insert install attach remove removes delete deletes exclude excludes uninstall detach "
        "accept accepts approve approves approved agree reject rejects refuse refuses rejected "
        "disagree decline buy buys bought sell sells sold lend lends lent borrow borrows "
        "borrowed send sends sent export exports upload uploads receive receives received "
        "import imports download downloads win wins won lose loses lost love loves like likes "
        "hate hates dislike dislikes good bad advantage advantages disadvantage disadvantages "
        "benefit benefits drawback drawbacks pros cons risk risks safe unsafe healthy unhealthy "
        "legal illegal dangerous harmful true false correct incorrect wrong untrue push pushes "
        "pull pulls encrypt decrypt encode decode compress decompress lock unlock "
        # persons
        "i me my mine myself you your yours yourself u he him his himself she her hers herself "
        "we us our ours they them their theirs "
        # times, units and numbers
        "yesterday today now tonight tomorrow january february march april june july august "
        "september october november december jan feb mar apr jun jul aug sep sept oct nov dec "
        "monday tuesday wednesday thursday friday saturday sunday weekday weekdays weekend "
        "weekends morning noon afternoon evening night midnight am pm utc gmt bc ad spring "
        "summer autumn winter left right north south east west northern southern eastern "
        "western second seconds minute minutes hour hours day days week weeks month months year "
        "years decade decades century centuries daily weekly monthly yearly annual annually "
        "hourly mm cm m km metre metres meter meters kilometre kilometres kilometer kilometers "
        "mile miles inch inches foot feet yard yards mg g kg gram grams kilogram kilograms "
        "ounce ounces pound pounds ton tons tonne tonnes stone litre litres liter liters ml "
        "gallon gallons pint pints cup cups celsius fahrenheit kelvin degree degrees radian "
        "radians percent percentage byte bytes bit bits kb mb gb tb kib mib gib ms ns hz khz "
        "mhz ghz volt volts watt watts amp amps dollar dollars euro euros usd eur gbp yen rupee "
        "rupees yuan cent cents pence zero one two three four five six seven eight nine ten "
        "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty "
        "thirty forty fifty sixty seventy eighty ninety hundred thousand million billion "
        "trillion dozen half third quarter once twice thrice double triple single pair"
    )
)
"""Words that change what is asked: two questions have the same, equally often."""

_SAME_SETS: Final = (
    "large big",
    "larger bigger",
    "largest biggest",
    "fast quick",
    "faster quicker",
    "fastest quickest",
    "buy purchase",
    "bought purchased",
    "start begin",
    "starts begins",
    "started began",
    "until till",
    "versus vs",
    "who whom",
    "fix repair",
    "photo photograph",
    "film movie",
    "car automobile",
    "doctor physician",
    "explain describe",
    "email e-mail",
    "phone telephone",
)

SAME: Final[Mapping[str, str]] = {
    word: words.split()[0] for words in _SAME_SETS for word in words.split()
}
"""Words that mean the same in a question, each as the first of its set."""
