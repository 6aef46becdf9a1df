"""Signals that find a slow listener, and listeners that come and go."""

from __future__ import annotations

import trio

from rediq_trio.store.broadcast import BACKLOG, Broadcast, Kind, Signal


def drain(signals: trio.MemoryReceiveChannel[Signal]) -> list[Signal]:
    found = []
    while True:
        try:
            found.append(signals.receive_nowait())
        except trio.WouldBlock:
            return found


def test_what_does_not_fit_becomes_one_resync() -> None:
    broadcast = Broadcast()
    wakes = [Signal("q", Kind.WAKE)] * BACKLOG
    with broadcast.listen([("q", "")], heard=()) as signals:
        for _ in range(BACKLOG + 500):
            broadcast.publish(Signal("q", Kind.WAKE))
        assert drain(signals) == [*wakes, Signal("q", Kind.RESYNC)]
        broadcast.publish(Signal("q", Kind.WAKE))
        assert drain(signals) == [Signal("q", Kind.WAKE)]


def test_what_does_not_fit_becomes_a_resync_of_each_queue_that_is_listened_to() -> None:
    broadcast = Broadcast()
    with broadcast.listen([("p", ""), ("q", ""), ("q", "t")], heard=()) as signals:
        for _ in range(BACKLOG + 1):
            broadcast.publish(Signal("p", Kind.WAKE))
        broadcast.publish(Signal("q", Kind.CANCEL, "t"))
        assert drain(signals)[BACKLOG:] == [Signal("p", Kind.RESYNC), Signal("q", Kind.RESYNC)]


def test_every_lost_signal_has_a_resync_behind_it_however_slowly_they_are_read() -> None:
    broadcast = Broadcast()
    with broadcast.listen([("p", ""), ("q", "")], heard=()) as signals:
        lost_at_most = BACKLOG + 100
        for n in range(lost_at_most):
            broadcast.publish(Signal("p", Kind.WAKE))
            if n > BACKLOG and n % 3 == 0:
                signals.receive_nowait()
        broadcast.publish(Signal("q", Kind.FLUSH))
        rest = drain(signals)
        assert Signal("q", Kind.FLUSH) in rest or Signal("q", Kind.RESYNC) in rest


def test_more_queues_than_the_backlog_are_all_resynced() -> None:
    broadcast = Broadcast()
    queues = [f"q{n:04}" for n in range(BACKLOG + 10)]
    with broadcast.listen([(queue, "") for queue in queues], heard=()) as signals:
        for _ in range(len(queues) + 1):
            broadcast.publish(Signal(queues[0], Kind.WAKE))
        resynced = [signal.queue for signal in drain(signals) if signal.kind is Kind.RESYNC]
        assert resynced == queues


def test_a_slow_listener_costs_the_others_nothing() -> None:
    broadcast = Broadcast()
    with broadcast.listen([("q", "")], heard=()):
        for _ in range(BACKLOG + 1):
            broadcast.publish(Signal("q", Kind.WAKE))
        with broadcast.listen([("q", "")], heard=()) as quick:
            broadcast.publish(Signal("q", Kind.WAKE))
            assert drain(quick) == [Signal("q", Kind.WAKE)]


def test_only_queues_that_are_heard_begin_with_a_resync() -> None:
    broadcast = Broadcast()
    topics = [("p", ""), ("q", ""), ("q", "t")]
    with broadcast.listen(topics, heard={"q"}) as signals:
        assert drain(signals) == [Signal("q", Kind.RESYNC)]
        broadcast.publish(Signal("p", Kind.RESYNC))
        assert drain(signals) == [Signal("p", Kind.RESYNC)]


def test_a_resync_of_a_queue_comes_once_to_who_listens_to_many_of_its_topics() -> None:
    broadcast = Broadcast()
    with broadcast.listen([("q", ""), ("q", "t"), ("q", "u")], heard=()) as signals:
        broadcast.publish(Signal("q", Kind.RESYNC))
        assert drain(signals) == [Signal("q", Kind.RESYNC)]


def test_each_kind_goes_to_its_topic() -> None:
    broadcast = Broadcast()
    own = [Signal("q", Kind.DONE, "t"), Signal("q", Kind.PROGRESS, "t")]
    general = [Signal("q", Kind.WAKE), Signal("q", Kind.CANCEL, "t"), Signal("q", Kind.FLUSH)]
    others = [Signal("q", Kind.DONE, "u"), Signal("p", Kind.WAKE), Signal("p", Kind.DONE, "t")]
    with (
        broadcast.listen([("q", "t")], heard=()) as task,
        broadcast.listen([("q", "")], heard=()) as queue,
    ):
        for signal in (*own, *general, *others):
            broadcast.publish(signal)
        assert drain(task) == own
        assert drain(queue) == general


def test_a_listener_that_left_is_forgotten() -> None:
    broadcast = Broadcast()
    topics = [("q", ""), ("q", "")]
    with broadcast.listen(topics, heard=()):
        pass
    broadcast.publish(Signal("q", Kind.WAKE))
    with broadcast.listen(topics, heard=()) as signals:
        assert drain(signals) == []
