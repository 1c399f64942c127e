"""The message of a commit, read by git as an argument list; its text stays a value."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stackyard.run.errors import GitError

_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: its full id and its message."""

    id: str
    message: str

    @property
    def short(self) -> str:
        """The id as people write it."""
        return self.id[:12]


def read_commit(site: Path, revision: str) -> Commit:
    """Read the commit that a revision names in the site's repository.

    Raises:
        GitError: there is no git, no repository or no such commit.
    """
    if not revision or revision.startswith("-") or not revision.isprintable():
        raise GitError(f"{revision!a} is no revision: name a commit, a branch or a tag")
    named = ("--end-of-options", f"{revision}^{{commit}}")
    unknown = f"there is no commit {revision}"
    commit = _git(site, "rev-parse", "--verify", "--quiet", *named, silent=unknown).strip()
    message = _git(
        site, "log", "-1", "--no-show-signature", "--encoding=UTF-8", "--format=%B", commit, "--"
    )
    return Commit(commit, message.strip("\n"))


def _git(site: Path, *arguments: str, silent: str = "") -> str:
    """Return what git prints; `silent` is meant where it fails with 1 and says nothing."""
    git = shutil.which("git")
    if git is None:
        raise GitError("git is not installed: install it, for a commit is read with it")
    if not site.is_dir():
        raise GitError(f"{site} is no folder: name the site with --site")
    try:
        done = subprocess.run(
            [git, "--no-pager", *arguments],
            cwd=site,
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git did not answer in {_SECONDS:.0f} s in {site}") from error
    if done.returncode:
        meant = silent if done.returncode == 1 and silent else f"exit code {done.returncode}"
        # What is fatal may take several lines, the last of which says how to mend it.
        reason = done.stderr.decode(errors="replace").rpartition("fatal: ")[2]
        raise GitError(f"git in {site.resolve()}: {_plain(' '.join(reason.split())) or meant}")
    return done.stdout.decode(errors="replace")


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
