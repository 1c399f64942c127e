#!/usr/bin/python
"""Documentation of the action `kubeconfig`, which runs on the controller alone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeconfig
short_description: Keep a cluster in the kubeconfig of all clusters
description:
  - Merges a cluster's kubeconfig into the one document of all clusters, or removes it from there.
  - Runs on the controller, with the controller's E(VAULT_ADDR), E(VAULT_TOKEN) and E(VAULT_CACERT).
  - In check mode nothing is written; a diff shows every credential masked.
  - Writes by check-and-set, and only what differs; everything else in the document stays.
options:
  context:
    description: Name of the context.
    type: str
    required: true
  content:
    description: The cluster's kubeconfig. Required where O(state=present).
    type: str
  cluster:
    description: Name of the cluster and of its user; by default that of the context.
    type: str
  server:
    description: Address of the API as the document is to have it, or its host alone.
    type: str
  store:
    description:
      - Where the document is, as V(vault:MOUNT/PATH), V(sops:FILE), V(file:FILE) or
        V(k8s:NAMESPACE/NAME).
    type: str
    default: vault:kv/cluster-secret-store/secrets/KUBECONFIG
  state:
    description: Whether the cluster is to be there.
    type: str
    choices: [present, absent]
    default: present
  force:
    description: Replace a cluster of the same name that has another server.
    type: bool
    default: false
author: [stackyard (@fullstack)]
"""

EXAMPLES = r"""
- name: Publish the cluster's kubeconfig
  fullstack.stackyard.kubeconfig:
    content: "{{ k3s_kubeconfig.content | b64decode }}"
    context: "{{ inventory_hostname }}"
    cluster: "{{ cluster_name }}"
    server: "https://{{ ansible_host }}:6443"
  no_log: true
"""

RETURN = r"""
context:
  description: The context's name.
  returned: always
  type: str
"""

if __name__ == "__main__":
    raise SystemExit("kubeconfig is an action of the controller and does not run on a host")
