"""The Proxmox VE API endpoint of the lab: HTTPS, tokens and tickets, tasks, locks, digests.

It answers as a real server was seen to answer (pve-manager 9.2), errors included: status, reason
phrase, message and error texts are the recorded ones, and it refuses what the real one refuses.

`server` holds the web server, `calls` the table of paths; `parameters` and `formats` check what
came in; `cluster` is the state; the other modules hold one family of calls each.
"""
