"""docs/colab.ipynb: its cells run from nothing to a story, and again to resume."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, environment, log_of

nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOK = ROOT / "docs" / "colab.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
STEPS = "--n_layer=1 --n_head=1 --n_embd=16 --block_size=32 --batch_size=4 --warmup_iters=1 --eval_interval=2"


def test_a_sentence_before_each_cell_of_a_few_lines():
    for before, cell in itertools.pairwise(CELLS):
        if cell["cell_type"] == "code":
            assert before["cell_type"] == "markdown" and "".join(before["source"]).endswith(".")
            assert len([line for line in cell["source"] if line.strip()]) <= 6
            assert not cell["outputs"] and cell["execution_count"] is None


@pytest.fixture
def address(repository, tmp_path):
    """The address of a git repository with these files."""
    folder = tmp_path / "repository"
    shutil.copytree(repository, folder)
    for command in ("init -q", "add -A", "-c user.name=a -c user.email=a@b.c commit -q -m all"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    return str(folder)


def execute(folder, last=None, **settings):
    """Run the cells, to the one that has `last` in it, with these settings: (what they print, their other results)."""
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    if last:
        notebook.cells = notebook.cells[: 1 + next(i for i, cell in enumerate(notebook.cells) if last in cell.source)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    client = nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": folder}})
    client.execute(env=environment(PATH=path, **settings))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    return printed, [output["data"] for output in outputs if output["output_type"] == "execute_result"]


def test_the_cells_lead_to_a_story_and_resume(tmp_path, address):
    settings = {
        "REPOSITORY": address,
        "FOLDER": str(tmp_path / "code"),
        "RUN": str(tmp_path / "drive" / "a run"),
        "PREPARE": "--dataset sample --max_stories 400 --vocab_size 512 --name tiny",
        "PIP_NO_DEPS": "1",  # the packages are here, and pip looks through theirs for seconds
    }
    recipe = f"config/sample.py --dataset=tiny {STEPS}"
    printed, (curve, page) = execute(tmp_path, **settings, TRAIN=f"{recipe} --max_iters=2")
    assert "prepared in" in printed and "done: best validation" in printed
    assert printed.count("Once upon a time, there was a little dragon") == 1
    assert "image/png" in curve
    page = page["text/html"]
    assert page.startswith("<iframe srcdoc=") and "&lt;script" in page and "<script" not in page
    assert [row["step"] for row in log_of(settings["RUN"]) if row["val_loss"]][-1] == "2"

    # Colab took the machine away, and the cells run again
    printed, _ = execute(tmp_path, "train.py", **settings, TRAIN=f"{recipe} --max_iters=4")
    assert "already prepared" in printed and "resum" in printed
    assert [row["step"] for row in log_of(settings["RUN"]) if row["val_loss"]][-1] == "4"
