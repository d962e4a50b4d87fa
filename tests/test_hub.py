"""slm/text/hub.py: prepare.py takes stories from a hub, through its own client."""

import gzip
import io
import json
import random
import re
import sys
from types import SimpleNamespace

import hub_server
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import PATIENCE, assert_mistake, environment, read_meta, start
from prepare_helpers import stories_of


def parquet(texts, column="text"):
    file = io.BytesIO()
    pq.write_table(pa.table({column: texts, "id": range(len(texts))}), file)
    return file.getvalue()


def prepare_from(hub, folder, *arguments, **variables):
    """`python prepare.py --dataset NAME ARGUMENTS` in another process whose hub is `hub`: (status, out, err)."""
    settings = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"} | variables
    settings["USE_TORCH"] = "0"  # `datasets` would import it for seconds
    variables = environment(HF_ENDPOINT=hub.url, HF_HOME=str(folder / "hf"), **settings)
    dataset = [] if "--dataset" in arguments else ["--dataset", hub_server.NAME]
    process = start("prepare.py", *dataset, *arguments, cwd=folder, env=variables)
    out, err = process.communicate(timeout=PATIENCE)
    return SimpleNamespace(status=process.returncode, out=out, err=err)


def test_a_download_that_breaks_off_goes_on(tmp_path):
    """Files that came whole are kept; the second run needs the rest; a later one needs no hub."""
    texts = [f"Story {i}: {random.Random(i).random()}." for i in range(6000)]
    files = {
        "README.md": b"# Stories",
        "data/train-00000-of-00002.parquet": parquet([*texts[:2000], None, " "]),
        "data/train-00001-of-00002.parquet": parquet(texts[2000:]),
        "data/dev-00000-of-00001.parquet": parquet(["Nine.", "Ten."]),
    }
    first, second, validation = (len(contents) for name, contents in files.items() if name.startswith("data/"))
    cut = (first + second) // 2
    with hub_server.serve(files, cut) as hub:
        broken = prepare_from(hub, tmp_path)
        assert_mistake(broken, hub_server.NAME, "run the same command again, which keeps each file that came whole")
        assert not list(tmp_path.glob("data/*/*.bin"))
        hub.cut, hub.sent = None, 0
        whole = prepare_from(hub, tmp_path)
        assert whole.status == 0 and "Generating" not in whole.err, whole.err  # no bars in a log file
        assert whole.out.startswith(f"reading {hub_server.NAME} from the Hugging Face hub")
        assert second <= hub.sent <= second + validation
        hub.sent = 0
        offline = prepare_from(hub, tmp_path, "--force", "--max_stories", "50", HF_HUB_OFFLINE="1")
        assert offline.status == 0 and hub.sent == 0, offline.err
        assert "from the cache of the Hugging Face hub (HF_HUB_OFFLINE is set)\n" in offline.out
    assert read_meta(tmp_path / "data/stories")["max_stories"] == 50
    splits = read_meta(tmp_path / "data/stories")["splits"]
    assert [split["stories"] for split in splits.values()] == [50, 2]
    assert re.search(r"^train +6,000 ", whole.out, re.M) and re.search(r"^validation +2 ", whole.out, re.M)
    assert "empty rows, left out: 2\n" in whole.out
    size = sum(len(text) for text in texts)
    assert f" {size:,} " in whole.out
    assert stories_of(tmp_path / "data/stories", "train") == texts[:50]


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on files is POSIX")
def test_a_full_disk_under_the_cache(tmp_path):
    """Where a download does not fit, the sentence names the cache."""
    import resource

    def start_limits(size, *arguments):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))  # the process that starts inherits it
        try:
            return prepare_from(hub, tmp_path, *arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    files = {"README.md": b"# Stories", "data/train-00000-of-00001.parquet": parquet(["One. " * 300] * 20_000)}
    size = len(files["data/train-00000-of-00001.parquet"])
    assert size < 2_000_000, "the file must fit where its 30 MB of text do not"
    with hub_server.serve(files) as hub:
        result = start_limits(size // 2)
        assert_mistake(result, f"cannot keep {hub_server.NAME} in", str(tmp_path / "hf"), "set HF_HOME", "--streaming")
        assert not (tmp_path / "data").exists()
        result = start_limits(size // 2, "--streaming", "--max_stories", "100", "--vocab_size", "0")
    assert "two different stories are needed" in result.err  # a stream needs no room


def test_a_file_of_the_hub_that_is_damaged(tmp_path):
    """The sentence has the reason, which the client's own text leaves out."""
    contents = parquet([f"Story {i}." for i in range(2000)])
    files = {"README.md": b"# Stories", "data/train-00000-of-00001.parquet": contents[:4] + b"x" * 200 + contents[204:]}
    with hub_server.serve(files) as hub:
        result = prepare_from(hub, tmp_path)
    sentence = result.err.splitlines()[-1]
    assert result.status == 2 and "cannot read " in sentence and "train-00000-of-00001.parquet (" in sentence
    assert "Traceback" not in result.err


@pytest.mark.parametrize("streaming", [[], ["--streaming"]])
def test_a_file_means_the_same_on_the_hub(tmp_path, streaming):
    """A .txt has stories between markers, not a story on each line; its splits are those that its name says."""
    texts = [f"Story {i}.\n\nIts end." for i in range(30)]
    files = {
        "README.md": b"# Stories",
        "tales-train.txt": "\n<|endoftext|>\n".join(texts).encode("utf-16"),
        "tales-valid.txt": gzip.compress(b"One.\n<|endoftext|>\nTwo.\n\nIts end."),
    }
    page = f"https://huggingface.co/datasets/{hub_server.NAME}/tree/main"
    with hub_server.serve(files) as hub:
        result = prepare_from(hub, tmp_path, "--dataset", page, *streaming)
    assert result.status == 0, result.err
    assert stories_of(tmp_path / "data/stories", "train") == texts
    assert stories_of(tmp_path / "data/stories", "validation") == ["One.", "Two.\n\nIts end."]
    assert "UTF-16" in result.out and "txt.gz" in result.out


@pytest.mark.parametrize("kind", ["gpt4-clean", "SimpleStories"])
def test_other_sets_of_stories(tmp_path, kind):
    """As they are on the hub: one file without splits; many columns, the stories in `story`, a test split."""
    texts = [
        f"Story {i} of {kind}: " + ("once upon a time. " * 9 if i % 2 else "\u6614\u3005\u3002 " * 30)
        for i in range(400)
    ]
    if kind == "gpt4-clean":
        files, options = {"tinystories_gpt4_clean.parquet": parquet(texts)}, ["--validation_fraction", "0.004"]
    else:
        columns = {"topic": "a hill", "theme": "Kindness", "num_paragraphs": 3, "generation_id": "x"}
        configs = "".join(f"  - split: {split}\n    path: data/{split}-*\n" for split in ("train", "test"))
        files = {"README.md": f"---\nconfigs:\n- config_name: default\n  data_files:\n{configs}---\n".encode()}
        for split, stories in {"train": texts, "test": ["Left aside."]}.items():
            file = io.BytesIO()
            pq.write_table(
                pa.table({name: [value] * len(stories) for name, value in columns.items()} | {"story": stories}), file
            )
            files[f"data/{split}-00000-of-00001.parquet"] = file.getvalue()
        options = ["--text_column", "story"]
    with hub_server.serve(files) as hub:
        result = prepare_from(hub, tmp_path, *options)
    assert result.status == 0, result.err
    folder = tmp_path / "data/stories"
    train, validation = stories_of(folder, "train"), stories_of(folder, "validation")
    assert sorted(train + validation) == sorted(texts) and len(validation) == (2 if kind == "gpt4-clean" else 20)
    assert ("left aside: test" in result.out) == (kind == "SimpleStories")
    assert 256 < read_meta(folder)["vocab_size"] <= 1024 and "config/sample.py --dataset=stories" in result.out


def test_columns_that_differ_between_files_of_the_hub(tmp_path):
    files = {
        "README.md": b"# Stories",
        "data/train-00000-of-00002.parquet": parquet(["One."]),
        "data/train-00001-of-00002.parquet": parquet(["Two."], "story"),
    }
    with hub_server.serve(files) as hub:
        result = prepare_from(hub, tmp_path)
    assert_mistake(result, "train-00001-of-00002.parquet has no column 'text'", "story, id")


def test_a_data_set_that_is_only_a_script(tmp_path):
    with hub_server.serve({"README.md": b"# Stories", "stories.py": b"import datasets"}) as hub:
        result = prepare_from(hub, tmp_path)
    assert result.status == 2 and "Traceback" not in result.err
    assert "only a script" in result.err or "no file" in result.err.lower(), result.err


def test_configurations_and_streaming(tmp_path):
    """The configurations reach the user whole, and a stream gives the stories of the one that is asked for."""
    names = [f"a-configuration-with-a-long-name-{i:02}" for i in range(12)]
    configs = "".join(f"- config_name: {name}\n  data_files: data/{i}.jsonl\n" for i, name in enumerate(names))
    files = {"README.md": f"---\nconfigs:\n{configs}---\n".encode()}
    for i in range(len(names)):
        rows = [{"id": 1, "story": f"Story {j} of {i}."} for j in range(5000)]
        files[f"data/{i}.jsonl"] = "\n".join(map(json.dumps, rows)).encode()
    with hub_server.serve(files) as hub:
        assert_mistake(prepare_from(hub, tmp_path), "has several configurations: give --config one of", *names)
        options = ["--config", names[7], "--streaming"]
        wrong = prepare_from(hub, tmp_path, *options)
        assert_mistake(wrong, "no column 'text': give --text_column one of id, story")
        streamed = prepare_from(hub, tmp_path, *options, "--text_column", "story", "--max_stories", "300")
    assert streamed.status == 0, streamed.err
    assert "each pass over the stories reads the hub again" in streamed.out
    stories = stories_of(tmp_path / "data/stories", "train") + stories_of(tmp_path / "data/stories", "validation")
    assert sorted(stories) == sorted(f"Story {j} of 7." for j in range(300))
    assert read_meta(tmp_path / "data/stories")["config"] == names[7]
