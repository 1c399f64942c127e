"""The desired inventory: hosts, groups and variables from definitions, pure and offline.

One model for three readers: Ansible's plugin, Nornir's plugin and the commands. What is observed
(power, leased addresses) is not here.
"""

from stackyard.inventory.build import build_inventory
from stackyard.inventory.model import ClashError, Group, Host, Inventory, InventoryError

__all__ = ["ClashError", "Group", "Host", "Inventory", "InventoryError", "build_inventory"]
