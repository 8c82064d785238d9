"""C-FIND as an SCP (PS3.4 section C.4.1), with the misbehaviour that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from dicomover.testing._elements import encode
from dicomover.testing._exchange import Exchange, Link
from dicomover.testing._script import Script
from dicomover.testing._search import LEVELS, UNIQUE, Refused, check_identifier, names_list, search
from dicomover.wire.messages import Message

_COUNTS = ("NumberOfPatientRelatedInstances", "NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances")


def answer_find(link: Link, message: Message, keys: Mapping[str, str], model: str) -> None:
    """Answer one C-FIND request."""
    pacs = link.pacs
    candidates = pacs._archive.candidates(keys)
    named = keys.get("AccessionNumber", "").split("\\")
    accessions = [*named, *(study.accession_number for study in candidates[:50] if len(candidates) <= 50)]
    script = pacs.misbehave.take(filter(None, accessions), "find").facing(is_list=names_list(keys))
    exchange = Exchange(link, message, script)
    try:
        level = check_identifier(keys, model, strict=pacs.strict)
        if script.refuse:
            raise Refused("refused as asked for", 0x00080050 if script.comment else 0, script.status or 0xC000)
    except Refused as refused:
        extra: dict[str, int | str] = {}
        if refused.offending:
            extra = {"OffendingElement": refused.offending, "ErrorComment": refused.why}
        exchange.answer(refused.status, extra)
        return

    keys = pacs._heed(keys, level)
    if script.ignores_keys:
        found = search(pacs._archive.studies(), pacs._archive.by_patient, level, {})
    else:
        found = search(candidates, pacs._archive.by_patient, level, keys)
    answers: Iterator[dict[str, str]] = (
        _answer(
            item.values,
            keys,
            level,
            pacs.ae_title,
            script,
            pacs.availability.get(item.study.accession_number, "ONLINE"),
        )
        for item in found
    )
    if script.no_match:
        answers = iter(())
    if script.breaks == "fail":
        everything = list(answers)
        answers = iter(everything[: len(everything) // 2])
    over = ""
    if script.most:
        first = list(islice(answers, script.most + 1))
        over = script.over if len(first) > script.most else ""
        answers = iter(() if over == "refuse" else first[: script.most])
    syntax = link.syntax(message.context_id)
    cancelled = _send(exchange, answers, script, syntax)
    if over == "close":
        exchange.break_off(over, script.seconds)
    elif over and not cancelled:
        exchange.answer(script.status or 0)
    elif script.breaks == "fail":
        exchange.answer(script.status or 0xC001)
    else:
        exchange.answer(0xFE00 if cancelled else 0x0000)


def _send(exchange: Exchange, answers: Iterator[dict[str, str]], script: Script, syntax: str) -> bool:
    """Send the answers; tell whether a C-CANCEL ended it."""
    before = script.after if script.breaks not in ("", "fail") else None
    for values in islice(answers, before):
        if exchange.wait(script.seconds) if script.slow else exchange.cancelled():
            return True
        data = encode(values if script.charset is None else _encoded(values, *script.charset), syntax)
        for _ in range(script.each):
            exchange.answer(0xFF00, data=data)
    if before is not None:
        exchange.break_off(script.breaks, script.seconds)
    return exchange.cancelled()


def _encoded(values: Mapping[str, str], label: str, codec: str) -> dict[str, str | bytes]:
    """Encode the texts of an answer in a character set, whatever it says that it is."""
    texts: dict[str, str | bytes] = {
        keyword: value if value.isascii() else value.encode(codec) for keyword, value in values.items()
    }
    return texts | ({"SpecificCharacterSet": label} if label else {})


def _answer(
    values: Mapping[str, str],
    keys: Mapping[str, str],
    level: str,
    ae_title: str,
    script: Script,
    availability: str,
) -> dict[str, str]:
    """Return one answer: the keys that were asked for, those that are not supported empty."""
    unique = UNIQUE[LEVELS.index(level)]
    answer = {keyword: values.get(keyword, "") for keyword in keys if not keyword.startswith("(")}
    answer |= {"QueryRetrieveLevel": level, "RetrieveAETitle": ae_title, unique: values.get(unique, "")}
    answer.pop("SpecificCharacterSet", None)
    answer.pop("TimezoneOffsetFromUTC", None)
    if "InstanceAvailability" in keys:
        answer["InstanceAvailability"] = availability
    if script.omits_keys:
        for keyword, value in keys.items():
            if value and keyword not in ("QueryRetrieveLevel", unique):
                answer.pop(keyword, None)
    if script.omits_counts:
        answer = {keyword: value for keyword, value in answer.items() if not keyword.startswith("NumberOf")}
    if script.counts_off is not None:
        for keyword in _COUNTS:
            if answer.get(keyword):
                answer[keyword] = str(max(int(answer[keyword]) + script.counts_off, 0))
    return answer
