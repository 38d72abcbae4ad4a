"""The bounded queue between the threads of a run."""

import threading

import pytest

from stylepipe.queues import ByteQueue, Canceled


def test_order_is_kept():
    queue = ByteQueue(100)
    for i in range(5):
        queue.put(i, 10)
    assert [queue.get() for _ in range(5)] == [0, 1, 2, 3, 4]


def test_put_waits_for_room():
    queue = ByteQueue(100)
    queue.put("a", 60)
    entered = threading.Event()

    def put() -> None:
        queue.put("b", 60)
        entered.set()

    thread = threading.Thread(target=put)
    thread.start()
    assert not entered.wait(0.1)
    assert queue.get() == "a"
    assert entered.wait(5)
    thread.join()


def test_one_entry_above_the_limit_passes():
    queue = ByteQueue(10)
    queue.put("huge", 1000)
    assert queue.get() == "huge"


def test_cancel_wakes_both_sides():
    queue = ByteQueue(10)
    queue.put("full", 10)
    woken = []

    def put() -> None:
        try:
            queue.put("more", 10)
        except Canceled:
            woken.append("put")

    thread = threading.Thread(target=put)
    thread.start()
    queue.cancel()
    thread.join(5)
    assert woken == ["put"]
    with pytest.raises(Canceled):
        queue.get()
