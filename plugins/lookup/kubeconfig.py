"""Gives one cluster's kubeconfig to a play: thin, all of it is `stackyard`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

# The package beside this file, of the same checkout or collection, and none that is only called so.
if Path(__file__).resolve().parents[2].joinpath("stackyard", "stores").is_dir():
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stackyard.errors import StackyardError
from stackyard.kubeconfig import dump, select
from stackyard.stores.kubeconfigs import read_clusters
from stackyard.stores.open import open_store

DOCUMENTATION = r"""
name: kubeconfig
author: stackyard (@fullstack)
short_description: A cluster's kubeconfig from the one of all clusters
description:
  - Returns the kubeconfig of each context that is named, with that context alone, as text.
  - It holds credentials, so a task that uses it needs C(no_log).
options:
  _terms:
    description: Names of contexts.
    required: true
  store:
    description: Where the kubeconfig of all clusters is.
    type: str
    default: vault:kv/cluster-secret-store/secrets/KUBECONFIG
"""

EXAMPLES = r"""
- name: Write the kubeconfig of a cluster
  ansible.builtin.copy:
    content: "{{ lookup('fullstack.stackyard.kubeconfig', 'k8s-tools') }}"
    dest: /root/.kube/config
    mode: "0600"
  no_log: true
"""

RETURN = r"""
_raw:
  description: A kubeconfig for each name.
  type: list
  elements: str
"""


class LookupModule(LookupBase):
    """The lookup plugin `kubeconfig`."""

    def run(self, terms, variables=None, **kwargs):
        """Read the store once and return a kubeconfig for each name.

        Raises:
            AnsibleError: with the sentence that says why it could not be done.
        """
        self.set_options(var_options=variables, direct=kwargs)
        try:
            document = read_clusters(open_store(str(self.get_option("store")), os.environ))
            return [dump(select(document, str(name))) for name in terms]
        except StackyardError as error:
            raise AnsibleError(str(error)) from None
