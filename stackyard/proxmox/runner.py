"""Which actions of a wave run when: many side by side, in an order that keeps no place idle."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, Task

from stackyard.plan.values import Action, Clone
from stackyard.proxmox.jobs import Jobs
from stackyard.proxmox.reading import result_of

WORKERS = 64  # they mostly wait; the clones have a limit of their own


class Threads:
    """Nornir's threaded runner, but an interruption does not begin the actions still queued."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def run(self, task: Task, hosts: list[Host]) -> AggregatedResult:
        """Run a task on all hosts; what a task raised besides its result is raised here."""
        result = AggregatedResult(task.name)
        pool = ThreadPoolExecutor(WORKERS)
        try:
            futures = [pool.submit(task.copy().start, host) for host in hosts]
            for host, future in zip(hosts, futures, strict=True):
                result[host.name] = result_of(future)
        except BaseException:
            self._jobs.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        return result


def spread(wave: tuple[Action, ...]) -> list[Action]:
    """Take in turn what has places of its own, so that no storage's clones keep others waiting."""
    turns: Counter[tuple[str, str | None]] = Counter()
    ranked = []
    for action in wave:
        storages = (step.storage or "" for step in action.steps if isinstance(step, Clone))
        place = (action.final_node, next(storages, None))
        turns[place] += 1
        ranked.append((turns[place], action))
    return [action for _turn, action in sorted(ranked, key=lambda pair: pair[0])]
