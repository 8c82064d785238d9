"""A state in words: the running headline, the closing facts, and numbers a person can read."""

from __future__ import annotations

from dicomover.outcome import Status
from dicomover.progress.labels import Label
from dicomover.progress.state import Rate, Reason, State
from dicomover.text.sentences import count_of

__all__ = [
    "brief",
    "closing",
    "duration",
    "facts",
    "heading",
    "headline",
    "new_notes",
    "reasons",
    "rows",
    "size",
    "speed",
    "unlisted",
    "verdicts",
    "waiting",
]


def duration(seconds: float) -> str:
    """Return a length of time in words.

    Examples
    --------
    >>> duration(3.4), duration(200), duration(7320)
    ('3 s', '3 min 20 s', '2 h 02 min')
    """
    whole = round(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def size(count: float) -> str:
    """Return a number of bytes with its unit, in powers of 1000.

    Examples
    --------
    >>> size(512), size(52_431_000), size(999_999)
    ('512 B', '52.4 MB', '1.0 MB')
    """
    if count < 999.5:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:,.1f} TB"


def speed(rate: Rate) -> str:
    """Return a rate in words; empty if it is unknown.

    Examples
    --------
    >>> speed(Rate(45.3, 23_400_000.0)), speed(Rate(0.25)), speed(Rate())
    ('45/s, 23.4 MB/s', '15/min', '')
    """
    words = []
    if rate.instances is not None:
        if rate.instances >= 9.95:
            words.append(f"{rate.instances:,.0f}/s")
        elif rate.instances >= 1 or not rate.instances:
            words.append(f"{rate.instances:.1f}/s" if rate.instances else "0/s")
        else:
            words.append(f"{rate.instances * 60:.2g}/min")
    if rate.bytes is not None:
        words.append(f"{size(rate.bytes)}/s")
    return ", ".join(words)


def headline(state: State, now: float) -> str:
    """Return the running batch in one line: requests, instances, failed, warnings, rate, time left, as far as known."""
    if state.started_at is None:
        return "starting"
    done = f"{state.done:,} of {count_of(state.requests, 'request')}"
    parts = [f"{done}, {state.incomplete:,} not complete" if state.incomplete else done]
    stalled = state.stalled_for(now)
    if stalled is not None:
        parts.append(f"nothing has moved for {duration(stalled)}")
    if state.is_paused(now):
        parts.append(waiting(state, now))
    parts.append(_instances(state))
    if state.ended_at is not None:
        parts.append(f"in {duration(state.elapsed(now))}")
    elif stalled is None and not state.is_paused(now):
        parts.append(speed(state.rate(now)))
        parts.append(_left(state, now))
    return " · ".join(part for part in parts if part)


def brief(state: State, now: float, room: int = 1000) -> str:
    """Return the running batch in few words for one line of a terminal: the least comes last, if there is room for it.

    Examples
    --------
    >>> brief(State(started_at=0.0, requests=20, counts={Status.PARTIAL: 2}, completed=1230, failed=3), now=9.0)
    '2/20 requests · 2 not complete · 1,230 moved · 3 failed'
    """
    if state.started_at is None:
        return "starting"
    stalled, rate = state.stalled_for(now), state.rate(now).instances
    parts = [f"{state.done:,}/{count_of(state.requests, 'request')}"]
    if stalled is not None:
        parts.append(f"nothing has moved for {duration(stalled)}")
    if state.is_paused(now):
        parts.append(waiting(state, now))
    elif left := _left(state, now):
        parts.append(left)
    if state.incomplete:
        parts.append(f"{state.incomplete:,} not complete")
    if state.instances is not None:
        parts.append(f"{state.instances:,} {'moved' if state.received is None else 'received'}")
    if state.failed:
        parts.append(f"{state.failed:,} failed")
    if state.warnings:
        parts.append(f"{state.warnings:,} with a warning")
    if stalled is None and rate is not None and not state.is_paused(now):
        parts.append(speed(Rate(rate)))
    while len(parts) > 1 and len(" · ".join(parts)) > room:
        parts.pop()
    return " · ".join(parts)


def waiting(state: State, now: float) -> str:
    """Return what the batch waits for because it was told to; empty if nothing.

    Examples
    --------
    >>> waiting(State(pause="waiting for the window, resumes 19:00", paused_until=500.0), now=100.0)
    'waiting for the window, resumes 19:00'
    """
    if state.ended_at is not None:
        return ""
    if state.paused_until is not None and now < state.paused_until:
        return state.pause
    count, again = state.deferred.attempts, state.deferred.next_attempt
    if again is None:
        return ""
    left = again - now
    when = f" in {duration(left)}" if left >= 1 else ""
    if count == 1:
        return f"1 request is tried again{when}"
    return f"{count:,} requests are tried again{when and f', the next{when}'}"


def rows(count: int, first: tuple[int, ...], label: Label) -> str:
    """Name so many rows by the labels of the first of them.

    Examples
    --------
    >>> rows(1, (7,), str), rows(3, (1, 2, 5), str), rows(412, (1, 2, 5), str)
    ('row 7', 'rows 1, 2, 5', 'rows 1, 2, 5 and 409 more')
    """
    names = ", ".join(label(position) for position in sorted(first))
    more = f" and {count - len(first):,} more" if count > len(first) else ""
    return f"row{'s' if count > 1 else ''} {names}{more}"


def reasons(state: State) -> tuple[Reason, ...]:
    """Return why requests ended without everything they asked for, in the order in which that came up."""
    return tuple(state.reasons.values())


def unlisted(state: State) -> str:
    """Return how many requests ended so for further reasons, and what shows each row; empty if all are named.

    Examples
    --------
    >>> unlisted(State(unlisted=9950))
    'and 9,950 more rows for other reasons'
    >>> unlisted(State(unlisted=9950, ended_at=2.0))
    'and 9,950 more rows for other reasons; dicomover.short(summary) shows each row'
    """
    more = f"and {state.unlisted:,} more row{'s' * (state.unlisted > 1)} for other reasons" if state.unlisted else ""
    shared = any(reason.count > 1 for reason in state.reasons.values())
    each = "dicomover.short(summary) shows each row" if (more or shared) and state.ended_at is not None else ""
    return "; ".join(filter(None, (more, each)))


def verdicts(state: State) -> str:
    """Return how many requests got which verdict, the best first.

    Examples
    --------
    >>> verdicts(State(counts={Status.PARTIAL: 2, Status.SUCCESS: 1700}))
    '1,700 success, 2 partial'
    """
    return ", ".join(f"{state.counts[status]:,} {status}" for status in Status if state.counts.get(status))


def heading(state: State) -> str:
    """Return what came of the batch when it is over, in a few words."""
    if state.done < state.requests:
        words = f"stopped after {state.done:,} of {count_of(state.requests, 'request')}"
        return f"{words}, {state.incomplete:,} of them not complete" if state.incomplete else words
    if not state.requests:
        return "no requests"
    if state.incomplete:
        return f"{count_of(state.requests, 'request')}, {state.incomplete:,} not complete"
    return f"{count_of(state.requests, 'request')}, {'all ' if state.requests > 1 else ''}complete"


def facts(state: State, now: float) -> tuple[tuple[str, str], ...]:
    """Return what is to be kept of a batch, as pairs of a label and a text; what is unknown is left out."""
    counted = [(state.completed, "completed"), (state.warnings, "with a warning"), (state.failed, "failed")]
    said = ", ".join(f"{count:,} {word}" for count, word in counted if count is not None)
    mean, note = speed(state.mean_rate(now)), state.notes[-1] if state.notes else ""
    rows = [
        ("Requests", verdicts(state)),
        ("PACS counted", said),
        ("Received", "" if state.received is None else f"{count_of(state.received, 'instance')}, {size(state.bytes)}"),
        ("Expected", _expected(state)),
        ("Skipped", _skipped(state)),
        ("Time", ", ".join(word for word in (duration(state.elapsed(now)), mean) if word)),
        ("Last note", f"while it ran: “{note}”" if note and note != state.pause else ""),
    ]
    return tuple((label, text) for label, text in rows if text)


def closing(state: State, now: float, label: Label = str) -> str:
    """Return what is to be kept of a batch as plain text: one fact a line, then the rows that are not complete.

    Examples
    --------
    >>> from dicomover.events import BatchEnded, BatchStarted, RequestEnded
    >>> from dicomover.progress.folding import fold
    >>> state = fold(State(), BatchStarted(at=0.0, requests=1))
    >>> state = fold(state, RequestEnded(2.0, 0, Status.NOT_FOUND, "C-FIND has no match at level STUDY"))
    >>> print(closing(fold(state, BatchEnded(at=2.0)), now=9.0))
    dicomover: 1 request, 1 not complete
      Requests  1 not-found
      Time      2 s
    Not complete:
      row 0  not-found  C-FIND has no match at level STUDY
    """
    pairs = facts(state, now)
    width = max((len(name) for name, _ in pairs), default=0)
    lines = [f"dicomover: {heading(state)}", *(f"  {name:<{width}}  {text}" for name, text in pairs)]
    if state.reasons:
        lines.append("Not complete:")
        named = [(rows(reason.count, reason.requests, label), reason) for reason in reasons(state)]
        width, figures = min(40, max(len(name) for name, _ in named)), max(len(reason.moved) for _, reason in named)
        for name, reason in named:
            words = (f"{name:<{width}}", f"{reason.status:<9}", f"{reason.moved:<{figures}}", reason.error)
            lines.append(f"  {'  '.join(filter(None, words))}".rstrip())
        if more := unlisted(state):
            lines.append(f"  {more}")
    return "\n".join(lines)


def new_notes(state: State, seen: int) -> tuple[str, ...]:
    """Return the notes that came after the first `seen` ones, as far as they are kept."""
    fresh = state.noted - seen
    return state.notes[-fresh:] if fresh > 0 else ()


def _left(state: State, now: float) -> str:
    """Return the time left; empty where nothing tells, or where it is less than a word is worth."""
    seconds = state.seconds_left(now)
    return "" if seconds is None or seconds < 1 else f"{duration(seconds)} left"


def _expected(state: State) -> str:
    if state.expected_total is not None:
        return count_of(state.expected_total, "instance")
    if state.expected and state.unasked and not state.unpromised:
        return f"{count_of(state.expected, 'instance')} in what was asked for; some requests were never sent"
    return ""


def _skipped(state: State) -> str:
    count = state.counts.get(Status.SKIPPED, 0)
    if not count:
        return ""
    words = f"{count_of(count, 'request')}, complete by an earlier run"
    return words if state.instances is None else f"{words} and in none of these counts"


def _instances(state: State) -> str:
    if state.instances is None and not state.failed:
        return ""
    known, total = state.instances or 0, state.expected_total
    words = f"{known:,} of {count_of(total, 'instance')}" if total is not None else count_of(known, "instance")
    words += " received" if state.received is not None else " moved"
    if state.warnings:
        words += f" ({state.warnings:,} with a warning)"
    return f"{words}, {state.failed:,} failed" if state.failed else words
