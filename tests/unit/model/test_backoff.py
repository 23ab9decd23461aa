"""Each wait is twice the one before, up to a bound, and begins anew after a success."""

from soulbox.model.backoff import Backoff, doubled_seconds


def test_waits_double_up_to_the_bound() -> None:
    assert [doubled_seconds(0.5, 3.0, tries) for tries in (1, 2, 3, 4, 5)] == [0.5, 1, 2, 3, 3]


def test_any_number_of_tries_has_an_answer() -> None:
    assert doubled_seconds(0.1, 30.0, 0) == 0.1
    assert doubled_seconds(0.1, 30.0, 10**9) == 30.0


def test_success_begins_anew() -> None:
    backoff = Backoff(first_seconds=1.0, most_seconds=60.0)
    assert [backoff.next_seconds() for _ in range(3)] == [1, 2, 4]
    backoff.reset()
    assert (backoff.tries, backoff.next_seconds()) == (0, 1)
