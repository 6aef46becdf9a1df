"""Signals that find a slow listener, and listeners that come and go."""

from __future__ import annotations

import trio

from rediq_trio.store.broadcast import UNREAD_SIGNALS_MAX, Broadcast, Signal, SignalKind


def drain(signals: trio.MemoryReceiveChannel[Signal]) -> list[Signal]:
    found = []
    while True:
        try:
            found.append(signals.receive_nowait())
        except trio.WouldBlock:
            return found


def test_what_does_not_fit_becomes_one_resync() -> None:
    broadcast = Broadcast()
    wakes = [Signal("q", SignalKind.WAKE)] * UNREAD_SIGNALS_MAX
    with broadcast.listen([("q", "")], subscribed=()) as signals:
        for _ in range(UNREAD_SIGNALS_MAX + 500):
            broadcast.publish(Signal("q", SignalKind.WAKE))
        assert drain(signals) == [*wakes, Signal("q", SignalKind.RESYNC)]
        broadcast.publish(Signal("q", SignalKind.WAKE))
        assert drain(signals) == [Signal("q", SignalKind.WAKE)]


def test_what_does_not_fit_becomes_a_resync_of_each_queue_that_is_listened_to() -> None:
    broadcast = Broadcast()
    with broadcast.listen([("p", ""), ("q", ""), ("q", "t")], subscribed=()) as signals:
        for _ in range(UNREAD_SIGNALS_MAX + 1):
            broadcast.publish(Signal("p", SignalKind.WAKE))
        broadcast.publish(Signal("q", SignalKind.CANCEL, "t"))
        resyncs = [Signal(queue, SignalKind.RESYNC) for queue in ("p", "q")]
        assert drain(signals)[UNREAD_SIGNALS_MAX:] == resyncs


def test_every_lost_signal_has_a_resync_behind_it_however_slowly_they_are_read() -> None:
    broadcast = Broadcast()
    with broadcast.listen([("p", ""), ("q", "")], subscribed=()) as signals:
        lost_at_most = UNREAD_SIGNALS_MAX + 100
        for n in range(lost_at_most):
            broadcast.publish(Signal("p", SignalKind.WAKE))
            if n > UNREAD_SIGNALS_MAX and n % 3 == 0:
                signals.receive_nowait()
        broadcast.publish(Signal("q", SignalKind.FLUSH))
        rest = drain(signals)
        assert Signal("q", SignalKind.FLUSH) in rest or Signal("q", SignalKind.RESYNC) in rest


def test_more_queues_than_the_backlog_are_all_resynced() -> None:
    broadcast = Broadcast()
    queues = [f"q{n:04}" for n in range(UNREAD_SIGNALS_MAX + 10)]
    with broadcast.listen([(queue, "") for queue in queues], subscribed=()) as signals:
        for _ in range(len(queues) + 1):
            broadcast.publish(Signal(queues[0], SignalKind.WAKE))
        resynced = [signal.queue for signal in drain(signals) if signal.kind is SignalKind.RESYNC]
        assert resynced == queues


def test_a_slow_listener_costs_the_others_nothing() -> None:
    broadcast = Broadcast()
    with broadcast.listen([("q", "")], subscribed=()):
        for _ in range(UNREAD_SIGNALS_MAX + 1):
            broadcast.publish(Signal("q", SignalKind.WAKE))
        with broadcast.listen([("q", "")], subscribed=()) as quick:
            broadcast.publish(Signal("q", SignalKind.WAKE))
            assert drain(quick) == [Signal("q", SignalKind.WAKE)]


def test_only_queues_that_are_heard_begin_with_a_resync() -> None:
    broadcast = Broadcast()
    topics = [("p", ""), ("q", ""), ("q", "t")]
    with broadcast.listen(topics, subscribed={"q"}) as signals:
        assert drain(signals) == [Signal("q", SignalKind.RESYNC)]
        broadcast.publish(Signal("p", SignalKind.RESYNC))
        assert drain(signals) == [Signal("p", SignalKind.RESYNC)]


def test_a_resync_of_a_queue_comes_once_to_who_listens_to_many_of_its_topics() -> None:
    broadcast = Broadcast()
    with broadcast.listen([("q", ""), ("q", "t"), ("q", "u")], subscribed=()) as signals:
        broadcast.publish(Signal("q", SignalKind.RESYNC))
        assert drain(signals) == [Signal("q", SignalKind.RESYNC)]


def test_each_kind_goes_to_its_topic() -> None:
    broadcast = Broadcast()
    own = [Signal("q", SignalKind.DONE, "t"), Signal("q", SignalKind.PROGRESS, "t")]
    general = [
        Signal("q", SignalKind.WAKE),
        Signal("q", SignalKind.CANCEL, "t"),
        Signal("q", SignalKind.FLUSH),
    ]
    others = [
        Signal("q", SignalKind.DONE, "u"),
        Signal("p", SignalKind.WAKE),
        Signal("p", SignalKind.DONE, "t"),
    ]
    with (
        broadcast.listen([("q", "t")], subscribed=()) as task,
        broadcast.listen([("q", "")], subscribed=()) as queue,
    ):
        for signal in (*own, *general, *others):
            broadcast.publish(signal)
        assert drain(task) == own
        assert drain(queue) == general


def test_a_listener_that_left_is_forgotten() -> None:
    broadcast = Broadcast()
    topics = [("q", ""), ("q", "")]
    with broadcast.listen(topics, subscribed=()):
        pass
    broadcast.publish(Signal("q", SignalKind.WAKE))
    with broadcast.listen(topics, subscribed=()) as signals:
        assert drain(signals) == []
