"""A GPT-2 on the Hugging Face hub as the contents of a checkpoint: it is downloaded once."""

import os
import re
import sys
from pathlib import Path

from slm.errors import UserError, first_line
from slm.models import from_huggingface

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)?")
FILE_SUFFIXES = {".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".gguf", ".zip"}


def is_hub_name(name):
    """Whether `name` can only be a model on the hub, `gpt2` or `ORG/NAME`.

    It is a local path if it, or its first folder, exists, and in any case below `out/` or with a model file's suffix.
    """
    name = os.fspath(name)
    first = name.split("/")[0]
    return bool(
        NAME.fullmatch(name)
        and first != "out"
        and not os.path.lexists(first)
        and Path(name).suffix not in FILE_SUFFIXES
    )


def load_from_hub(name):
    """The contents of a checkpoint for the model `name`. Raises UserError where the hub has none, or no GPT-2."""
    folder = download(name, ["config.json", *from_huggingface.TOKENIZER_FILES])
    # before the weights, which may be large
    from_huggingface.check_config(from_huggingface.read_config(folder, name), name)
    for patterns in from_huggingface.WEIGHTS:
        if not from_huggingface.weight_files(folder):
            folder = download(name, patterns)
    return from_huggingface.load_hugging_face(folder, name)


def download(name, patterns):
    """The local folder of a model, with those of its files that match `patterns`. Raises UserError."""
    import huggingface_hub
    from huggingface_hub.utils import GatedRepoError, RepositoryNotFoundError

    huggingface_hub.utils.logging.set_verbosity_error()  # no line for each try
    if not sys.stderr.isatty():
        huggingface_hub.utils.disable_progress_bars()
    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=patterns))
    except GatedRepoError as error:
        raise UserError(f"{name} is a gated model: accept its terms on the hub, then run `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise UserError(f"no file or folder {name} is here, and no public model {name} on the hub") from error
    except Exception as error:  # of whichever package finds the fault
        cause = error.__cause__ or error
        reason = first_line(cause, 1000)
        reason = reason if len(reason) < 160 else type(cause).__name__
        raise UserError(
            f"no file or folder {name} is here, and the Hugging Face hub gives no model {name} ({reason}): check the"
            " name and the network"
        ) from error
