"""Gives plays a secret of the site's encrypted files: thin, all of it is `stackyard`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

# The package beside this file, of the same checkout or collection, and none that is only called so.
if Path(__file__).resolve().parents[2].joinpath("stackyard", "stores").is_dir():
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stackyard.errors import StackyardError
from stackyard.stores.secretfiles import file_of, read_secret, read_value

DOCUMENTATION = r"""
name: secret
author: [stackyard (@fullstack)]
short_description: A secret of the site's files, decrypted by SOPS in memory
description:
  - Decrypts C(secrets/NAME.yaml) of the site with C(sops) on the controller; nothing is written.
  - The key comes from the environment, as E(SOPS_AGE_KEY_FILE).
  - Use it in tasks with C(no_log), and in templates of mode C(0600).
options:
  _terms:
    description: Names as V(common/cluster-secret-store/secrets/GRAFANA), or paths of files.
    required: true
  key:
    description: Only this key's value; without it a mapping of all keys.
    type: str
  site:
    description: The folder that has C(secrets/).
    type: path
    default: .
"""

EXAMPLES = r"""
- name: Set the password
  ansible.builtin.uri:
    url: https://grafana.example/api/user/password
    method: PUT
    body_format: json
    body: {newPassword: "{{ lookup('fullstack.stackyard.secret', name, key='PASSWORD') }}"}
  vars:
    name: common/cluster-secret-store/secrets/GRAFANA
  no_log: true
"""

RETURN = r"""
_raw:
  description: For each term the value of the key, or a mapping of all keys to their values.
  type: list
"""


class LookupModule(LookupBase):
    """The lookup plugin `secret`."""

    def run(self, terms, variables=None, **kwargs):
        """Return the secrets.

        Raises:
            AnsibleLookupError: with the sentence that says why one could not be read.
        """
        self.set_options(var_options=variables, direct=kwargs)
        site, key = Path(self.get_option("site")), self.get_option("key")
        try:
            return [_secret(file_of(site, str.__str__(str(term))), key) for term in terms]
        except StackyardError as error:
            raise AnsibleLookupError(str(error)) from None


def _secret(file, key):
    if key is None:
        return read_secret(file, os.environ)
    return read_value(file, key, os.environ)
