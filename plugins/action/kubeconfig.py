"""Publishes a cluster's kubeconfig from the controller: thin, all of it is `stackyard`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from weakref import WeakKeyDictionary

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

# The package beside this file, of the same checkout or collection, and none that is only called so.
if Path(__file__).resolve().parents[2].joinpath("stackyard", "stores").is_dir():
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stackyard.errors import StackyardError
from stackyard.kubeconfig.diff import difference
from stackyard.stores.kubeconfigs import Cluster, keep_cluster, remove_cluster
from stackyard.stores.open import KUBECONFIGS, open_store
from stackyard.stores.protocol import ReadOnly

ARGUMENTS = {
    "context": {"type": "str", "required": True},
    # Not `str`, for which Ansible makes Python's text of a mapping.
    "content": {"type": "raw", "no_log": True},
    "cluster": {"type": "str"},
    "server": {"type": "str"},
    "store": {"type": "str", "default": KUBECONFIGS},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "force": {"type": "bool", "default": False},
}
# A task that is tried again gets a new plugin.
GIVEN = WeakKeyDictionary()


class ActionModule(ActionBase):
    """The action plugin `kubeconfig`."""

    _requires_connection = False
    _supports_check_mode = True

    def __init__(self, task, *args, **kwargs):
        """Keep the arguments to ourselves: callbacks are shown a task's, whatever fails.

        An unknown one may be the kubeconfig under a misspelt name.
        """
        super().__init__(task, *args, **kwargs)
        self._given = GIVEN.setdefault(task, task.args)
        task.args = {k: v for k, v in task.args.items() if k in ARGUMENTS and k != "content"}

    def run(self, tmp=None, task_vars=None):
        """Merge or remove, and tell whether the document had to change.

        Raises:
            AnsibleActionFail: with the sentence that says why it could not be done.
        """
        super().run(tmp, task_vars)
        given = self._checked()
        try:
            store = open_store(given["store"], os.environ)
            if self._task.check_mode:
                store = ReadOnly(store)
            if given["state"] == "absent":
                outcome = remove_cluster(store, given["context"])
            else:
                cluster = Cluster(
                    given["content"],
                    given["context"],
                    given["cluster"],
                    given["server"],
                    given["force"],
                )
                outcome = keep_cluster(store, cluster)
        except StackyardError as error:
            raise AnsibleActionFail(str(error)) from None
        result = {"changed": outcome.changed, "context": given["context"]}
        if self._task.diff:
            # Every credential in it is masked.
            result["diff"] = {"prepared": difference(outcome.before, outcome.after)}
        return result

    def _checked(self):
        """Return the arguments with their defaults, every text a plain one."""
        checked = ArgumentSpecValidator(
            ARGUMENTS, required_if=[("state", "present", ["content"])]
        ).validate(self._given)
        if checked.error_messages:
            raise AnsibleActionFail(f"wrong arguments: {'; '.join(checked.error_messages)}")
        given = checked.validated_parameters
        if isinstance(given["content"], dict | list):
            raise AnsibleActionFail("content is not a text: give the kubeconfig as its file has it")
        if given["content"] is not None:
            given["content"] = str(given["content"])
        # Ansible's tagged strings are no plain ones, and YAML writes plain ones alone.
        return {k: str.__str__(v) if isinstance(v, str) else v for k, v in given.items()}
