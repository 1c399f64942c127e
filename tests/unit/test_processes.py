"""Work in several processes: the same as in one, whatever becomes of them."""

import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from stackyard.definitions import processes
from stackyard.definitions.files import read_files
from stackyard.definitions.load import read_vms
from stackyard.definitions.processes import in_parts

HERE = os.getpid()
NUMBERS = range(10)


@pytest.fixture(autouse=True)
def three_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_processors", lambda: 3)


def doubled(numbers: Sequence[int]) -> list[int]:
    return [2 * number for number in numbers]


def no_child_is_left() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


@pytest.mark.parametrize(
    ("count", "least", "parts"),
    [(0, 1, 1), (1, 1, 1), (3, 1, 3), (9, 3, 3), (10, 1, 3), (10, 4, 2), (10, 6, 1), (1000, 1, 3)],
)
def test_the_parts_are_all_items_in_their_order(count: int, least: int, parts: int) -> None:
    made = in_parts(doubled, range(count), least)
    assert [number for part in made for number in part] == doubled(range(count))
    assert len(made) == parts


def test_each_part_is_made_by_a_process_of_its_own() -> None:
    made = in_parts(lambda _: os.getpid(), NUMBERS, 1)
    assert made[0] == os.getpid()
    assert len(set(made)) == 3
    assert no_child_is_left()


def killed(numbers: Sequence[int]) -> list[int]:
    if os.getpid() != HERE:
        os.kill(os.getpid(), signal.SIGKILL)
    return doubled(numbers)


def unsent(numbers: Sequence[int]) -> object:
    return doubled(numbers) if os.getpid() == HERE else lambda: "cannot be pickled"


def failed(numbers: Sequence[int]) -> list[int]:
    if os.getpid() != HERE:
        raise MemoryError
    return doubled(numbers)


def torn(numbers: Sequence[int]) -> list[int]:
    def half(connection: Connection, data: bytes) -> None:
        os.write(connection.fileno(), data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    if os.getpid() != HERE:
        pytest.MonkeyPatch().setattr(Connection, "_send", half)
    return doubled(numbers)


@pytest.mark.parametrize("work", [killed, unsent, failed, torn])
def test_what_a_process_does_not_deliver_is_made_here(
    work: object, capfd: pytest.CaptureFixture[str]
) -> None:
    assert callable(work)
    assert in_parts(work, NUMBERS, 1) == in_parts(doubled, NUMBERS, 1)
    assert no_child_is_left()
    assert capfd.readouterr() == ("", "")


def test_without_more_processes_all_is_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more() -> int:
        raise BlockingIOError("Resource temporarily unavailable")

    expected = in_parts(doubled, NUMBERS, 1)
    monkeypatch.setattr(os, "fork", no_more)
    assert in_parts(doubled, NUMBERS, 1) == expected


def test_what_the_work_raises_is_raised_once(capfd: pytest.CaptureFixture[str]) -> None:
    def wrong(numbers: Sequence[int]) -> None:
        if 9 in numbers:
            raise ValueError("nine")

    with pytest.raises(ValueError, match="nine"):
        in_parts(wrong, NUMBERS, 1)
    assert no_child_is_left()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_who_is_interrupted_waits_for_no_process(stop: type[BaseException]) -> None:
    def slow(_: Sequence[int]) -> None:
        if os.getpid() == HERE:
            raise stop
        time.sleep(600)

    with pytest.raises(stop):
        in_parts(slow, NUMBERS, 1)
    assert no_child_is_left()


def test_who_is_interrupted_while_a_process_begins_leaves_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted() -> int:
        signal.raise_signal(signal.SIGINT)
        return fork()

    fork = os.fork
    monkeypatch.setattr(os, "fork", interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_parts(doubled, NUMBERS, 1)
    assert no_child_is_left()


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    before = signal.getsignal(request.param)
    yield request.param
    signal.signal(request.param, before)


def test_a_process_takes_none_of_our_ways_to_end(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    def signalled(numbers: Sequence[int]) -> list[int]:
        if os.getpid() != HERE:
            os.kill(os.getpid(), number)
        return doubled(numbers)

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(number, leave)
    assert in_parts(signalled, NUMBERS, 1) == in_parts(doubled, NUMBERS, 1)
    assert capfd.readouterr() == ("", "")


def test_a_process_ignores_what_we_ignore(number: signal.Signals) -> None:
    def signalled(_: Sequence[int]) -> int:
        os.kill(os.getpid(), number)
        return os.getpid()

    signal.signal(number, signal.SIG_IGN)
    assert len(set(in_parts(signalled, NUMBERS, 1))) == 3


def test_processes_end_where_who_asked_is_killed() -> None:
    ended, end = os.pipe()

    def large(_: Sequence[int]) -> str:
        if os.getppid() == HERE:
            os.kill(os.getpid(), signal.SIGKILL)
        return "x" * 1_000_000

    if not (asking := os.fork()):
        in_parts(large, NUMBERS, 1)
    os.close(end)
    os.waitpid(asking, 0)
    with os.fdopen(ended, "rb") as reader:
        assert select.select([reader], [], [], 60)[0]
        assert reader.read() == b""  # the last that had it open is gone


def test_definitions_and_mistakes_are_the_same_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "_defaults.yaml").write_text("cores: 2\ntags: [a]\nvariables: {x: 2026-11-27}\n")
    for number in range(30):
        more = ["", "cores: many\n", "disks: [{slot: scsi0, storage: s, size: 4G}]\n", ": [\n"]
        text = f"name: n{number % 29}\ntarget_node: n\n{more[number % 4]}"
        (tmp_path / f"n{number}.yaml").write_text(text)
    files = read_files(tmp_path)
    monkeypatch.setattr("stackyard.definitions.load.LEAST_FILES", 100)
    definitions, problems = read_vms(files)
    monkeypatch.setattr("stackyard.definitions.load.LEAST_FILES", 1)
    found, mistakes = read_vms(files)
    assert found == definitions
    assert [vm.source for vm in found] == [vm.source for vm in definitions]
    assert sorted(mistakes) == sorted(problems)
    assert len(definitions) == 23
    assert len(problems) > 14
