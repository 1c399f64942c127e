"""Nornir's plugins: the inventory, the connection to Proxmox, and who listens to tasks."""
