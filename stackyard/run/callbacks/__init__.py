"""Ansible callback plugins, found by path and not imported by the package."""
