"""Export a trained model: a Hugging Face folder, a GGUF file for llama.cpp, or a page that tells stories.

    python export.py out/tinystories my_model           config.json, model.safetensors, tokenizer.json, README.md, ...
    python export.py out/tinystories my_model --gguf    ... and model.gguf, for llama.cpp, Ollama and LM Studio
    python export.py out/tinystories model.gguf         that file alone
    python export.py out/tinystories story.html         one page with the model in it, for any browser
    python train.py config/finetune.py --init_from=my_model                                     the way back

A folder needs the packages safetensors and tokenizers, a GGUF file the package gguf. transformers opens the folder with
no code of ours. Its README.md is a model card: what the model reaches, how it was trained, on what, and how to use it.
Before it finishes, export.py compares the logits of what it wrote with the model's.

Every story in the training data follows an end-of-text token, so the tokenizer puts one before each text, as sample.py
does; `tokenizer(text, add_special_tokens=False)` gives the ids of the text alone. As everywhere in transformers, and
unlike in prepare.py, the text `<|endoftext|>` in a prompt is that token.
"""

import slm.interrupt  # noqa: F401 - first: Ctrl-C during the other imports is a line

# isort: split

import os
from pathlib import Path

from slm.errors import UserError, printable, run_script, say
from slm.files import atomic_folder, atomic_write, make_folder, user_path
from slm.models import gpt2
from slm.models.load import load_model
from slm.models.model_card import model_card, read_corpus
from slm.models.to_gguf import save_gguf
from slm.models.to_huggingface import save_huggingface
from slm.options import OptionParser
from slm.training.log import read_sense
from slm.training.optimizers import describe_optimizer


def parse_options():
    """(options, what the target is: "page", "gguf" or "folder"). Raises UserError where it cannot be made."""
    parser = OptionParser(__doc__)
    parser.required("model", "the run, a checkpoint file, or another model to convert")
    parser.required("target", "the folder to make, or a file that ends in .html or .gguf")
    parser.option("--gguf", False, "write model.gguf for llama.cpp into the folder too")
    options = parser.parse()
    options.target = target = Path(user_path(options.target))
    kind = {".html": "page", ".htm": "page", ".gguf": "gguf"}.get(target.suffix.lower(), "folder")
    if kind != "folder" and options.gguf:
        raise UserError(
            f"--gguf writes into a folder, and {target} is a file: export it into a folder by a second command"
        )
    if os.fsencode(target).decode(errors="ignore") != str(target):  # its name goes into files of UTF-8
        raise UserError(f"{target} is not UTF-8: give another name")
    if not target.name:
        raise UserError(f"{target} is this folder itself: give the name of a new one")
    if target.exists() and (kind != "folder" or not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} exists: give a new name, or remove it first")
    return options, kind


def main():
    options, kind = parse_options()
    target = options.target
    loaded = load_model(options.model)
    model, encoding, name = loaded.model, loaded.encoding, target.resolve().name
    if kind == "page":
        gpt2.check_logits(model, gpt2.gpt2_parameters(model))
        from slm.models.to_page import describe_measured, save_story_page

        make_folder(target.parent, f"{target} goes into it")
        trained_as = Path(loaded.config.get("out_dir") or options.model).name  # of a checkpoint file, the run's name
        sense = read_sense(Path(loaded.path).parent / "log.csv", loaded.step)
        save_story_page(
            model, encoding, target, printable(trained_as), describe_measured(loaded.val_loss, loaded.val_bpb, sense)
        )
        size = target.stat().st_size
    elif kind == "gguf":
        make_folder(target.parent, f"{target} goes into it")
        gpt2.check_logits(model, gpt2.gpt2_parameters(model))
        with atomic_write(target) as file:
            save_gguf(model, encoding, file.name, target.stem)
        size = target.stat().st_size
    else:
        with atomic_folder(target) as folder:
            save_huggingface(model, encoding, folder)
            if options.gguf:
                save_gguf(model, encoding, folder / "model.gguf", name)
            optimizer = describe_optimizer(loaded.config.get("optimizer", "adamw"))
            corpus = read_corpus(loaded.path, loaded.contents["tokenizer"])
            card = model_card(loaded.contents, model, corpus, name, optimizer)
            (folder / "README.md").write_text(printable(card, keep="\n"), encoding="utf-8")
        size = sum(file.stat().st_size for file in target.iterdir())
    say(f"{loaded.path}: {model.num_params() / 1e6:.2f} M parameters exported to {target} ({size / 1e6:.1f} MB)")


if __name__ == "__main__":
    run_script(main)
