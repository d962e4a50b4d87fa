"""What a small model learns, when, and at which size: train sizes from 1 M to 30 M parameters, and ask each for sense.

    python -m experiments.sense_study --corpus tinystories_8k --recipe config/small_corpus.py --steps 4000
    python -m experiments.sense_study --corpus tinystories_8k --recipe config/small_corpus.py --seconds 60
    python -m experiments.sense_study --draw tinystories_8k                     only the two pictures again

--steps gives every size the same tokens. --seconds gives every size the same time of training: its steps follow from
its speed in the run of equal tokens, which therefore comes first. Runs go side by side, one a GPU. Each keeps
--points checkpoints, which are then asked; a row of the table is one of them, with the share of each sense, and with
the bits per byte of the stories that it was asked in.

--minutes stops after so long; the same command goes on from there: a finished run is in the table, and an unfinished
one resumes. The run folders are under --out_dir, the table is --table. --stories asks in the stories of another corpus:
real ones, for models of generated ones.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch

from evaluate import validation_loss
from experiments.cells import COUNT, LOSS, NAME, PRODUCED_BY, SEED, SHARE, TEXT, Cell
from experiments.sense_pictures import SIZES, draw
from experiments.tables import add, options_of, produced_by, read_table, split_arguments
from slm import devices
from slm.config import merge_config
from slm.config_parser import command_line_layers, read_config_file
from slm.errors import UserError, counted, run_script, wait_for
from slm.evaluation.likelihood import ModelScorer, NgramScorer
from slm.evaluation.report import left_out_lines
from slm.evaluation.sense import SENSE_NAMES, make_questions, measure
from slm.evaluation.sense import story_texts as read_texts
from slm.files import ROOT
from slm.models.load import load_model
from slm.options import OptionParser, whole_numbers
from slm.text import tokenizer
from slm.text.corpus import Corpus
from slm.training.log import read_log
from slm.training.run_folder import read_description

TABLE = ROOT / "experiments" / "sense.csv"
KEY = ["corpus", "budget", "size", "seed"]  # of a run


def of_a_run(cell):
    """What each row has but for those of the unigram and the bigram."""
    return cell.needed_where(lambda row: row["budget"] != "counts")


FIELDS = {"corpus": NAME, "budget": NAME, "size": NAME, "seed": of_a_run(SEED), "stories": TEXT}
FIELDS |= dict.fromkeys(("parameters", "step", "tokens"), of_a_run(COUNT))
FIELDS |= {"seconds": of_a_run(Cell(float, {"above": 0})), "val_loss": of_a_run(LOSS), "val_bpb": of_a_run(LOSS)}
FIELDS |= {"stories_bpb": LOSS.or_empty(), **dict.fromkeys(SENSE_NAMES, SHARE.or_empty()), "options": TEXT}
FIELDS |= PRODUCED_BY
POLL = 0.05  # seconds between two looks for a new checkpoint
GRACE = 30  # seconds that a stopped run gets to write its checkpoint
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # how train.py ends after it


# -- one run ----------------------------------------------------------------------------------------------------------


class Run:
    """A size on a corpus with a budget ("tokens" or "seconds") and a seed; `folder` holds its checkpoints."""

    def __init__(self, options, budget, size, seed):
        self.options, self.budget, self.size, self.seed = options, budget, size, seed
        self.folder = Path(options.out_dir) / options.corpus / f"{budget}-{size}-{seed}"

    def key(self):
        return self.options.corpus, self.budget, self.size, str(self.seed)

    def steps(self, rows):
        """The steps of the budget; rows: of the table. Raises UserError where the run they follow from is missing."""
        if self.budget == "tokens":
            return self.options.steps
        before = [
            row for row in rows if (row["corpus"], row["budget"], row["size"]) == (self.key()[0], "tokens", self.size)
        ]
        if not before:
            raise UserError(f"the table has no run of equal tokens of {self.size}: give --steps first")
        return max(10, round(self.options.seconds * int(before[-1]["step"]) / float(before[-1]["seconds"])))

    def command(self, steps):
        shape = dict(zip(("n_layer", "n_head", "n_embd"), SIZES[self.size], strict=True))
        return [
            sys.executable,
            str(ROOT / "train.py"),
            self.options.recipe,
            f"--dataset={self.options.corpus}",
            *(f"--{name}={value}" for name, value in shape.items()),
            f"--max_iters={steps}",
            f"--eval_interval={max(1, steps // self.options.points)}",
            f"--seed={self.seed}",
            f"--out_dir={self.folder}",
            "--sample_prompt=",
            *split_arguments(self.options.train),
            *(["--init_from=resume"] if (self.folder / "last.pt").exists() else []),
        ]

    def keep_point(self):
        """Link the newest last.pt under a second name: train.py replaces the file and never changes it."""
        last, points = self.folder / "last.pt", self.folder / "points"
        try:
            point = points / f"{last.stat().st_mtime_ns}.pt"
            if not point.exists():
                points.mkdir(exist_ok=True)
                os.link(last, point)
        except (FileNotFoundError, FileExistsError):
            pass  # none yet, or replaced at this moment

    def train(self, steps, environment, is_over):
        """Whether the run is complete; once `is_over()` it stops and keeps what an exact resume needs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "train.log", "a", encoding="utf-8") as log:
            process = subprocess.Popen(self.command(steps), env=environment, stdout=log, stderr=log)
        while process.poll() is None and not is_over():
            self.keep_point()
            time.sleep(POLL)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.keep_point()
        rows = read_log(self.folder / "log.csv")
        if process.returncode > 0 and process.returncode not in STOPPED:
            tail = (self.folder / "train.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise UserError(f"{self.folder}: train.py failed: {''.join(tail)}")
        return bool(rows) and int(rows[-1]["step"]) >= steps


def open_stories(name):
    """(Corpus, its validation stories as texts) of data/NAME."""
    corpus = Corpus(Path("data") / name)
    return corpus, read_texts(corpus, tokenizer.from_text(corpus.tokenizer_text))


def evaluate_points(folder, stories):
    """The rows of a run: each kept checkpoint asked, in the order of its steps."""
    device, questions, rows = devices.pick_device("auto"), None, {}
    dtype, (corpus, texts) = devices.pick_dtype("auto", device), open_stories(stories)
    logged, described = {int(row["step"]): row for row in read_log(folder / "log.csv")}, read_description(folder)
    if "options" not in described:
        raise UserError(f"{folder} is no folder of a run: it has no config.json, or a damaged one")
    for path in sorted((folder / "points").glob("*.pt")):
        loaded = load_model(path, device)
        model, encoding = loaded.model, loaded.encoding
        questions = questions or make_questions(encoding, texts, model.config.block_size)
        log = logged.get(loaded.step)
        if not log or not log.get("val_loss"):  # a stopped run's last.pt lies between two validations
            continue
        shares = measure(ModelScorer(model, encoding.eot_token), questions)
        score, _ = validation_loss(loaded, corpus, texts, device, dtype)
        rows[loaded.step] = {
            "stories": stories,
            "parameters": model.num_params(),
            **{name: log[name] for name in ("step", "tokens", "seconds", "val_loss", "val_bpb")},
            "stories_bpb": f"{score.bpb:.7g}",
            **{name: f"{share.share:.4g}" for name, share in shares.items()},
            "options": options_of(described),
            **produced_by(described),
        }
    return [rows[step] for step in sorted(rows)]


def baseline_rows(corpus_name, stories, block_size):
    """A row each for the unigram and the bigram of the corpus's train split."""
    corpus = Corpus(Path("data") / corpus_name)
    encoding = tokenizer.from_text(corpus.tokenizer_text)
    questions = make_questions(encoding, open_stories(stories)[1], block_size)
    if not questions.texts:
        raise UserError(f"nothing can be asked in data/{stories}: {next(left_out_lines(questions.reasons))}")
    tokens = corpus.files["train"].map()
    for order, size in ((1, "unigram"), (2, "bigram")):
        shares = measure(NgramScorer(tokens, encoding.n_vocab, encoding.eot_token, order), questions)
        yield {
            "corpus": corpus_name,
            "budget": "counts",
            "size": size,
            "stories": stories,
            **{name: f"{share.share:.4g}" for name, share in shares.items()},
        }


# -- all runs ---------------------------------------------------------------------------------------------------------


class Table:
    """The rows of the CSV at `path`, to which several threads add those of a run at once."""

    def __init__(self, path):
        self.path, self.lock, self.rows = Path(path), threading.Lock(), read_table(Path(path), FIELDS)

    def has(self, key):
        return any((row["corpus"], row["budget"], row["size"], row["seed"]) == key for row in self.rows)

    def add(self, rows):
        with self.lock:
            add(self.path, FIELDS, *rows)
            self.rows = read_table(self.path, FIELDS)


def work(runs, table, environment, is_over, failures):
    """Take runs from the list until it is empty or `is_over()`; train and ask each."""
    while not is_over():
        try:
            run = runs.pop(0)
        except IndexError:
            return
        try:
            start = time.monotonic()
            if not run.train(run.steps(table.rows), environment, is_over):
                print(f"{run.folder} stopped: the same command resumes it", flush=True)
                return
            command = [sys.executable, "-m", "experiments.sense_study", "--ask", run.folder]
            command += ["--corpus", run.key()[0], "--stories", run.options.stories]
            output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
            rows = [dict(zip(KEY, run.key(), strict=True)) | row for row in json.loads(output)]
            table.add(rows)
            shutil.rmtree(run.folder / "points")
            seconds = time.monotonic() - start
            figures = f"{rows[-1]['val_bpb']} bits per byte, {counted(len(rows), 'point')}, {seconds:.0f} s"
            print(f"{run.folder}: {figures}", flush=True)
        except (UserError, subprocess.CalledProcessError, IndexError, OSError) as error:
            failures.append(f"{run.folder}: {error}")
            print(failures[-1], file=sys.stderr, flush=True)


def study(options):
    """Train what the table lacks, with one worker a GPU. Raises UserError where a run failed."""
    table, deadline, stop = Table(options.table), time.monotonic() + 60 * options.minutes, threading.Event()
    budgets = [*(["tokens"] if options.steps else []), *(["seconds"] if options.seconds else [])]
    block_size = merge_config(*command_line_layers([options.recipe, *split_arguments(options.train)]))[0].block_size
    if not table.has((options.corpus, "counts", "bigram", "")):
        table.add(
            [dict.fromkeys(FIELDS, "") | row for row in baseline_rows(options.corpus, options.stories, block_size)]
        )
    gpus = options.gpus.split(",") if options.gpus else [str(i) for i in range(torch.cuda.device_count())]
    failures = []

    def is_over():
        return stop.is_set() or time.monotonic() >= deadline

    for budget in budgets:
        runs = [
            Run(options, budget, size, seed) for size in options.sizes.split(",") for seed in options.seeds
        ]  # the largest first, so that none is left alone at the end
        runs = [run for run in runs if not table.has(run.key())]
        how_many = f"{counted(len(runs), 'run')} on {counted(len(gpus) or 1, 'device')}"
        print(f"{options.corpus}, equal {budget}: {how_many}", flush=True)
        threads = []
        try:
            for gpu in gpus or [""]:
                path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # from any folder
                environment = os.environ | {"CUDA_VISIBLE_DEVICES": gpu, "PYTHONUNBUFFERED": "1", "PYTHONPATH": path}
                threads.append(threading.Thread(target=work, args=(runs, table, environment, is_over, failures)))
                threads[-1].start()
            wait_for(threads)
        finally:  # after Ctrl-C or `kill` no other run begins
            stop.set()
            wait_for(threads)
            stop.clear()
    if failures:
        raise UserError(f"{counted(len(failures), 'run')} failed, the first is {failures[0]}")


def read_options():
    parser = OptionParser(__doc__)
    parser.option("--corpus", None, "the prepared corpus, a folder under data/")
    parser.option("--stories", None, "the corpus whose validation stories make the pairs (default: --corpus)")
    parser.option("--recipe", "config/small_corpus.py", "the recipe whose sizes are changed")
    parser.option("--steps", 0, "train every size for so many steps", int, at_least=0)
    parser.option("--seconds", 0.0, "train every size for so many seconds", float, at_least=0)
    parser.option("--sizes", ",".join(SIZES), "which sizes, the largest first")
    parser.option("--seeds", "1337", "seeds, with commas between them", whole_numbers, at_least=0)
    parser.option("--points", 20, "checkpoints of a run that are asked", int, at_least=1)
    parser.option("--gpus", "", "numbers of GPUs, with commas between them (default: all)")
    parser.option("--minutes", 1e6, "stop after so many minutes", float, at_least=0)
    parser.option("--out_dir", "out/study", "the folder of the runs")
    parser.option("--table", str(TABLE), "the table")
    parser.option("--train", "", "more options of train.py, in quotes")
    parser.option("--ask", None, "ask the checkpoints of a run's folder, and print its rows as JSON")
    parser.option("--draw", None, "only draw the pictures, of this corpus")
    options = parser.parse()
    options.stories = options.stories or options.corpus
    if not options.draw and not options.corpus:
        raise UserError("give --corpus, a folder under data/")
    if not (options.draw or options.ask or options.steps > 0 or options.seconds > 0):
        raise UserError("give --steps or --seconds, the budget of every size")
    if unknown := [size for size in options.sizes.split(",") if size not in SIZES]:
        raise UserError(f"unknown size {unknown[0]}: give some of {', '.join(SIZES)}")
    if not (options.draw or options.ask):
        read_config_file(options.recipe)  # a mistake in it is one sentence, before any run
    return options


def main():
    options = read_options()
    if options.ask:
        json.dump(evaluate_points(Path(options.ask), options.stories), sys.stdout)
        return
    if not options.draw:
        study(options)
    rows = read_table(Path(options.table), FIELDS)
    if options.draw or any(row["budget"] == "tokens" and row["corpus"] == options.corpus for row in rows):
        draw(rows, options.draw or options.corpus)


if __name__ == "__main__":
    run_script(main)
