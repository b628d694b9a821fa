"""One step of the reference clock in words: what the event was, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from scratchbird_check.traces import hlc_words as words
from scratchbird_check.traces.model import Kind
from scratchbird_reference.hlc import (
    Config,
    Confirm,
    Confirmed,
    Crash,
    Deferred,
    Effects,
    Event,
    Issued,
    Merged,
    Observe,
    Persist,
    Persisted,
    Reason,
    Refused,
    Reserve,
    Retire,
    Stamp,
    Stamped,
    Start,
    State,
    Stop,
    Tick,
)
from scratchbird_reference.uuid8 import Timestamp


@dataclass(frozen=True, slots=True)
class Told:
    label: str
    mark: str = ""
    kind: Kind = "step"


_WANTED: dict[type[Event], str] = {
    Tick: "its tick",
    Stamp: "its message",
    Reserve: "its reservation",
    Confirm: "its confirmation",
    Stop: "its stop",
}


def tell(config: Config, event: Event, before: State, after: State, effects: Effects) -> Told:
    """The label, the mark beside the dot, and how the dot is drawn."""
    match event:
        case Crash():
            ended = before.volatile is not None and before.volatile.stopping
            return Told("ends" if ended else "crashes", kind="crash")
        case Start():
            last = after.volatile.last if after.volatile else after.durable.bound
            return Told(words.starts(last, event.wall), words.show(last), "start")
        case Persisted():
            return Told(words.has_bound(after.durable.bound))
        case Retire():
            return Told(f"gives up node id {before.durable.node_id} for {event.new_node_id}")
    bound = next((effect.bound for effect in effects if isinstance(effect, Persist)), None)
    for effect in effects:
        match effect:
            case Issued(id=version):
                return Told(words.issues(version.timestamp), words.show(version.timestamp))
            case Merged(last=last) if isinstance(event, Observe):
                label = words.merges(event.remote, f"n{event.sender}", last)
                return Told(label, words.show(last), "message")
            case Stamped(clock=clock):
                return Told(words.sends(clock), words.show(clock), "message")
            case Confirmed():
                return Told("has its wall clock confirmed")
            case Deferred():
                return Told(_deferred(event, effect, bound))
            case Refused():
                return _refused(config, event, effect)
    if bound is not None:
        return Told(words.asks_for_bound(bound))
    return Told("needs no further bound" if isinstance(event, Reserve) else type(event).__name__.lower())


def _deferred(event: Event, effect: Deferred, bound: Timestamp | None) -> str:
    whose = f"n{event.sender}'s" if isinstance(event, Observe) else f"{_WANTED[type(event)]} of"
    waiting = f"{whose} {words.show(effect.needs)}"
    return words.lets_wait(waiting) if bound is None else words.asks_for_bound(bound, waiting)


def _refused(config: Config, event: Event, effect: Refused) -> Told:
    allowed = config.max_ahead_ms
    match effect.reason, event:
        case Reason.DRIFT, Observe(remote=remote, sender=sender):
            past = (effect.retry_after_ms or 0) + config.max_drift_ms
            label = words.refuses_remote(remote, f"n{sender}", past)
        case Reason.EARLY, Observe(remote=remote, sender=sender):
            return Told(words.waits_for_time(remote, f"n{sender}", effect.retry_after_ms or 0))
        case Reason.AHEAD, Stamp():
            label = words.refuses_to_send((effect.retry_after_ms or 0) + allowed, allowed)
        case Reason.AHEAD, _:
            what = "a reservation" if isinstance(event, Reserve) else "a tick"
            label = words.refuses_ahead(what, (effect.retry_after_ms or 0) + allowed, allowed)
        case Reason.SUSPENDED, _:
            label = words.refuses_suspended(_WANTED.get(type(event), "a message"))
        case Reason.STOPPING, _:
            label = "refuses: it is stopping"
        case Reason.EXHAUSTED, _:
            label = "refuses a tick: the 48-bit milliseconds are used up"
        case _:
            label = "is not confirmed: too few peers agree with its wall clock"
    return Told(label, "refused", "refused")
