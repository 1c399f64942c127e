"""What is told while hosts are waited for."""

from unittest import mock

from stackyard.cli.waiting import LOG_SECONDS, Waiting
from stackyard.run.target import Readiness, Target

A, B = (Target(name, f"192.168.1.{n}", "node01", n) for n, name in enumerate(("k8s-a", "k8s-b")))


def test_a_log_has_the_last_answers_every_so_often() -> None:
    told: list[str] = []
    with mock.patch("time.monotonic") as now:
        now.return_value = 1000.0
        waiting = Waiting(told.append)
        waiting.begin(["k8s-b", "k8s-a"])
        assert told == ["waiting for k8s-a, k8s-b"]
        now.return_value += LOG_SECONDS - 1
        waiting.not_yet(A, "no ssh yet: Connection refused")
        assert len(told) == 1
        now.return_value += 1
        waiting.not_yet(B, "cloud-init is not done")
        answers = "k8s-a (no ssh yet: Connection refused), k8s-b (cloud-init is not done)"
        assert told[1:] == [f"waiting for {answers}"]
        now.return_value += LOG_SECONDS
        waiting.ended(Readiness(A, is_ready=True))
        assert told[2:] == ["waiting for k8s-b (cloud-init is not done)"]
        now.return_value += LOG_SECONDS
        waiting.ended(Readiness(B, is_ready=True))
        assert len(told) == 3


def test_a_wait_that_others_told_of_is_told_once_it_lasts() -> None:
    told: list[str] = []
    with mock.patch("time.monotonic") as now:
        now.return_value = 1000.0
        waiting = Waiting(told.append)
        waiting.not_yet(A, "no ssh yet")
        assert told == []
        now.return_value += LOG_SECONDS
        waiting.not_yet(A, "no key yet")
        assert told == ["waiting for k8s-a (no key yet)"]
