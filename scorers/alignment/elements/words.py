"""Forms of English words, by rules: the singular of a noun, the -ing of a verb, the verb of a form."""

from __future__ import annotations

from curate.scorers.alignment.elements.lexicon import DOUBLED, MASS, NOUNS_IN_ING, PLURALS, SINGULARS, VERBS

__all__ = ["article", "gerund", "is_plural", "kept_verb", "singular"]

_SINGULAR_IN_S = ("ss", "us", "is", "'s")


def is_plural(noun: str) -> bool:
    """Whether a noun is more than one, by its form."""
    if noun in PLURALS:
        return True
    return (
        len(noun) > 3 and noun.endswith("s") and not noun.endswith(_SINGULAR_IN_S) and noun not in SINGULARS
    )


def singular(noun: str) -> str:
    """The singular of a noun, the noun itself where it is one."""
    if noun in PLURALS or not is_plural(noun):
        return PLURALS.get(noun, noun)
    if noun.endswith("ies") and len(noun) > 4:
        return noun[:-3] + "y"
    if noun.endswith(("ches", "shes", "sses", "xes", "oes")):
        return noun[:-2]
    return noun[:-1]


def gerund(verb: str) -> str:
    """walk: walking; ride: riding; sit: sitting; lie: lying."""
    if verb in DOUBLED:
        return f"{verb}{verb[-1]}ing"
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    return (verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb) + "ing"


def kept_verb(word: str, after_noun: bool, plural: bool) -> str | None:
    """The -ing form of what a word says is done; None where the word is no verb here.

    `after_noun` says that a noun stands right before it, `plural` that this is a plural: "dogs run", "a run".
    """
    if word.endswith("ing") and len(word) > 4 and word not in NOUNS_IN_ING:
        return word
    if not after_noun:
        return None
    if word in VERBS:
        return gerund(word) if plural else None
    for end, replacement in (("ies", "y"), ("es", ""), ("s", "")):
        if word.endswith(end) and word[: -len(end)] + replacement in VERBS:
            return None if plural else gerund(word[: -len(end)] + replacement)
    return None


def article(noun: str) -> str:
    """`a `, `an `, or nothing before what cannot be counted or is more than one."""
    last = noun.rpartition(" ")[2]
    if last in MASS or is_plural(last):
        return ""
    return "an " if noun[:1] in "aeiou" else "a "
