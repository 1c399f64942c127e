"""Settings: what is accepted, and one clear sentence for all that is not."""

from pathlib import Path

import pytest

from stackyard.proxmox.errors import SettingsError
from stackyard.proxmox.settings import Settings

GOOD = {
    "PROXMOX_URL": "https://node01:8006",
    "PROXMOX_USER": "root@pam",
    "PROXMOX_TOKEN_ID": "stackyard",
    "PROXMOX_TOKEN_SECRET": "hush-hush",
}
NO_TOKEN = {"PROXMOX_TOKEN_ID": "", "PROXMOX_TOKEN_SECRET": ""}


def test_a_token_by_its_name() -> None:
    settings = Settings.from_environment(GOOD)
    assert (settings.url, settings.user, settings.token_id) == (
        "https://node01:8006",
        "root@pam",
        "stackyard",
    )
    assert "hush" not in repr(settings)


def test_a_token_by_its_full_name_names_the_user() -> None:
    environ = {**GOOD, "PROXMOX_TOKEN_ID": "ci@pve!run", "PROXMOX_USER": ""}
    settings = Settings.from_environment(environ)
    assert (settings.user, settings.token_id) == ("ci@pve", "run")


def test_a_password_instead_of_a_token() -> None:
    environ = {"PROXMOX_URL": "node01", "PROXMOX_USER": "root@pam", "PROXMOX_PASSWORD": "hush"}
    settings = Settings.from_environment(environ)
    assert settings.url == "https://node01:8006"
    assert settings.password == "hush"
    assert "hush" not in repr(settings)


def test_a_fingerprint_in_the_form_browsers_show() -> None:
    environ = {**GOOD, "PROXMOX_FINGERPRINT": ":".join(["AB"] * 32)}
    assert Settings.from_environment(environ).fingerprint == "ab" * 32


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"PROXMOX_URL": ""}, "PROXMOX_URL is not set"),
        ({"PROXMOX_URL": "http://node01"}, "must be an https address"),
        ({"PROXMOX_URL": "https://root:pw@node01"}, "without credentials"),
        ({"PROXMOX_URL": "https://node01:99999"}, "port"),
        ({"PROXMOX_URL": "https://node 01:8006"}, "must be an https address"),
        ({"PROXMOX_URL": "https://[::1:8006"}, "must be an https address"),
        ({"PROXMOX_URL": "https://[fe80::1%eth0]:8006"}, "must be an https address"),
        ({"PROXMOX_URL": "https://node01..lan:8006"}, "must be an https address"),
        ({"PROXMOX_URL": f"https://{'ä' * 60}"}, "must be an https address"),
        ({"PROXMOX_USER": ""}, "PROXMOX_USER is not set"),
        ({"PROXMOX_USER": "root"}, "without a realm"),
        ({"PROXMOX_TOKEN_ID": "other@pam!x"}, "belongs to other@pam"),
        ({"PROXMOX_TOKEN_ID": "stack\nyard"}, "PROXMOX_TOKEN_ID has characters that HTTP"),
        ({"PROXMOX_TOKEN_SECRET": "hush\nhush"}, "PROXMOX_TOKEN_SECRET has characters that HTTP"),
        ({"PROXMOX_TOKEN_SECRET": "h\N{LATIN SMALL LETTER A WITH DIAERESIS}sh"}, "that HTTP"),
        ({"PROXMOX_USER": "j\udcf6rg@pve"}, "PROXMOX_USER has characters that HTTP"),
        (
            {**NO_TOKEN, "PROXMOX_USER": "j\udcf6rg@pve", "PROXMOX_PASSWORD": "x"},
            "PROXMOX_USER is not UTF-8 text",
        ),
        ({**NO_TOKEN, "PROXMOX_PASSWORD": "h\udce4sh"}, "PROXMOX_PASSWORD is not UTF-8 text"),
        ({"PROXMOX_TOKEN_ID": ""}, "without PROXMOX_TOKEN_ID"),
        ({"PROXMOX_TOKEN_SECRET": ""}, "without PROXMOX_TOKEN_SECRET"),
        ({"PROXMOX_PASSWORD": "x"}, "are both set"),
        ({"PROXMOX_TOKEN_ID": "", "PROXMOX_TOKEN_SECRET": ""}, "no credentials"),
        ({"PROXMOX_CA": "/nowhere/ca.pem"}, "is not a file"),
        ({"PROXMOX_CA": "/" + "n" * 300}, "which cannot be read: File name too long"),
        ({"PROXMOX_CA": "~nobody-at-all/ca.pem"}, "which cannot be read: Could not determine home"),
        ({"PROXMOX_CA": __file__, "PROXMOX_FINGERPRINT": "ab" * 32}, "are both set"),
        ({"PROXMOX_FINGERPRINT": "ab" * 20}, "64 hex digits"),
        ({"PROXMOX_CLONES": "0"}, "PROXMOX_CLONES is 0, not a whole number"),
        ({"PROXMOX_CLONES": "many"}, "PROXMOX_CLONES is many, not a whole number"),
    ],
)
def test_each_mistake_is_one_sentence(change: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence) as caught:
        Settings.from_environment({**GOOD, **change})
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://node01.lan.", "https://node01.lan.:8006"),
        ("pve_1:443/api2/json", "https://pve_1:443"),
        ("https://192.168.1.2/", "https://192.168.1.2:8006"),
        ("https://[fd00::2]:8006", "https://[fd00::2]:8006"),
    ],
)
def test_an_address_in_any_usual_form(given: str, url: str) -> None:
    assert Settings.from_environment({**GOOD, "PROXMOX_URL": given}).url == url


def test_a_ca_is_a_path() -> None:
    assert Settings.from_environment({**GOOD, "PROXMOX_CA": __file__}).ca == Path(__file__)


def test_clones_at_a_time() -> None:
    assert Settings.from_environment(GOOD).clones == 4
    assert Settings.from_environment({**GOOD, "PROXMOX_CLONES": "20"}).clones == 20
