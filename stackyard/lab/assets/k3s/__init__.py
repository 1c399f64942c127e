"""A stand-in for K3s: its files, flags, tokens and refusals, and a small Kubernetes API over TLS.

It runs no containers. Standard library and the `openssl` command only, so that it works on a
machine that has Python 3.11 and nothing else. NOTES.md says what it honours and what it leaves out.
"""
