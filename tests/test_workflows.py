""".github/workflows: the steps that publish a page and a model, one after another with a few steps of training."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, call, environment

from data import sample_stories

yaml = pytest.importorskip("yaml")
FEW_STEPS = "--n_layer=1 --n_head=1 --n_embd=16 --block_size=32 --batch_size=4 --max_iters=2 --warmup_iters=1"
GH = """#!/bin/sh
echo "$@" >> gh.log
[ "$2" != view ]
"""  # there is no such release yet


def steps_of(workflow):
    """The `run` steps of the only job, without those that install packages."""
    (job,) = yaml.safe_load((ROOT / ".github/workflows" / workflow).read_text(encoding="utf-8"))["jobs"].values()
    return [step["run"] for step in job["steps"] if "run" in step and "pip install" not in step["run"]]


@pytest.fixture
def run_workflow(tmp_path, monkeypatch):
    """run_workflow(name): its steps in an empty folder; a `gh` there writes down what it is called with.

    Our scripts run in this process, as `call` runs them, and all else in the runner's shell.
    """
    few = list(sample_stories.stories(400))  # all of them take ten seconds
    monkeypatch.setattr(sample_stories, "stories", lambda: iter(few))
    (tmp_path / "config").symlink_to(ROOT / "config")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gh").write_text(GH)
    (tmp_path / "bin" / "gh").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    path = os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    for name, value in {"TRAIN_OPTIONS": FEW_STEPS, "TAG": "v1", "GITHUB_SHA": "0123abc", "PATH": path}.items():
        monkeypatch.setenv(name, value)

    def run(command):
        if re.match(r"python \w+\.py ", command):
            _, script, *arguments = shlex.split(os.path.expandvars(command))
            done = call(script, *arguments)
            assert done.status == 0, (command, done.err)
        else:
            subprocess.run(["bash", "-e", "-c", command], env=environment(), check=True)

    def run_steps(workflow):
        for step in steps_of(workflow):
            for command in re.split(r"\n| && ", step.strip()):
                run(command)

    return run_steps


def test_the_page_is_made(run_workflow):
    run_workflow("pages.yml")
    assert os.listdir("site") == ["index.html"]
    assert Path("site/index.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_model_is_attached_to_a_release(run_workflow):
    run_workflow("release.yml")
    view, create, upload = Path("gh.log").read_text().splitlines()
    assert view == "release view v1" and create.startswith("release create v1 --target 0123abc")
    assert upload == "release upload v1 assets/sample.html assets/sample.pt assets/sample_model.zip --clobber"
