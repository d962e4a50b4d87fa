"""Tell a story with a trained model.

    python sample.py "Once upon a time"                              from the newest run under out/
    python sample.py --model out/tinystories --num_samples 3         three stories with openings of the model's choice
    python sample.py "Tom had a kite." "Lily had a boat."            one story for each prompt
    python sample.py --prompts openings.txt                          one story for each line of a file
    echo "Tom had a red kite." | python sample.py -                  the prompt from standard input
    python sample.py --interactive                                   one prompt per line, until Ctrl-D

The story appears as the model writes it, and ends where the model ends it. Standard output holds the stories, with a
line of dashes between them, and nothing else; everything about them goes to standard error. With --interactive, Ctrl-C
ends a story and not the program, and an empty line is an empty prompt.
"""

import slm.interrupt  # noqa: F401 - first: Ctrl-C during the other imports is a line

# isort: split

import codecs
import contextlib
import itertools
import os
import secrets
import sys
import time

import torch

from slm import devices
from slm.errors import UserError, counted, printable, run_script
from slm.files import read_regular, user_path
from slm.models.generation import prompt_tokens, stream
from slm.models.load import load_model
from slm.options import OptionParser, add_model_option, add_sampling_options, sampling_arguments
from slm.terminal import no_echo

SEPARATOR = "-" * 15
STORIES_AT_ONCE = 32  # of several prompts
LARGEST_FILE = 2**24  # bytes of prompts
# the controls and the letters without a shape that a text needs and that command nothing: line ends, tabs, the spaces
# of other languages, and what joins or separates letters in Persian, Hindi and emoji
KEPT = "\n\t\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200c\u200d\u202f\u205f\u3000"


class StoryPrinter:
    """Prints stories one after another while the model writes all of them at once, in whole characters.

    prompts: the beginning of each story.
    """

    def __init__(self, encoding, prompts):
        self.encoding = encoding
        self.decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in prompts]
        self.texts = list(prompts)  # not printed yet
        self.ended = [False] * len(prompts)
        self.current = 0

    def add(self, new_tokens):
        """Take each story's new token, None where it has ended."""
        for i, token in enumerate(new_tokens):
            if token is None or token == self.encoding.eot_token:
                self.ended[i] = True
            else:
                self.texts[i] += self.decoders[i].decode(self.encoding.decode_single_token_bytes(token))
        self.flush()

    def finish(self):
        """No more tokens come: print what is left."""
        self.ended = [True] * len(self.ended)
        self.flush()

    def flush(self):
        while self.current < len(self.texts):
            sys.stdout.write(printable(self.texts[self.current], keep=KEPT))
            self.texts[self.current] = ""
            if not self.ended[self.current]:
                break
            last = self.current == len(self.texts) - 1
            sys.stdout.write("\n" if last else f"\n{SEPARATOR}\n")
            self.current += 1
        if not sys.stdout.isatty():  # which shows a word once it is whole
            sys.stdout.flush()


def read_prompt(prompt):
    """The prompt; "-" is all of standard input, without the mark and the line ends of Windows. Raises UserError."""
    if prompt != "-":
        if any("\ud800" <= letter <= "\udfff" for letter in prompt):  # bytes that the locale has no letters for
            try:
                return os.fsencode(prompt).decode()
            except UnicodeError as error:
                raise UserError(f"the prompt {prompt!a} is not UTF-8") from error
        return prompt
    with standard_input() as stdin:
        return stdin.buffer.read().decode("utf-8-sig").replace("\r\n", "\n").rstrip("\r\n")


@contextlib.contextmanager
def standard_input():
    """Standard input, to read prompts from. Raises UserError where it is closed, or what the block reads is no text."""
    if not sys.stdin:
        raise UserError("the prompt comes from standard input, which is closed")
    try:
        yield sys.stdin
    except UnicodeDecodeError as error:
        raise UserError("the prompt on standard input is not UTF-8") from error
    except OSError as error:
        raise UserError(f"cannot read the prompt from standard input: {error.strerror or error}") from error


def read_prompts(path):
    """The prompts of a file, one per line; an empty line is an empty prompt. Raises UserError."""
    try:
        text = read_regular(user_path(path), LARGEST_FILE).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: save it as UTF-8, one prompt per line") from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read --prompts {path}: {getattr(error, 'strerror', None) or error}") from error
    if not text:
        raise UserError(f"{path} is empty: write one prompt per line")
    return text.removesuffix("\n").split("\n")


def tell_stories(loaded, prompts, options, sampling, generator):
    """Print stories that begin with the prompts, as the model writes them. A KeyboardInterrupt leaves whole characters.

    loaded: a LoadedModel. sampling: temperature, top_k and top_p, as `generation.stream` takes them.
    """
    model, encoding = loaded.model, loaded.encoding
    tokens = [prompt_tokens(encoding, prompt) for prompt in prompts]
    if any(prompt.endswith(" ") for prompt in prompts):
        print("warning: the prompt ends in a space, and words bring theirs along: leave it out", file=sys.stderr)
    if (longest := max(map(len, tokens))) > model.config.block_size:
        print(
            f"warning: the prompt has {counted(longest - 1, 'token')} and the context {model.config.block_size}: the"
            " model sees the end of it",
            file=sys.stderr,
        )
    start, count, at_once = time.perf_counter(), 0, max(1, STORIES_AT_ONCE // options.num_samples)
    for first in range(0, len(prompts), at_once):
        if first:
            print(SEPARATOR)
        rows = [number for number in range(len(prompts))[first : first + at_once] for _ in range(options.num_samples)]
        printer = StoryPrinter(encoding, [prompts[number] for number in rows])
        try:
            for new_tokens in stream(
                model,
                [tokens[number] for number in rows],
                options.max_new_tokens,
                stop_token=encoding.eot_token,
                generator=generator,
                **sampling,
            ):
                count += sum(token is not None for token in new_tokens)
                printer.add(new_tokens)
        except RuntimeError as error:
            if devices.is_out_of_memory(error):
                raise UserError(f"out of memory: give a smaller --num_samples than {options.num_samples}") from error
            raise
        finally:
            printer.finish()
    print(f"{counted(count, 'token')}, {count / (time.perf_counter() - start):,.0f} a second", file=sys.stderr)


def for_each_prompt(answer):
    """Call `answer` with each line of standard input. Ctrl-C ends an answer, and the next line follows."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - importing it gives `input` history and editing; Windows has its own
    with standard_input() as stdin:
        terminal = stdin.isatty() and sys.stdout.isatty()
        if not stdin.isatty():
            stdin.reconfigure(encoding="utf-8-sig", errors="strict", newline=None)  # in any locale, of any system
    for number in itertools.count():
        try:
            with standard_input():
                prompt = input("> " if terminal else "")
            if number and not terminal:
                print(SEPARATOR)
            with no_echo():
                answer(prompt)
        except EOFError:
            return
        except KeyboardInterrupt:
            print(file=sys.stderr)


def main():
    parser = OptionParser(__doc__)
    about_prompts = "start of a story (default: the model's choice); -: read it from standard input"
    parser.add_argument("texts", nargs="*", metavar="PROMPT", help=about_prompts)
    parser.texts_option("--prompt", "the same, also for a text that begins with a dash; may be given several times")
    parser.option("--prompts", None, "a file of prompts, one per line", metavar="FILE")
    parser.option("--interactive", False, "read prompts, one per line, until the input ends (Ctrl-D)")
    add_model_option(parser)
    add_sampling_options(parser)
    parser.option("--device", "auto", "auto, cpu, cuda, cuda:N or mps")
    parser.option("--dtype", "auto", "auto, float32, bfloat16 or float16")
    options = parser.parse()
    sampling = sampling_arguments(options)
    prompts = [*options.prompt, *options.texts]
    if options.interactive and (prompts or options.prompts is not None):
        raise UserError("--interactive reads prompts itself: leave the prompt out")
    if prompts.count("-") > 1:
        raise UserError("standard input holds one prompt: give - once")
    prompts = [*map(read_prompt, prompts)]
    if options.prompts is not None:
        prompts += read_prompts(options.prompts)
    device = devices.pick_device(options.device)
    dtype = devices.pick_dtype(options.dtype, device)

    loaded = load_model(options.model, device, dtype)
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    generator = torch.Generator().manual_seed(seed)
    step = f", step {loaded.step:,}" if loaded.step else ""  # another program's model has none
    print(f"{printable(loaded.path)}{step}, seed {seed}, on {devices.describe(device)}", file=sys.stderr)

    if options.interactive:
        for_each_prompt(lambda prompt: tell_stories(loaded, [prompt], options, sampling, generator))
    else:
        tell_stories(loaded, prompts or [""], options, sampling, generator)


if __name__ == "__main__":
    run_script(main, stdout_is_result=True)
