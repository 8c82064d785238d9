"""One match that an archive tells in the place of others: again and again, or once with the counts of all.

An archive may answer each match twice, or once for each image, and leave nothing out. Whether the repeats stand for
others shows when the one is asked for alone: what it is told by then is its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from pydicom import Dataset

from dicomover.attributes.reading import read_count
from dicomover.errors import QueryRefused
from dicomover.identifier import UNIQUE_KEYS, Level
from dicomover.query.instances import read_unique_key

__all__ = ["hides_others"]

_COUNTS = {
    Level.PATIENT: ("NumberOfPatientRelatedSeries", "NumberOfPatientRelatedInstances"),
    Level.STUDY: ("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"),
}


def hides_others(
    answers: Sequence[Dataset],
    level: Level,
    keys: Mapping[str, str],
    ask: Callable[[Mapping[str, str]], Sequence[Dataset]],
) -> bool:
    """Tell whether an archive told one match where others match too, which costs a C-FIND if the answers hint at it.

    An archive that refuses the question has not shown that these are all. Raises NodeError if it cannot be asked.
    """
    own = level.unique_key
    if not answers or _is_one(keys.get(own, "")):
        return False
    (uid, times), *others = Counter(read_unique_key(answer, level) for answer in answers).most_common()
    summed = _summed(answers[0], level) if times == 1 and not others and level in _COUNTS else 0
    if not uid or (times == 1 and not summed):
        return False
    above = UNIQUE_KEYS[: UNIQUE_KEYS.index(own)]
    try:
        alone = ask({**{key: keys[key] for key in above if _is_one(keys.get(key, ""))}, own: uid})
    except QueryRefused:
        return True
    if times > 1:
        return sum(read_unique_key(answer, level) == uid for answer in alone) < times
    return any((read_count(answer, _COUNTS[level][1]) or summed) < summed for answer in alone)


def _is_one(value: str) -> bool:
    return bool(value) and not set("*?\\") & set(value)


def _summed(answer: Dataset, level: Level) -> int:
    """Return how many images an answer counts if it counts as many series: a sum over all that match looks so."""
    series, images = (read_count(answer, keyword) or 0 for keyword in _COUNTS[level])
    return images if images == series > 1 else 0
