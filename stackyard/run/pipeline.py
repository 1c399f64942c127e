"""A commit carried out: apply its VMs, wait for them, run their plays, and take their tag off.

Everything that was reached is kept: apply makes what is missing, plays are idempotent, and a VM
carries `stackyard-unconfigured` until its play has succeeded. So the way to finish a run that
failed is the same run again; nothing about it is remembered here.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote

from stackyard.errors import StackyardError
from stackyard.nornir.processor import Event
from stackyard.plan import UNCONFIGURED, Observed
from stackyard.proxmox.apply import Terms
from stackyard.proxmox.converge import converge, remove_tag
from stackyard.proxmox.observe import observe
from stackyard.routing import Route, configures, load_balancing, main_play, members, unfit
from stackyard.run.controller import Controller
from stackyard.run.errors import PlayError, RunError
from stackyard.run.journal import Journal
from stackyard.run.means import Means
from stackyard.run.play import PlayResult, play_hosts, run_play
from stackyard.run.ready import wait_ready
from stackyard.run.report import Report
from stackyard.run.request import Request
from stackyard.run.select import select_targets
from stackyard.stores.references import read_secret

# For hosts nobody named: configured with the others if they are there, and no reason to wait long.
LEFTOVER_SECONDS = 30.0
_LOCALHOSTS = frozenset({"localhost", "127.0.0.1", "::1"})  # Ansible has them in no inventory
_VERBS = {"create": "created", "update": "updated", "finish": "finished creating"}


def carry_out(request: Request, means: Means) -> Report:
    """Do what a commit asks for.

    Raises:
        RunError: a step failed; the sentence says which, what was reached, and how to go on, and
            the exit code is that of the step's error.
    """
    here = means.site.resolve() == Path.cwd()
    report = Report(request.commit.short, "" if here else f" --site {quote(str(means.site))}")
    journal = Journal(means.site, request.commit.id)
    run = _Run(request, means, report, journal)
    try:
        routes = run.with_hosts()
        report.named = tuple(dict.fromkeys(name for route in routes for name in route.hosts))
        observed = run.apply(report.named)
        for route in routes:
            run.configure(route, observed)
        run.configure_following(routes, observed)
    except StackyardError as error:
        journal.write("failed", report.named, _sentence(str(error), report.reached()))
        _tell_notes(report, means)
        sentence = _sentence(str(error), journal.failure, report.reached())
        raise RunError(sentence, error.exit_code) from error
    except OSError as error:  # nobody listens any more, so that nothing more is begun
        journal.write("failed", report.named, f"halted, for {error.strerror or error}")
        raise
    except KeyboardInterrupt:
        journal.write("interrupted", report.named, _sentence("interrupted", report.reached()))
        _tell_notes(report, means)
        with suppress(OSError):  # the terminal may be what has gone
            means.listener.step(_sentence("interrupted", journal.failure, report.reached()))
        raise
    report.failure = journal.failure
    return report


def _tell_notes(report: Report, means: Means) -> None:
    """Tell what the report would have: of a run that fails or is interrupted nobody gets one."""
    with suppress(OSError):  # the terminal may be what has gone
        for note in report.notes:
            means.listener.step(f"note: {note}")


def _running(observed: Observed) -> set[str]:
    """Return the names of our VMs that run."""
    return {vm.name for vm in observed.vms if vm.name and vm.is_ours and vm.status == "running"}


def _sentence(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class _Run:
    request: Request
    means: Means
    report: Report
    journal: Journal
    # What succeeded on VMs that keep their tag until the load balancers know of them.
    finished: list[tuple[Route, PlayResult]] = field(default_factory=list)

    def with_hosts(self) -> tuple[Route, ...]:
        """Find the hosts of routes that name a play and no VM."""
        return tuple(
            self._with_own(route) if route.whole else route for route in self.request.routes
        )

    def _with_own(self, route: Route) -> Route:
        vms = {vm.name: vm for vm in self.request.fleet.definitions}
        found = play_hosts(Controller(self.means.site, self.means.environ), route.file)
        reasons = {name: unfit(vms[name]) for name in found if name in vms}
        own = (name for name, reason in reasons.items() if not reason)
        others = tuple(name for name in found if name not in vms)
        self.report.notes += [
            f"{route.file} did not run on {name}: {reason}"
            for name, reason in reasons.items()
            if reason
        ]
        return replace(route, hosts=tuple(dict.fromkeys((*route.hosts, *own))), others=others)

    def apply(self, names: tuple[str, ...]) -> Observed:
        """Create or update the VMs; return all that is there afterwards."""
        fleet, client = self.request.fleet, self.means.client
        if not names:
            return observe(client, (), fleet.site)
        self.means.listener.step(f"apply: {', '.join(names)}")
        listener = self.means.listener
        terms = Terms(listener.processors, read_secret, listener.halt)
        outcome = converge(client, fleet.definitions, fleet.site, ",".join(names), terms)
        for action in outcome.reached:
            if not action.error:
                self.report.applied[action.name] = _VERBS.get(action.verb, action.verb)
        failed = "; ".join(f"{one.name} was not applied: {one.error}" for one in outcome.failed)
        self.journal.write("apply", names, failed or "done")
        if failed or outcome.unseen:
            raise RunError(failed or outcome.unseen)
        return outcome.observed

    def configure(self, route: Route, observed: Observed) -> None:
        """Wait for a route's hosts, run its play on them, and take their tag off."""
        hosts = (*self._ready(route, observed), *route.others)
        if hosts:
            result = self._play(route, hosts)
            if self._is_followed(result, observed):
                self.finished.append((route, result))
            else:
                self._untag(route, result, observed)
            if result.failure:
                raise PlayError(result.failure)
            untouched = [name for name in route.hosts if name not in result.hosts]
            if untouched:
                raise PlayError(
                    f"{route.file} left out {', '.join(untouched)}: look at its hosts: line"
                )
        if not self._finish_others(route, {*hosts}, observed) and not hosts:
            self.report.notes.append(f"{route.file} has no running host to run on")

    def configure_following(self, routes: tuple[Route, ...], observed: Observed) -> None:
        """Do what follows from VMs that an earlier run left, and take all tags off only then.

        Else the next run would not know them any more, and nothing would follow.
        """
        done = self.finished
        follows = self._following([name for _, result in done for name in result.succeeded])
        if follows:
            same = [route for route in routes if route.play == follows.play]
            told = {name for route in same for name in (*route.hosts, *route.follows)}
            others = tuple(name for name in follows.follows if name not in told)
            if others:
                self.configure(replace(follows, follows=others), observed)
        for route, result in done:
            self._untag(route, result, observed)

    def _following(self, names: Iterable[str]) -> Route | None:
        request = self.request
        definitions, inventory = request.fleet.definitions, request.inventory
        return load_balancing(names, definitions, inventory, request.plays)

    def _is_followed(self, result: PlayResult, observed: Observed) -> bool:
        """Tell whether load balancers that run learn of a play's VMs by a later route."""
        follows = self._following(result.succeeded)
        plays = {route.play for route in self.request.routes}
        return bool(follows and follows.play in plays and {*follows.follows} & _running(observed))

    def _finish_others(self, route: Route, done: set[str], observed: Observed) -> bool:
        """Configure whom an earlier run left; nobody asked for them, so failures are notes."""
        left = self._leftovers(route, observed) - done
        ready, late = self._wait(left, observed, min(self.means.timeout, LEFTOVER_SECONDS))
        self.report.notes += [
            f"{name} is still to be configured: {reason}" for name, reason in sorted(late.items())
        ]
        if ready:
            result = self._play(route, ready)
            self.finished.append((route, result))
            if result.failure:
                self.report.notes.append(f"still to be configured: {result.failure}")
        return bool(ready)

    def _play(self, route: Route, hosts: tuple[str, ...]) -> PlayResult:
        self.means.listener.step(f"{route.file}: {', '.join(hosts)}")
        controller = self.means.controller(self.request.commit.short, route)
        # A limit of Ansible's own localhost alone is an error.
        alone = _LOCALHOSTS.issuperset(hosts) and hosts == play_hosts(controller, route.file)
        limit = () if alone else hosts
        result = run_play(controller, route.file, limit, self.means.listener.play)
        if result.log and result.unwritten:
            self.report.notes.append(f"{result.log} is not whole: {result.unwritten}")
        played = {name: result.hosts[name] for name in result.succeeded}
        self.report.played.setdefault(route.file, {}).update(played)
        self.journal.write(route.file, hosts, result.failure or "done")
        return result

    def _ready(self, route: Route, observed: Observed) -> tuple[str, ...]:
        """Return the hosts of the commit; all of those that should run must be ready."""
        running = _running(observed)
        off = [name for name in route.follows if name not in running]
        if off:
            self.report.notes.append(
                f"{route.file} did not run on {', '.join(off)}, which "
                f"{'is' if len(off) == 1 else 'are'} not running"
            )
        wanted = {*route.hosts, *(name for name in route.follows if name in running)}
        ready, late = self._wait(wanted, observed, self.means.timeout)
        if late:
            raise RunError("; ".join(f"{name} is not ready: {late[name]}" for name in sorted(late)))
        return ready

    def _wait(
        self, names: set[str], observed: Observed, timeout: float
    ) -> tuple[tuple[str, ...], dict[str, str]]:
        """Return who is ready, and by name why the others are not."""
        if not names:
            return (), {}
        definitions, inventory = self.request.fleet.definitions, self.request.inventory
        # Talos has no ssh: its play itself waits for its API.
        silent = names & members(inventory, "talos") & _running(observed)
        selection = select_targets(definitions, inventory, observed, names - silent)
        self.means.listener.step(f"wait: {', '.join(sorted(names))}")
        listener = self.means.listener
        results = wait_ready(
            selection.targets, self.means.probe, timeout, listener.ready, listener.not_yet
        )
        ready = (*sorted(silent), *(one.target.name for one in results if one.is_ready))
        self.report.ready.update(ready)
        late = {r.target.name: f"{r.target.address}: {r.reason}" for r in results if not r.is_ready}
        self.journal.write("ready", ready, "done")
        return ready, selection.missing | late

    def _leftovers(self, route: Route, observed: Observed) -> set[str]:
        """Return the hosts that this play was to configure in a run that did not get there."""
        waiting = {
            vm.name
            for vm in observed.vms
            if vm.is_ours and vm.status == "running" and UNCONFIGURED in vm.tags
        }
        return {
            vm.name
            for vm in self.request.fleet.definitions
            if vm.name in waiting
            and not unfit(vm)
            and main_play(vm.name, self.request.inventory, self.request.plays) == route.play
        }

    def _untag(self, route: Route, result: PlayResult, observed: Observed) -> None:
        for name in result.succeeded:
            vm = next(iter(observed.ours(name)), None)
            if (
                vm is not None
                and UNCONFIGURED in vm.tags
                and configures(route.play, name, self.request.inventory, self.request.plays)
                and remove_tag(self.means.client, vm, UNCONFIGURED)
            ):
                self.report.configured.add(name)
                before = {"tags": [UNCONFIGURED]}
                self.means.listener.change(
                    Event(name, vm.vmid, vm.node, "untag", "done", before=before)
                )
