"""Carrying out a plan with Nornir: a host for each VM, a task for each action, a subtask a step.

The decisions are all in the plan. One VM's failure stops that VM alone; what was reached is kept
and told. Tasks print nothing: whoever wants to see progress passes processors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nornir.core import Nornir
from nornir.core.configuration import Config as NornirConfig
from nornir.core.exceptions import NornirSubTaskError
from nornir.core.inventory import ConnectionOptions, Defaults, Groups, Host, Hosts, Inventory
from nornir.core.plugins.connections import ConnectionPluginRegister
from nornir.core.processor import Processor, Processors
from nornir.core.task import AggregatedResult, MultiResult, Result, Task

from stackyard.errors import StackyardError
from stackyard.plan.document import step_name
from stackyard.plan.errors import PlanError
from stackyard.plan.observed import Config
from stackyard.plan.values import Action, Plan, Step, Verb
from stackyard.plan.waves import waits_for
from stackyard.proxmox.carrier import Carrier
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import VmidTakenByVmError, VmidTakenError
from stackyard.proxmox.halt import Halt
from stackyard.proxmox.jobs import Jobs
from stackyard.proxmox.references import ReadSecret, Secrets, from_environment
from stackyard.proxmox.runner import Threads, spread

CONNECTION = "proxmox"


@dataclass(frozen=True, slots=True)
class Reached:
    """How far one action came."""

    name: str
    node: str  # where it was to be, or is, where somebody looked
    vmid: int
    verb: Verb
    done: tuple[str, ...]  # the steps that were completed
    error: str | None = None
    state: str = ""  # what is there afterwards, where somebody looked
    lost_vmid: bool = False  # to somebody else, who was quicker
    lost_to_vm: bool = False  # and not only to a volume that a VM before has left
    read_back: Config | None = None  # its configuration, where a step had to read the final one


@dataclass(frozen=True, slots=True)
class Terms:
    """How a plan is carried out."""

    processors: Sequence[Processor] = ()  # who is told what happens
    read_secret: ReadSecret = from_environment  # how the secrets that a plan names are read
    halt: Halt = field(default_factory=Halt)  # once called, no step begins any more
    refused: Mapping[str, str] = field(default_factory=dict)  # VMs not to be touched, and why


@dataclass(frozen=True, slots=True, repr=False)  # a step may hold a secret
class Done:
    """What a step left behind, as its Nornir result."""

    step: Step
    upids: tuple[str, ...] = ()
    error: str = ""
    warning: str = ""

    def __str__(self) -> str:
        return " ".join([self.error or self.warning or "done", *self.upids])

    __repr__ = __str__


@dataclass(frozen=True, slots=True, repr=False)
class Ended:
    """What an action left behind, as its Nornir result."""

    done: tuple[str, ...]
    read_back: Config | None = None

    def __str__(self) -> str:
        return ", ".join(self.done) or "nothing"

    __repr__ = __str__


def apply_plan(client: Client, plan: Plan, terms: Terms) -> tuple[Reached, ...]:
    """Carry out a plan; a later wave waits for those before it.

    After a failure, what needs what failed is not begun, and nothing else is stopped by it.

    Raises:
        PlanError: the plan has problems.
        MissingSecretError: it names a secret that is not there.
    """
    if plan.problems:
        raise PlanError("\n".join(plan.problems))
    secrets = Secrets(plan, terms.read_secret)
    ConnectionPluginRegister.auto_register()
    jobs = Jobs(client, client.settings.clones)
    failed: list[Action] = []
    reached: list[Reached] = []
    for wave in plan.waves:
        stopped = _stopped(wave, failed, terms)
        begun = tuple(action for action in wave if action.name not in stopped)
        results = _run(client, begun, terms, jobs, secrets) if begun else {}
        ends = [_reached(action, results.get(action.name), stopped) for action in wave]
        failed += [a for a, end in zip(wave, ends, strict=True) if end.error]
        reached += ends
    return tuple(reached)


def _stopped(wave: tuple[Action, ...], failed: list[Action], terms: Terms) -> dict[str, str]:
    """Return what of a wave is not begun, and why; VMs that wait for each other stop together."""
    stopped: dict[str, str] = {}
    while True:
        lost = [*failed, *(action for action in wave if action.name in stopped)]
        rest = [action for action in wave if action.name not in stopped]
        more = {action.name: why for action in rest if (why := _why_not(action, lost, terms))}
        if not more:
            return stopped
        stopped |= more


def _why_not(action: Action, failed: list[Action], terms: Terms) -> str:
    if action.name in terms.refused:
        return terms.refused[action.name]
    needed = [other.name for other in failed if waits_for(action, other)]
    return f"not begun: {', '.join(needed)} did not get there" if needed else ""


def carry_out(task: Task, jobs: Jobs, halt: Halt, secrets: Secrets) -> Result:
    """Nornir task: carry out the host's action, each step as a subtask."""
    action: Action = task.host["action"]
    client: Client = task.host.get_connection(CONNECTION, task.nornir.config)
    carrier = Carrier(client, jobs, action, halt)
    done: list[str] = []
    try:
        halt.check()
        carrier.check()
        for step in action.steps:
            halt.check()
            name = step_name(step)
            task.run(task=_carry_out_step, name=name, carrier=carrier, step=step, secrets=secrets)
            done.append(f"{name} ({carrier.warning})" if carrier.warning else name)
    except StackyardError as error:
        return Result(host=task.host, result=Ended(tuple(done)), failed=True, exception=error)
    except NornirSubTaskError as error:
        cause = error.result[0].exception or error
        return Result(host=task.host, result=Ended(tuple(done)), failed=True, exception=cause)
    ended = Ended(tuple(done), carrier.read_back)
    return Result(host=task.host, result=ended, changed=True)


def _carry_out_step(task: Task, carrier: Carrier, step: Step, secrets: Secrets) -> Result:
    # Nornir logs a traceback for what a task raises; a refusal of Proxmox is no bug of ours.
    try:
        carrier.carry_out(secrets.put_in(step))
    except StackyardError as error:
        done = Done(step, carrier.upids, error=str(error))
        return Result(host=task.host, result=done, failed=True, exception=error)
    done = Done(step, carrier.upids, warning=carrier.warning)
    return Result(host=task.host, result=done, changed=True)


def _run(
    client: Client, wave: tuple[Action, ...], terms: Terms, jobs: Jobs, secrets: Secrets
) -> AggregatedResult:
    nornir = _nornir(client, wave, terms, jobs)
    return nornir.run(task=carry_out, name="apply", jobs=jobs, halt=terms.halt, secrets=secrets)


def _nornir(client: Client, wave: tuple[Action, ...], terms: Terms, jobs: Jobs) -> Nornir:
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
            for action in spread(wave)
        }
    )
    return Nornir(
        inventory=Inventory(hosts=hosts, groups=Groups(), defaults=Defaults()),
        config=NornirConfig(),
        processors=Processors(terms.processors),
        runner=Threads(jobs),
    )


def _reached(action: Action, results: MultiResult | None, stopped: Mapping[str, str]) -> Reached:
    """Read a result; what is no error of ours is a bug and is raised as it is."""
    if results is None:
        why_not = stopped[action.name]
        return Reached(action.name, action.node, action.vmid, action.verb, (), why_not)
    outcome = results[0]
    if outcome.exception and not isinstance(outcome.exception, StackyardError):
        raise outcome.exception
    error = str(outcome.exception) if outcome.exception else None
    ended: Ended = outcome.result
    return Reached(
        action.name,
        action.final_node,
        action.vmid,
        action.verb,
        ended.done,
        error,
        lost_vmid=isinstance(outcome.exception, VmidTakenError),
        lost_to_vm=isinstance(outcome.exception, VmidTakenByVmError),
        read_back=ended.read_back,
    )
