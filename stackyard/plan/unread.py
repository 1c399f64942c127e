"""What a VM itself remembers while its guest has not read the cloud-init data that was changed.

Proxmox shows new data at once, whatever the guest uses until its restart, and not what was before.
"""

from stackyard.definitions.model import IpConfig
from stackyard.plan.differ import Difference, is_for_guest
from stackyard.plan.observed import (
    MARK,
    RESTART,
    TAG,
    UNCONFIGURED,
    Config,
    as_tags,
    is_system_tag,
    keeping,
    kept_addresses,
)
from stackyard.plan.values import Change, Configure, Value
from stackyard.plan.waves import addresses_of


def remembered(
    difference: Difference, config: Config, reboots: bool, stays: bool
) -> tuple[Change, ...]:
    """Return the changes, and with them what keeps a due restart in the VM until it has happened.

    One of this plan is in a tag. One that is left to the user is a pending mark, which goes by
    itself. Tags say which addresses the guest keeps until then.
    """
    found = config.tags
    wanted = next((c.after for c in difference.changes if c.key == "tags"), found)
    tags = {tag for tag in as_tags(wanted) if tag == TAG or not is_system_tag(tag)}
    tags |= set(found) & {UNCONFIGURED}
    guest = any(is_for_guest(change) for change in difference.changes)
    held = guest and stays and not reboots
    others = [change for change in difference.changes if change.key != "tags"]
    if (reboots and guest) or (stays and RESTART in found) or (held and not _can_mark(config)):
        tags.add(RESTART)
    elif held and MARK not in config.pending:
        before = config.values.get(MARK)
        others.append(Change(MARK, before, False if before is None else None))
    if stays:
        tags |= set(map(keeping, _kept(difference, config)))
    if tags != set(found):
        others.append(Change("tags", found, tuple(sorted(tags))))
    return tuple(others)


def _can_mark(config: Config) -> bool:
    """Tell whether the mark would change nothing."""
    return config.values.get(MARK) is not True


def _kept(difference: Difference, config: Config) -> set[str]:
    """Return the addresses that a guest uses until its restart and that are not given to it."""
    kept = set(kept_addresses(config.tags)) if config.is_unread else set()
    given: dict[str, Value] = {**config.ipconfigs()}
    for change in difference.changes:
        if isinstance(change.before, IpConfig) or isinstance(change.after, IpConfig):
            given[change.key] = change.after
            kept |= set(addresses_of(change.before))
    return kept - {address for value in given.values() for address in addresses_of(value)}


def untag(changes: tuple[Change, ...], config: Config) -> list[Configure]:
    """Return what forgets it all again, once the guest has restarted."""
    tags = as_tags(next((c.after for c in changes if c.key == "tags"), config.tags))
    rest = tuple(sorted(t for t in tags if t != RESTART and not kept_addresses((t,))))
    return [Configure((Change("tags", tags, rest),))] if rest != tags else []
