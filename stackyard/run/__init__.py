"""A commit carried out: its VMs applied, waited for, and configured by Ansible."""
