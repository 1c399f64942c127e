"""Kubeconfigs as values: one document of many clusters, merged and taken apart. Pure.

Errors never quote a document: every kubeconfig holds credentials.
"""

from stackyard.kubeconfig.document import Kubeconfig, KubeconfigError, dump, parse
from stackyard.kubeconfig.merge import (
    Incoming,
    Names,
    every_context,
    merge_all,
    remove,
    select,
    use,
)

__all__ = [
    "Incoming",
    "Kubeconfig",
    "KubeconfigError",
    "Names",
    "dump",
    "every_context",
    "merge_all",
    "parse",
    "remove",
    "select",
    "use",
]
