"""The embedded platform: a small Proxmox cluster, its machines, Vault and a mirror, on one host.

The lab is for trying, tests and benchmarks. Nothing in the product knows whether it talks to a
lab, and the lab shares no code with the product: a wrong idea about Proxmox cannot agree with
itself. `platform` reads what the lab plays, `api` answers as the Proxmox VE API does, `machine`
is the seam to the machines behind it.
"""
