"""The address of a cluster's API: always parsed, never cut out of a text."""

from urllib.parse import SplitResult, urlsplit

from stackyard.kubeconfig.document import KubeconfigError

PORTS = {"https": 443, "http": 80}


def check_server(server: object, cluster: str) -> str:
    """Return a server's address if it is one.

    Raises:
        KubeconfigError: it is not http or https, or has no host or a port that cannot be.
    """
    if isinstance(server, str) and _split(server) is not None:
        return server
    raise KubeconfigError(f"the server of the cluster {cluster} is not an address as https://host")


def rewrite_server(server: str, wanted: str, cluster: str) -> str:
    """Return the address with another host: `HOST`, `HOST:PORT`, or a whole address.

    With a host alone the scheme, the port and the path stay.

    Raises:
        KubeconfigError: one of the two is no address.
    """
    if "://" in wanted:
        return check_server(wanted, cluster)
    old, new = _split(check_server(server, cluster)), _split(f"https://{wanted}")
    if old is None or new is None or (new.netloc, new.username) != (wanted, None):
        raise KubeconfigError(f"{wanted} is neither HOST, HOST:PORT nor an address as https://host")
    port = new.port or old.port
    host = f"[{new.hostname}]" if ":" in (new.hostname or "") else new.hostname
    return old._replace(netloc=f"{host}:{port}" if port else f"{host}").geturl()


def same_server(one: object, other: object) -> bool:
    """Tell whether two addresses lead to the same API, however they are written."""
    return one == other or (_place(one) is not None and _place(one) == _place(other))


def shown(server: object) -> str:
    """Return an address without a name or a password in it, for a sentence or a table."""
    part = _split(server) if isinstance(server, str) else None
    if part is None:
        return "" if server is None else "(not an address)"
    return part._replace(netloc=part.netloc.rpartition("@")[2], query="").geturl()


def _split(address: str) -> SplitResult | None:
    try:
        part = urlsplit(address)
        # urlsplit drops line ends and lets spaces be part of a host's name.
        clean = address.isprintable() and " " not in address
        usable = clean and part.scheme in PORTS and part.hostname and part.port != 0
    except ValueError:
        return None
    return part if usable else None


def _place(address: object) -> tuple[str, str | None, int, str] | None:
    part = _split(address) if isinstance(address, str) else None
    if part is None:
        return None
    return part.scheme, part.hostname, part.port or PORTS[part.scheme], part.path.rstrip("/")
