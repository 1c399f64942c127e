"""Kubeconfigs as values: one document of many clusters, merged and taken apart. Pure.

Errors never quote a document: every kubeconfig holds credentials.
"""

from stackyard.kubeconfig.document import Kubeconfig, KubeconfigError, dump, parse
from stackyard.kubeconfig.merge import Names, merge, remove, select

__all__ = ["Kubeconfig", "KubeconfigError", "Names", "dump", "merge", "parse", "remove", "select"]
