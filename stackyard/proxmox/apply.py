"""Carrying out a plan with Nornir: a host for each VM, a task for each action, a subtask a step.

The decisions are all in the plan. One VM's failure stops that VM alone; what was reached is kept
and told. Tasks print nothing: whoever wants to see progress passes processors.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from nornir.core import Nornir
from nornir.core.configuration import Config
from nornir.core.exceptions import NornirSubTaskError
from nornir.core.inventory import ConnectionOptions, Defaults, Groups, Host, Hosts, Inventory
from nornir.core.plugins.connections import ConnectionPluginRegister
from nornir.core.processor import Processor, Processors
from nornir.core.task import AggregatedResult, MultiResult, Result, Task

from stackyard.errors import StackyardError
from stackyard.plan.document import step_name
from stackyard.plan.errors import PlanError
from stackyard.plan.values import Action, Plan, Step, Verb
from stackyard.proxmox.carrier import Carrier
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import VmidTakenError
from stackyard.proxmox.jobs import Jobs

CONNECTION = "proxmox"
WORKERS = 64  # they mostly wait; the clones have a limit of their own


@dataclass(frozen=True, slots=True)
class Reached:
    """How far one action came."""

    name: str
    node: str
    vmid: int
    verb: Verb
    done: tuple[str, ...]  # the steps that were completed
    error: str | None = None
    state: str = ""  # what is there afterwards, where somebody looked
    lost_vmid: bool = False  # to somebody else, who was quicker


class _Threads:
    """Nornir's threaded runner, but an interruption does not begin the actions still queued."""

    def __init__(self, workers: int, jobs: Jobs) -> None:
        self._workers = workers
        self._jobs = jobs

    def run(self, task: Task, hosts: list[Host]) -> AggregatedResult:
        result = AggregatedResult(task.name)
        pool = ThreadPoolExecutor(self._workers)
        try:
            futures = [pool.submit(task.copy().start, host) for host in hosts]
            for host, future in zip(hosts, futures, strict=True):
                result[host.name] = future.result()
        except BaseException:
            self._jobs.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        return result


def apply_plan(
    client: Client,
    plan: Plan,
    processors: Sequence[Processor] = (),
) -> tuple[Reached, ...]:
    """Carry out a plan and nothing else; return how far each action came, in the plan's order.

    A later wave waits for the ones before it; after a failure in one of those it is not begun.

    Raises:
        PlanError: the plan has problems.
    """
    if plan.problems:
        raise PlanError("\n".join(plan.problems))
    ConnectionPluginRegister.auto_register()
    jobs = Jobs(client, client.settings.clones)
    reached: list[Reached] = []
    for wave in plan.waves:
        if any(action.error for action in reached):
            reached += [_not_begun(action) for action in wave]
            continue
        nornir = _nornir(client, wave, processors, jobs)
        results = nornir.run(task=carry_out, name="apply", jobs=jobs)
        reached += [_reached(action, results[action.name]) for action in wave]
    return tuple(reached)


def carry_out(task: Task, jobs: Jobs) -> Result:
    """Nornir task: carry out the host's action, each step as a subtask."""
    action: Action = task.host["action"]
    client: Client = task.host.get_connection(CONNECTION, task.nornir.config)
    carrier = Carrier(client, jobs, action)
    done: list[str] = []
    try:
        carrier.check()
        for step in action.steps:
            name = step_name(step)
            told = task.run(task=_carry_out_step, name=name, carrier=carrier, step=step)[0].result
            done.append(f"{name} ({told})" if told else name)
    except StackyardError as error:
        return Result(host=task.host, result=tuple(done), failed=True, exception=error)
    except NornirSubTaskError as error:
        cause = error.result[0].exception or error
        return Result(host=task.host, result=tuple(done), failed=True, exception=cause)
    return Result(host=task.host, result=tuple(done), changed=True)


def _carry_out_step(task: Task, carrier: Carrier, step: Step) -> Result:
    # Nornir logs a traceback for what a task raises; a refusal of Proxmox is no bug of ours.
    try:
        told = carrier.carry_out(step)
    except StackyardError as error:
        return Result(host=task.host, result=str(error), failed=True, exception=error)
    return Result(host=task.host, result=told, changed=True)


def _nornir(
    client: Client,
    wave: tuple[Action, ...],
    processors: Sequence[Processor],
    jobs: Jobs,
) -> Nornir:
    options = {CONNECTION: ConnectionOptions(extras={"client": client})}
    hosts = Hosts(
        {
            action.name: Host(
                name=action.name,
                hostname=action.node,
                data={"action": action},
                connection_options=options,
                defaults=Defaults(),
            )
            for action in _spread(wave)
        }
    )
    return Nornir(
        inventory=Inventory(hosts=hosts, groups=Groups(), defaults=Defaults()),
        config=Config(),
        processors=Processors(processors),
        runner=_Threads(WORKERS, jobs),
    )


def _spread(wave: tuple[Action, ...]) -> list[Action]:
    """Take the nodes in turn, so that no node's clones keep the others' waiting."""
    turns: dict[str, int] = {}
    ranked = []
    for action in wave:
        turns[action.node] = turns.get(action.node, 0) + 1
        ranked.append((turns[action.node], action))
    return [action for _turn, action in sorted(ranked, key=lambda pair: pair[0])]


def _reached(action: Action, results: MultiResult) -> Reached:
    """Read a result; what is no error of ours is a bug and is raised as it is."""
    outcome = results[0]
    if outcome.exception and not isinstance(outcome.exception, StackyardError):
        raise outcome.exception
    error = str(outcome.exception) if outcome.exception else None
    lost = isinstance(outcome.exception, VmidTakenError)
    return replace(_not_begun(action), done=outcome.result, error=error, lost_vmid=lost)


def _not_begun(action: Action) -> Reached:
    error = "not begun: an action before it failed"
    return Reached(action.name, action.node, action.vmid, action.verb, (), error)
