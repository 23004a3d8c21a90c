"""Tables of English words for telling questions apart (questions.py). Data, no decisions.

A word that is in none of them is a content word, and content words decide on their own: so a word
missing here makes the guard stricter in nearly all cases, never looser, except in `SOFT`, `LIGHT`
and `SAME`, whose entries each say that something does not matter.
"""

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["EXPANSIONS", "HARD", "LIGHT", "OPENINGS", "SAME", "SOFT"]


def _words(text: str) -> list[str]:
    return text.split()


OPENINGS: Final = re.compile(
    r"^(?:(?:hi|hello|hey|please|ok|okay|so|well|thanks|kindly|quick question|question)\b[\s,.:!-]*"
    r"|(?:can|could|would|will) (?:you|u)(?: please)? (?=tell|explain|show|give|help|say|please)"
    r"|(?:please )?(?:tell|show|give) (?:me|us)\b(?: please)?,?\s*"
    r"|i (?:want|need|would like|'d like) to (?:know|understand)\b,?\s*"
    r"|(?:do you know|i wonder|i am wondering|i'm wondering|any idea)\b,?\s*"
    r"|(?:help me (?:to )?understand)\b,?\s*)+",
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
)
"""Forms that are the same, made one form."""

SOFT: Final = frozenset(
    _words(
        "a an the is are am be been being do does to of in on at for with it its this that these "
        "those there here what which have has having as also very about s"
    )
)
"""Words that carry no meaning of their own: they may be there or not."""

LIGHT: Final = frozenset(
    _words(
        "please kindly thanks exactly just really actually basically simply currently presently "
        "again maybe perhaps question answer"
    )
)
"""Content that does not change what is asked."""

_CLASSES: Final[Mapping[str, str]] = {
    "not": "not no cannot nor",
    "never": "never",
    "none": "none nobody nothing nowhere neither",
    "without": "without except excluding besides minus unless lacking free",
    "who": "who whom",
    "whose": "whose",
    "where": "where",
    "when": "when",
    "why": "why",
    "how": "how",
    "many": "many",
    "much": "much",
    "past": "was were did had used",
    "future": "will shall going gonna",
    "can": "can could able",
    "should": "should ought",
    "must": "must mandatory required obligatory",
    "may": "may might optional optionally",
    "would": "would",
    "if": "if whether",
    "all": "all every each always entire whole",
    "some": "some sometimes several",
    "any": "any",
    "most": "most mostly mainly usually often",
    "few": "few rarely seldom hardly barely",
    "only": "only solely",
    "both": "both",
    "either": "either or",
    "and": "and plus",
    "but": "but",
    "than": "than versus vs",
    "first": "first earliest",
    "last": "last latest newest",
    "next": "next upcoming following",
    "previous": "previous former prior",
    "best": "best",
    "worst": "worst",
    "up": "up increase increases increased increasing raise raises raised rise rises rising higher "
    "highest high more gain gains grow grows",
    "down": "down decrease decreases decreased decreasing lower lowers lowest low lowering reduce "
    "reduces reduced reducing less fewer least drop drops fall falls falling loss shrink",
    "large": "large larger largest big bigger biggest maximum max greater greatest longest longer "
    "tallest taller",
    "small": "small smaller smallest minimum min tiny shortest shorter",
    "fast": "fast faster fastest quick quickest quicker",
    "slow": "slow slower slowest slowly",
    "cheap": "cheap cheaper cheapest",
    "dear": "expensive costly priciest dearest",
    "hot": "hot warm hotter warmer heat heating",
    "cold": "cold cool colder cooler chill cooling",
    "over": "over above exceeds exceeding beyond",
    "under": "under below beneath",
    "before": "before ago until till",
    "after": "after since later afterwards",
    "early": "early earlier",
    "from": "from",
    "by": "by",
    "into": "into",
    "out": "out",
    "off": "off",
    "against": "against anti",
    "between": "between",
    "during": "during while",
    "enable": "enable enables enabled enabling activate allow allows allowed permit",
    "disable": "disable disables disabled disabling deactivate forbid forbids forbidden ban deny "
    "block prohibit prohibited",
    "start": "start starts begin begins started launch open opens opening",
    "stop": "stop stops end ends ended finish quit close closes closing cancel",
    "add": "add adds include includes including insert install attach",
    "remove": "remove removes delete deletes exclude excludes uninstall detach",
    "accept": "accept accepts approve approves approved agree",
    "reject": "reject rejects refuse refuses rejected disagree decline",
    "buy": "buy buys bought purchase purchased",
    "sell": "sell sells sold",
    "lend": "lend lends lent",
    "borrow": "borrow borrows borrowed",
    "send": "send sends sent export exports upload uploads",
    "receive": "receive receives received import imports download downloads",
    "win": "win wins won",
    "lose": "lose loses lost",
    "love": "love loves like likes",
    "hate": "hate hates dislike dislikes",
    "good": "good advantages advantage benefits benefit pros safe healthy legal",
    "bad": "bad disadvantages disadvantage drawbacks drawback risks risk cons unsafe unhealthy "
    "illegal dangerous harmful",
    "true": "true correct right",
    "false": "false incorrect wrong untrue",
    "push": "push pushes",
    "pull": "pull pulls",
    "encrypt": "encrypt encode compress lock",
    "decrypt": "decrypt decode decompress unlock",
    "i": "i me my mine myself",
    "you": "you your yours yourself u",
    "he": "he him his himself",
    "she": "she her hers herself",
    "we": "we us our ours",
    "they": "they them their theirs",
    "yesterday": "yesterday",
    "today": "today now tonight",
    "tomorrow": "tomorrow",
}

_ALONE: Final = _words(
    "january february march april june july august september october november december "
    "jan feb mar apr jun jul aug sep sept oct nov dec "
    "monday tuesday wednesday thursday friday saturday sunday weekday weekdays weekend weekends "
    "morning noon afternoon evening night midnight am pm utc gmt bc ad "
    "spring summer autumn winter left right north south east west northern southern eastern "
    "western second seconds minute minutes hour hours day days week weeks month months year years "
    "decade decades century centuries daily weekly monthly yearly annual annually hourly "
    "mm cm m km metre metres meter meters kilometre kilometres kilometer kilometers mile miles "
    "inch inches foot feet yard yards mg g kg gram grams kilogram kilograms ounce ounces pound "
    "pounds ton tons tonne tonnes stone litre litres liter liters ml gallon gallons pint pints cup "
    "cups celsius fahrenheit kelvin degree degrees radian radians percent percentage "
    "byte bytes bit bits kb mb gb tb kib mib gib ms ns hz khz mhz ghz volt volts watt watts amp "
    "amps dollar dollars euro euros usd eur gbp yen rupee rupees yuan cent cents pence "
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "hundred thousand million billion trillion dozen half third quarter once twice thrice double "
    "triple single pair"
)
"""Times, units, directions and numbers in words: each stands for itself alone."""

HARD: Final[Mapping[str, str]] = {
    **{word: word for word in _ALONE},
    **{word: name for name, words in _CLASSES.items() for word in words.split()},
    "right": "right",  # a direction, or true: not to be taken for either
}
"""Word -> what it says, for words that change what is asked."""

_SAME_SETS: Final = (
    "reset resetting",
    "fix repair mend",
    "photo photograph picture",
    "film movie",
    "car automobile",
    "author writer",
    "begin commence",
    "doctor physician",
    "explain describe",
    "error bug",
    "email e-mail",
    "make create build",
    "get obtain",
    "phone telephone",
    "shop store",
)

SAME: Final[Mapping[str, str]] = {
    word: words.split()[0] for words in _SAME_SETS for word in words.split()
}
"""Words that mean the same in a question, each as the first of its set."""
