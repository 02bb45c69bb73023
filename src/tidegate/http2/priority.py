"""Extensible priorities (RFC 9218): what a client asks for, and which stream goes next."""

import re

from tidegate.http.stream import Stream

DEFAULT_URGENCY = 3
# Octets of a value that is read; by HPACK it costs its sender next to nothing, and us time for each member.
MAX_VALUE = 256
_URGENCIES = 8

# `incremental` where the client said nothing of this stream's priority.
UNSIGNALLED = -1

# A Dictionary of Structured Fields (RFC 9651 §3.2, §4.2.2). Possessive throughout: no octet is looked at twice.
_KEY = rb"[a-z*][a-z0-9_.*-]*+"
_BARE_ITEM = (
    rb"(?:-?[0-9]{1,12}+\.[0-9]{1,3}+|-?[0-9]{1,15}+"
    rb'|"(?:[ !#-\[\]-~]|\\["\\])*+"'
    rb"|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*+"
    rb"|:[A-Za-z0-9+/=]*+:"
    rb"|\?[01]"
    rb"|@-?[0-9]{1,15}+"
    rb'|%"(?:[ !#$&-~]|%[0-9a-f]{2})*+")'
)
_PARAMETERS = rb"(?:;[ ]*+%b(?:=%b)?+)*+" % (_KEY, _BARE_ITEM)
_ITEM = _BARE_ITEM + _PARAMETERS
_INNER_LIST = rb"\([ ]*+(?:%b(?:[ ]++|(?=\))))*+\)" % _ITEM
_VALUE = rb"=(?:(?P<item>%b)|(?P<list>%b))" % (_BARE_ITEM, _INNER_LIST)
_MEMBER = re.compile(rb"(?P<key>%b)(?:%b)?+%b" % (_KEY, _VALUE, _PARAMETERS))
_COMMA = re.compile(rb"[ \t]*+,[ \t]*+")
_INTEGER = re.compile(rb"-?[0-9]+")

# What browsers send, read without parsing.
_COMMON = {
    b"u=%d%b" % (urgency, tail): (urgency, incremental)
    for urgency in range(_URGENCIES)
    for tail, incremental in ((b"", 0), (b", i", 1), (b",i", 1), (b", i=?0", 0))
}
_COMMON[b"i"] = (DEFAULT_URGENCY, 1)


def parse_priority(value: bytes) -> tuple[int, int]:
    """The urgency, 0 to 7, and whether incremental, 0 or 1, of a Priority field or a PRIORITY_UPDATE frame.

    Parameters that are unknown, out of range or of another type count as absent; what is no Dictionary (RFC 9218 §4),
    or has more than MAX_VALUE octets, as empty. The absent ones have their defaults, 3 and 0; but where both are
    absent, the second is UNSIGNALLED.
    """
    common = _COMMON.get(value)
    if common is not None:
        return common
    if len(value) > MAX_VALUE:
        return DEFAULT_URGENCY, UNSIGNALLED
    value = value.strip(b" ")
    urgency = incremental = UNSIGNALLED
    i = 0
    while i < len(value):
        member = _MEMBER.match(value, i)
        if member is None:
            return DEFAULT_URGENCY, UNSIGNALLED
        key, item, inner_list = member.group("key", "item", "list")
        # The last one of a key counts, be it usable or not (RFC 9651 §4.2.2).
        if key == b"u":
            number = int(item) if item and _INTEGER.fullmatch(item) else UNSIGNALLED
            urgency = number if 0 <= number < _URGENCIES else UNSIGNALLED
        elif key == b"i":
            if item == b"?1" or (item is None and inner_list is None):
                incremental = 1
            else:
                incremental = 0 if item == b"?0" else UNSIGNALLED
        i = member.end()
        if i < len(value):
            comma = _COMMA.match(value, i)
            if comma is None or comma.end() == len(value):
                return DEFAULT_URGENCY, UNSIGNALLED
            i = comma.end()
    if urgency == UNSIGNALLED:
        return DEFAULT_URGENCY, incremental
    return urgency, max(incremental, 0)


class ScheduledStream(Stream):
    """A stream that a Scheduler can hold. `urgency` and `incremental` are as `parse_priority` gives them; while
    it is scheduled, Scheduler.reprioritise changes them."""

    __slots__ = ("_next", "_previous", "incremental", "scheduled", "stream_id", "urgency")

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
        self.urgency = DEFAULT_URGENCY
        self.incremental = UNSIGNALLED
        self.scheduled = False  # whether a Scheduler holds it
        self._next: ScheduledStream | None = None
        self._previous: ScheduledStream | None = None


class Scheduler:
    """The streams that have something to send, in the order of RFC 9218 §10.

    The lowest urgency goes first. Within one, streams that were signalled as not incremental go one after the
    other, by stream id; all others take turns, among them those of clients (proxies) that signal nothing, whose
    streams belong to different people. Where there are both kinds, each gets every other turn.

    `add` of a stream that is not incremental walks over those of its urgency with a higher id; everything else
    takes constant time.
    """

    __slots__ = ("_one_by_one", "_taking_turns", "_turn")

    def __init__(self) -> None:
        # By urgency, the first stream of a circular list.
        self._one_by_one: list[ScheduledStream | None] = [None] * _URGENCIES
        self._taking_turns: list[ScheduledStream | None] = [None] * _URGENCIES
        self._turn = False  # whether it is that of _taking_turns

    def add(self, stream: ScheduledStream) -> None:
        """Schedule `stream`; nothing happens if it is."""
        if stream.scheduled:
            return
        urgency = stream.urgency
        if stream.incremental != 0:
            first = self._taking_turns[urgency]
            if first is None:
                self._taking_turns[urgency] = stream
            behind = first
        else:
            first = self._one_by_one[urgency]
            if first is None or stream.stream_id < first.stream_id:
                self._one_by_one[urgency] = stream
                behind = first
            else:
                behind = first
                before = first._previous
                while before.stream_id > stream.stream_id:  # type: ignore[union-attr]
                    behind = before
                    before = before._previous  # type: ignore[union-attr]
        stream.scheduled = True
        if behind is None:
            stream._next = stream._previous = stream
        else:
            before = behind._previous
            stream._previous = before
            stream._next = behind
            before._next = stream  # type: ignore[union-attr]
            behind._previous = stream

    def remove(self, stream: ScheduledStream) -> None:
        """Forget `stream`; nothing happens if it is not scheduled."""
        if not stream.scheduled:
            return
        following = stream._next
        lists = self._taking_turns if stream.incremental != 0 else self._one_by_one
        if following is stream:
            lists[stream.urgency] = None
        else:
            previous = stream._previous
            previous._next = following  # type: ignore[union-attr]
            following._previous = previous  # type: ignore[union-attr]
            if lists[stream.urgency] is stream:
                lists[stream.urgency] = following
        stream._next = stream._previous = None
        stream.scheduled = False

    def reprioritise(self, stream: ScheduledStream, urgency: int, incremental: int) -> None:
        """Give `stream`, scheduled or not, another priority."""
        scheduled = stream.scheduled
        self.remove(stream)
        stream.urgency = urgency
        stream.incremental = incremental
        if scheduled:
            self.add(stream)

    def next(self) -> ScheduledStream | None:
        """The stream whose turn it is to send, None where none is scheduled. It stays scheduled."""
        urgency = 0
        while urgency < _URGENCIES:
            stream = self._taking_turns[urgency]
            first = self._one_by_one[urgency]
            if first is not None and (stream is None or not self._turn):
                self._turn = True
                return first
            if stream is not None:
                self._turn = False
                self._taking_turns[urgency] = stream._next
                return stream
            urgency += 1
        return None
