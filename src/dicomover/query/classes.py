"""Which storage SOP Classes a request may bring, by what C-FIND says of it, and in which transfer syntaxes. Pure.

C-GET needs a presentation context for each pair of them, with at most 128 on an association (PS3.8 section 9.3.2.2).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from dicomover.attributes.registry import REGISTERED
from dicomover.dicomfile import DEFLATED, EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, NATIVE

__all__ = [
    "COMMON",
    "MOST_PAIRS",
    "Pair",
    "classes_of",
    "fit_pairs",
    "name_class",
    "pair_up",
    "pass_over_first",
    "sort_pairs",
]

Pair = tuple[str, str]
"""A SOP Class and a transfer syntax."""

MOST_PAIRS = 126
"""On one association; the two that are left are those of C-GET itself, one for each model."""

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_PLAIN = (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)
_SELDOM = (DEFLATED, EXPLICIT_BIG_ENDIAN)
# In the order in which archives have them: where not all fit, the last ones are left out.
_PIXELS = tuple(
    f"1.2.840.10008.1.2.{end}"
    for end in ("4.90", "4.70", "4.50", "4.80", "5", "4.91", "4.51", "4.81", "4.57", "4.201", "4.202", "4.203")
)
_VIDEO = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (102, 103, 100, 101, 104, 105, 106, 107, 108))

_BY_MODALITY = {
    "AR": "78.2",
    "ASMT": "90.1",
    "AU": "9.4.1 9.4.2 88.2",
    "BI": "7 77.1.4",
    "CR": "1 1.1 1.1.1",
    "CT": "2 2.1 2.2 7",
    "DMS": "77.1.7 77.1.4",
    "DOC": "104.1 104.2 7",
    "DX": "1.1 1.1.1 1 7",
    "ECG": "9.1.1 9.1.2 9.1.3 9.1.4 104.1 7",
    "EEG": "9.7.1 9.7.4",
    "EMG": "9.7.2",
    "EOG": "9.7.3",
    "EPS": "9.3.1",
    "ES": "77.1.1 77.1.1.1 7 77.1.4",
    "FID": "66.2",
    "GM": "77.1.2 77.1.2.1 77.1.3",
    "HC": "7",
    "HD": "9.2.1",
    "IO": "1.3 1.3.1 1 7",
    "IOL": "78.8",
    "IVOCT": "14.1 14.2",
    "IVUS": "3.1 6.1 7",
    "KER": "78.3",
    "KO": "88.59",
    "LEN": "78.1",
    "M3D": "104.3 104.4 104.5",
    "MG": "1.2 1.2.1 13.1.3 13.1.4 13.1.5 7 1",
    "MR": "4 4.1 4.2 4.3 4.4 7",
    "NM": "20 7 5",
    "OAM": "78.7",
    "OCT": "14.1 14.2 77.1.5.4",
    "OP": "77.1.5.1 77.1.5.2 77.1.5.5 77.1.5.6 7",
    "OPM": "81.1",
    "OPT": "77.1.5.4 77.1.5.7 77.1.5.8 77.1.5.1 7",
    "OPV": "80.1 104.1",
    "OT": "7 7.1 7.2 7.3 7.4 104.1",
    "PLAN": "481.5 88.70",
    "POS": "9.8.1",
    "PR": "11.1 11.2 11.3 11.4 11.5 11.6 11.7 11.8 11.9",
    "PT": "128 130 128.1 7",
    "PX": "1.1 1.1.1 1 7",
    "REG": "66.1 66.3",
    "RESP": "9.6.1 9.6.2",
    "RF": "12.2 12.2.1 12.1 7",
    "RG": "1 1.1 7",
    "RTDOSE": "481.2",
    "RTIMAGE": "481.1 481.23 481.24",
    "RTPLAN": "481.5 481.8",
    "RTRECORD": "481.4 481.6 481.7 481.9",
    "RTSTRUCT": "481.3",
    "RWV": "67",
    "SC": "7 7.1 7.2 7.3 7.4",
    "SEG": "66.4 66.5",
    "SM": "77.1.6 77.1.2 77.1.3",
    "SMR": "77.1.5.3",
    "SR": "88.11 88.22 88.33 88.34 88.67 88.50 88.65 88.68",
    "SRF": "78.4",
    "TG": "7",
    "US": "6.1 3.1 6.2 7 6 3",
    "VA": "78.5",
    "XA": "12.1 12.1.1 13.1.1 12.2 7",
    "XC": "77.1.4 77.1.4.1 7",
}


def _uids(ends: str) -> tuple[str, ...]:
    return tuple(_STORAGE + end for end in ends.split())


COMMON = _uids("2 4 1 1.1 6.1 7 88.11 88.33 88.59 11.1")
"""What most archives have most of: asked for where C-FIND says nothing at all."""


def classes_of(modalities: Iterable[str]) -> tuple[str, ...] | None:
    """Return the SOP Classes that series of these modalities may have; None if one of them tells nothing.

    Examples
    --------
    >>> classes_of(["RTPLAN", "KO"])
    ('1.2.840.10008.5.1.4.1.1.481.5', '1.2.840.10008.5.1.4.1.1.481.8', '1.2.840.10008.5.1.4.1.1.88.59')
    >>> classes_of(["CT", "HOMEMADE"]), classes_of([])
    (None, None)
    """
    known = [_BY_MODALITY.get(modality.strip().upper()) for modality in modalities]
    if not known or None in known:
        return None
    return tuple(dict.fromkeys(uid for ends in known for uid in _uids(ends or "")))


def pair_up(classes: Iterable[str], accept: Collection[str] = ()) -> tuple[Pair, ...]:
    """Return each class with each transfer syntax in which its instances may come.

    Parameters
    ----------
    classes
        SOP Class UIDs.
    accept
        The transfer syntaxes that are wanted; all that can hold such instances by default.

    Examples
    --------
    >>> [syntax for _, syntax in pair_up(["1.2.840.10008.5.1.4.1.1.88.59"])]
    ['1.2.840.10008.1.2.1', '1.2.840.10008.1.2', '1.2.840.10008.1.2.1.99', '1.2.840.10008.1.2.2']
    """
    return tuple((uid, syntax) for uid in dict.fromkeys(classes) for syntax in accept or _syntaxes_of(uid))


def fit_pairs(classes: Iterable[str], accept: Collection[str] = ()) -> tuple[Pair, ...]:
    """Return as many of these pairs as go into one association, of each class the usual ones first."""
    pairs = pair_up(classes, accept)
    if len(pairs) <= MOST_PAIRS:
        return pairs
    rank: dict[str, int] = {}
    ranked = []
    for pair in pairs:
        rank[pair[0]] = rank.get(pair[0], -1) + 1
        ranked.append((rank[pair[0]], pair))
    kept = {pair for _, pair in sorted(ranked, key=lambda item: item[0])[:MOST_PAIRS]}
    return tuple(pair for pair in pairs if pair in kept)


def sort_pairs(pairs: Iterable[Pair], accept: Sequence[str] = ()) -> list[Pair]:
    """Return pairs by class, and of each in the order in which they are preferred: some archives take the first."""
    rank = {syntax: place for place, syntax in enumerate(accept or (*_PLAIN, *_PIXELS, *_VIDEO, *_SELDOM))}
    return sorted(pairs, key=lambda pair: (pair[0], rank.get(pair[1], len(rank))))


def pass_over_first(pairs: Iterable[Pair], accept: Sequence[str] = ()) -> list[Pair]:
    """Return of the pairs of one class the compressed ones, if the first is not; the others, if it is.

    Some archives use the first one alone that they have accepted, and send nothing that is not in it.

    Examples
    --------
    >>> ct, jpeg, native = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.1"
    >>> pass_over_first([(ct, jpeg), (ct, native)]) == [(ct, jpeg)]
    True
    """
    ranked = sort_pairs(pairs, accept)
    return [pair for pair in ranked if (pair[1] in NATIVE) is not (ranked[0][1] in NATIVE)]


def name_class(uid: str) -> str:
    """Return the name of a SOP Class, or its UID where it has none that is known."""
    return str(REGISTERED[uid][0]) if uid in REGISTERED else uid


def _syntaxes_of(uid: str) -> tuple[str, ...]:
    name = REGISTERED[uid][0] if uid in REGISTERED else "Image"  # a private class may hold anything
    if "Video" in name or "Multi-frame" in name or "Endoscopic" in name:
        return (*_PLAIN, *_PIXELS, *_VIDEO, *_SELDOM)
    if any(word in name for word in ("Image", "Segmentation Storage", "RT Dose", "Parametric Map", "Photography")):
        return (*_PLAIN, *_PIXELS, *_SELDOM)
    return (*_PLAIN, *_SELDOM)
