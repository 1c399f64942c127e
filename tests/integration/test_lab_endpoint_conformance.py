"""The endpoint answers as the recorded server did: the recording's rows, one scenario a file.

The rows are data (`cases/proxmox/`), with the reason beside each row that the lab leaves out:
snapshots, commands inside guests, and the firewall are not in the lab.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from proxmox_lab import ProxmoxEndpoint, StartEndpoint

from stackyard.lab.machine import MachineError, Simulated

CASES = sorted((Path(__file__).parent / "cases" / "proxmox").glob("*.yaml"))
RECORDED = 361
Row = Mapping[str, Any]


class Recorded(Simulated):
    """The guests of the recording: of them only VM 200 and its copies had an agent and ACPI."""

    async def shutdown(self, vmid: int, seconds: float, /) -> None:
        if vmid == 110:
            raise MachineError("VM quit/powerdown failed - got timeout")
        await super().shutdown(vmid, seconds)

    async def interfaces(self, vmid: int) -> list[dict[str, object]] | None:
        return None if vmid == 110 else await super().interfaces(vmid)


def load(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    return found


class Scenario:
    """Runs the rows of a file in order and notes what was otherwise than recorded."""

    def __init__(self, lab: ProxmoxEndpoint, session: requests.Session) -> None:
        self.lab, self.session = lab, session
        self.values: dict[str, str] = {"password": lab.secrets["root@pam"]}
        self.login = self.ticket()
        self.values["ticket"] = str(self.login["ticket"])

    def ticket(self) -> Mapping[str, Any]:
        form = {"username": "root@pam", "password": self.values["password"]}
        answer = self.session.post(f"{self.lab.url}/api2/json/access/ticket", data=form)
        found: Mapping[str, Any] = answer.json()["data"]
        return found

    def headers(self, who: str) -> Mapping[str, str]:
        known = self.lab.secrets
        token = "PVEAPIToken={}={}".format
        if who == "root":
            return {
                "Cookie": f"PVEAuthCookie={self.login['ticket']}",
                "CSRFPreventionToken": self.login["CSRFPreventionToken"],
            }
        return {
            "nobody": {},
            "token": {"Authorization": token("root@pam!test", known["root@pam!test"])},
            "privsep token": {
                "Authorization": token("root@pam!limited", known.get("root@pam!limited"))
            },
            "wrong secret": {"Authorization": token("root@pam!test", "x")},
            "unknown token": {"Authorization": token("root@pam!nope", "x")},
            "unknown user": {"Authorization": token("nobody@pam!test", "x")},
            "malformed token": {"Authorization": "PVEAPIToken=root"},
        }[who]

    def fill(self, value: Any) -> Any:
        """Put in what differs from run to run."""
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        if not isinstance(value, str):
            return value
        return re.sub(r"\{([a-z][a-z0-9 ]*)\}", lambda m: self.values.get(m[1], m[0]), value)

    def send(self, row: Row) -> requests.Response:
        method, _, path = row["call"].partition(" ")
        headers = dict(self.headers(row.get("as", "token")))
        if "text" in row:
            headers["Content-Type"] = "application/json"
        return self.session.request(
            method,
            f"{self.lab.url}/api2/json{self.fill(path)}",
            data=row["text"] if "text" in row else self.fill(row.get("form")),
            json=row.get("json"),
            headers=headers,
        )

    def run(self, row: Row) -> Iterator[str]:
        """Make the call of a row; yield what is otherwise than recorded."""
        answer = self.send(row)
        expected = self.fill(row.get("answer", "200 OK"))
        line = re.sub(r"\.tmp\.\d+'", ".tmp.{pid}'", f"{answer.status_code} {answer.reason}")
        if line != expected:
            yield f"answered {line!r}, recorded {expected!r}"
            return
        body = answer.json() if answer.content else {}
        if body.get("errors") != row.get("errors"):
            yield f"errors are {body.get('errors')!r}, recorded {row.get('errors')!r}"
        yield from self.check_form(answer)
        if answer.status_code == 200:
            yield from self.check_data(row, body["data"])

    def check_form(self, answer: requests.Response) -> Iterator[str]:
        """An error has no data but its text again; 401 and 595 have no body at all."""
        if answer.status_code in (401, 595):
            if answer.content:
                yield f"has a body: {answer.text!r}"
        elif answer.status_code != 200 and (
            answer.json()["data"] is not None
            or answer.json()["message"].partition("\n")[0] != answer.reason
        ):
            yield f"has another message than its reason: {answer.text!r}"

    def check_data(self, row: Row, data: Any) -> Iterator[str]:
        if "reads" in row:
            self.values[row["reads"]] = data[row["reads"]]
        if isinstance(data, Mapping) and "net0" in data:
            self.values["mac"] = re.sub(r"virtio=([^,]+).*", r"\1", data["net0"]).lower()
        if "keeps" in row:
            self.values[f"upid {row['keeps']}"] = data
        if "task" in row:
            upid = self.values[f"upid {row['of']}"] if "of" in row else data
            status = re.sub(r"\.tmp\.\d+'", ".tmp.{pid}'", self.wait(upid))
            if status != row["task"]:
                yield f"its task ended {status!r}, recorded {row['task']!r}"
        yield from self.check_parts(row, data)

    def check_parts(self, row: Row, data: Any) -> Iterator[str]:
        wanted = self.fill(row.get("data", data))
        part = {key: data.get(key) for key in wanted} if isinstance(wanted, dict) else data
        if part != wanted:
            yield f"data is {part!r}, recorded {wanted!r}"
        for key in row.get("keys", ()):
            if key not in data:
                yield f"data lacks {key}"
        for key in row.get("lacks", ()):
            if key in data:
                yield f"data has {key}"
        for item in row.get("has", ()):
            if not any(item.items() <= entry.items() for entry in data):
                yield f"data lacks {item}"

    def wait(self, upid: str) -> str:
        node = upid.split(":")[1]
        path = f"{self.lab.url}/api2/json/nodes/{node}/tasks/{upid}/status"
        limit = time.monotonic() + 20
        while time.monotonic() < limit:
            answer = self.session.get(path, headers=self.headers("token")).json()["data"]
            if answer["status"] == "stopped":
                return str(answer["exitstatus"])
            time.sleep(0.01)
        raise AssertionError(f"{upid} never ends")


def prepare(lab: ProxmoxEndpoint, before: Mapping[str, Any]) -> None:
    """Bring the cluster into the state a section was recorded in."""
    if "down" in before:
        lab.endpoint.take_down("pve2", before["down"])
    if "quorum" in before:
        lab.endpoint.set_quorum(quorate=before["quorum"])


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_endpoint_answers_as_recorded(path: Path, proxmox_endpoint: StartEndpoint) -> None:
    cases = load(path)
    slow_clones = {"latency": {"clone": 0.3}}
    lab = proxmox_endpoint(slow_clones, base=cases["platform"], machines=Recorded())
    wrong = []
    with lab.session() as session:
        del session.headers["Authorization"]
        scenario = Scenario(lab, session)
        for section in cases["sections"]:
            prepare(lab, section.get("before", {}))
            for row in section["rows"]:
                if "skip" not in row:
                    name = f"{section['section']}: {row['what']}"
                    wrong += [f"{name}: {problem}" for problem in scenario.run(row)]
    assert not wrong, "\n" + "\n".join(wrong)


def test_the_lab_leaves_few_recorded_rows_out(
    record_property: Callable[[str, object], None],
) -> None:
    rows = [row for path in CASES for s in load(path)["sections"] for row in s["rows"]]
    left_out = [row["skip"] for row in rows if "skip" in row]
    record_property("implemented", f"{len(rows) - len(left_out)} of {len(rows)} recorded rows")
    assert len(rows) == RECORDED
    assert {reason: left_out.count(reason) for reason in left_out} == {
        "commands inside a guest are not in the lab": 3,
        "snapshots are not in the lab": 6,
        "the firewall is not in the lab": 1,
    }
