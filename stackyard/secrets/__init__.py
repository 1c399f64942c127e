"""Secrets as values: encrypted files checked, their names, and what Vault should have. Pure.

Errors and findings name files, lines and keys, and never quote a value.
"""
