"""Messages of real commits, hostile ones too, come back as they are and run nothing."""

import subprocess
from pathlib import Path

import pytest

from stackyard.run.errors import GitError
from stackyard.run.git import read_commit

HOSTILE = """feat: add `touch pwned` [ansible k8s-home]

$(touch pwned); "; touch pwned; ' && touch pwned | touch pwned
[ansible ; touch pwned] ${IFS}\ttouch pwned \\
ünïcödé %s %n --format=%H"""


def git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=T", "-c", "user.email=t@example.invalid")
    command = ["git", *settings, "-c", "commit.gpgsign=false", *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", HOSTILE)
    return tmp_path


def test_a_hostile_message_is_text(repository: Path) -> None:
    commit = read_commit(repository, "HEAD")
    assert commit.message == HOSTILE
    assert commit.id == git(repository, "rev-parse", "HEAD")
    assert [path.name for path in repository.iterdir()] == [".git"]


def test_any_revision_of_a_commit_will_do(repository: Path) -> None:
    assert read_commit(repository, "main~1").message == "first"
    assert read_commit(repository, git(repository, "rev-parse", "HEAD~1")).message == "first"


def test_a_signature_is_not_part_of_the_message(repository: Path) -> None:
    git(repository, "config", "log.showSignature", "true")
    assert read_commit(repository, "HEAD~1").message == "first"


@pytest.mark.parametrize(
    "revision", ["--output=pwned", "-1", "", "HEAD\x1b[2J", "HEAD\nHEAD", "no-such", "HEAD^{tree}"]
)
def test_a_bad_revision_is_refused_in_a_sentence(repository: Path, revision: str) -> None:
    with pytest.raises(GitError) as caught:
        read_commit(repository, revision)
    assert str(caught.value).isprintable()
    assert [path.name for path in repository.iterdir()] == [".git"]


def test_an_unknown_commit_is_called_so(repository: Path) -> None:
    with pytest.raises(GitError, match=r"there is no commit no-such$"):
        read_commit(repository, "no-such")


def test_a_repository_of_somebody_else_is_told_with_what_mends_it(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own, for its own tests
    with pytest.raises(GitError, match=r"detected dubious ownership .*safe\.directory [^?]*$"):
        read_commit(repository, "HEAD")


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(GitError, match="not a git repository"):
        read_commit(tmp_path, "HEAD")
    with pytest.raises(GitError, match="is no folder"):
        read_commit(tmp_path / "missing", "HEAD")
