"""Who calls: API tokens, tickets and passwords, and what they may do."""

import base64
import hashlib
import hmac
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from stackyard.lab.api.devices import words
from stackyard.lab.api.faults import UNAUTHORIZED, ApiError
from stackyard.lab.platform import Platform

ROOT = "root@pam"
_TICKET_SECONDS = 7200
_TOKEN = re.compile(r"PVEAPIToken=(?P<id>[^\s!@]+@[^\s!]+![^\s=:]+)[=:](?P<secret>\S+)")
_COOKIE = re.compile(r"PVEAuthCookie=([^;\s]+)")
PRIVILEGES = words(
    "Datastore.Allocate Datastore.AllocateSpace Datastore.AllocateTemplate "
    "Datastore.Audit Group.Allocate Mapping.Audit Mapping.Modify Mapping.Use "
    "Permissions.Modify Pool.Allocate Pool.Audit Realm.Allocate Realm.AllocateUser "
    "SDN.Allocate SDN.Audit SDN.Use Sys.AccessNetwork Sys.Audit Sys.Console Sys.Incoming "
    "Sys.Modify Sys.PowerMgmt Sys.Syslog User.Modify VM.Allocate VM.Audit VM.Backup "
    "VM.Clone VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit VM.Config.Disk "
    "VM.Config.HWType VM.Config.Memory VM.Config.Network VM.Config.Options VM.Console "
    "VM.GuestAgent.Audit VM.GuestAgent.FileRead VM.GuestAgent.FileSystemMgmt "
    "VM.GuestAgent.FileWrite VM.GuestAgent.Unrestricted VM.Migrate VM.PowerMgmt "
    "VM.Replicate VM.Snapshot VM.Snapshot.Rollback"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request comes from; `user` has the token's name in it where one was used."""

    user: str
    allowed: bool

    @property
    def root(self) -> bool:
        """Whether this is root itself: its tokens are not."""
        return self.user == ROOT


class Authority:
    """Checks credentials against the platform's users and tokens and their secrets."""

    def __init__(self, platform: Platform, secrets: Mapping[str, str]) -> None:
        self._users = platform.users
        self._secrets = secrets  # by `user@realm` and `user@realm!token`
        self._key = os.urandom(32)
        self._seen: dict[str, Identity] = {}
        self._known: dict[str, bool] = {}  # token → may it do anything
        for user in platform.users.values():
            for token in user.tokens:
                self._known[f"{user.name}!{token.name}"] = user.admin and not token.privsep

    def identify(self, headers: Mapping[str, str], *, write: bool) -> Identity:
        """Return who sends a request with these headers.

        Raises:
            ApiError: 401 without a body.
        """
        token = headers.get("Authorization", "")
        if token.startswith("PVEAPIToken"):
            return self._seen.get(token) or self._by_token(token)
        ticket = _COOKIE.search(headers.get("Cookie", ""))
        if not ticket:
            raise refused("No ticket")
        user = self._ticket_user(unquote(ticket[1]))
        if user is None:
            raise refused("permission denied - invalid PVE ticket")
        if write and not self._csrf_holds(user, headers.get("CSRFPreventionToken", "")):
            raise refused("Permission denied - invalid csrf token")
        return Identity(user, self._users[user].admin)

    def _by_token(self, header: str) -> Identity:
        match = _TOKEN.fullmatch(header)
        if not match or match["id"] not in self._known:
            raise refused("Authentication failed!")
        if not self._secret_holds(match["id"], match["secret"]):
            raise refused("Authentication failed!")
        identity = Identity(match["id"], self._known[match["id"]])
        self._seen[header] = identity
        return identity

    def _secret_holds(self, name: str, given: str) -> bool:
        secret = self._secrets.get(name)
        return secret is not None and hmac.compare_digest(secret.encode(), given.encode())

    def login(self, username: str, password: str) -> Mapping[str, object]:
        """Return a ticket for a password, or for a ticket that still holds.

        Raises:
            ApiError: 401 without a body.
        """
        if username not in self._users or not (
            self._secret_holds(username, password) or self._ticket_user(password) == username
        ):
            raise refused("authentication failure")
        stamp = f"{int(time.time()):08X}"
        return {
            "username": username,
            "ticket": f"PVE:{username}:{stamp}::{self._sign(f'{username}:{stamp}')}",
            "CSRFPreventionToken": f"{stamp}:{self._sign(f'csrf:{username}:{stamp}')}",
            "cap": {},
        }

    def _sign(self, text: str) -> str:
        return base64.b64encode(hmac.digest(self._key, text.encode(), hashlib.sha256)).decode()

    def _ticket_user(self, ticket: str) -> str | None:
        match = re.fullmatch(r"PVE:([^:]+):([0-9A-F]{8})::(\S+)", ticket)
        if not match or match[1] not in self._users or not _fresh(match[2]):
            return None
        expected = self._sign(f"{match[1]}:{match[2]}")
        return match[1] if hmac.compare_digest(expected, match[3]) else None

    def _csrf_holds(self, user: str, token: str) -> bool:
        stamp, _, signature = token.partition(":")
        expected = self._sign(f"csrf:{user}:{stamp}")
        return _fresh(stamp) and hmac.compare_digest(expected, signature)


def _fresh(stamp: str) -> bool:
    if not re.fullmatch(r"[0-9A-F]{8}", stamp):
        return False
    return 0 <= time.time() - int(stamp, 16) + 1 < _TICKET_SECONDS


def refused(reason: str) -> ApiError:
    """Return the 401: a reason, and no body."""
    return ApiError(reason, UNAUTHORIZED)
