"""The variables that point the product, kubectl and vault clients at a lab."""

from dataclasses import dataclass

from stackyard.lab.errors import LabError
from stackyard.lab.folder import Folder
from stackyard.lab.platform import Platform
from stackyard.lab.settings import Services


@dataclass(frozen=True, slots=True)
class Access:
    """What opens a lab's doors."""

    user: str
    token: str
    token_secret: str
    vault_token: str
    public_key: str


def variables(folder: Folder, services: Services, access: Access) -> dict[str, str]:
    """Return the variables by name; secrets are among them."""
    return {
        "PROXMOX_URL": services.proxmox,
        "PROXMOX_USER": access.user,
        "PROXMOX_TOKEN_ID": access.token,
        "PROXMOX_TOKEN_SECRET": access.token_secret,
        "PROXMOX_CA": str(folder.authority),
        "VAULT_ADDR": services.vault,
        "VAULT_TOKEN": access.vault_token,
        "VAULT_CACERT": str(folder.authority),
        "K3S_DOWNLOAD_URL": f"{services.mirror}/k3s",
        "STACKYARD_SSHKEYS": access.public_key,
        "ANSIBLE_PRIVATE_KEY_FILE": str(folder.ssh_key),
        "STACKYARD_KNOWN_HOSTS": str(folder.known_hosts),
        "STACKYARD_AUDIT": str(folder.audit),
        # What these would leave in the user's home. And every lab has the same addresses: what ssh
        # keeps open and what kubectl remembers of a server is of one lab alone.
        "ANSIBLE_HOME": str(folder.ansible),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder.sockets),
        "KUBECACHEDIR": str(folder.kubectl),
    }


def administrator(platform: Platform) -> tuple[str, str]:
    """Return the first user that may do everything and its first token that may as well."""
    for user in platform.users.values():
        for token in user.tokens:
            if user.admin and not token.privsep:
                return user.name, token.name
    raise LabError("the platform has no administrator with a token without privilege separation")
