"""Tell a story with a trained model.

    python sample.py --prompt "Once upon a time"                     from the newest run under out/
    python sample.py --out_dir out/tinystories --num_samples 3       three stories that open as they like
    echo "Tom had a red kite." | python sample.py --prompt -         the prompt from standard input
    python sample.py --interactive                                   a line a prompt, a story each, until Ctrl-D

The story appears as it is written and ends where the model ends it. Standard output holds the stories, a line of
dashes between them, and nothing else; what is said about them goes to standard error. With --interactive Ctrl-C ends
a story and not the program, and an empty line lets the model open a story of its own.
"""

import codecs
import contextlib
import itertools
import secrets
import sys
import time

import torch

import checkpoint
import devices
import tokenizer
from configuration import OptionParser, UserError, check_drawing, drawing_options, run

SEPARATOR = "-" * 15


class Printer:
    """Prints stories in order while all of them are being written at once: whole characters, as soon as they stand."""

    def __init__(self, encoding, prompt, count):
        self.encoding = encoding
        self.decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in range(count)]
        self.texts = [prompt] * count  # what waits to be printed
        self.ended = [False] * count
        self.current = 0

    def add(self, step):
        """Take each story's new token, None where it has ended."""
        for i, token in enumerate(step):
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
            sys.stdout.write(self.texts[self.current])
            self.texts[self.current] = ""
            if not self.ended[self.current]:
                break
            last = self.current == len(self.texts) - 1
            sys.stdout.write("\n" if last else f"\n{SEPARATOR}\n")
            self.current += 1
        sys.stdout.flush()


def read_prompt(prompt):
    if prompt != "-":
        return prompt
    try:
        return sys.stdin.buffer.read().decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UserError("the prompt on standard input is not UTF-8") from error


def tell(model, encoding, prompt, options, generator):
    """Print the stories that begin with `prompt` as they are written; a KeyboardInterrupt leaves their text whole."""
    tokens = [encoding.eot_token, *encoding.encode_ordinary(prompt)]  # every story follows an end-of-text
    if len(tokens) > model.config.block_size:
        print(
            f"warning: the prompt has {len(tokens) - 1} tokens, the context {model.config.block_size}:"
            " the model sees the end of it",
            file=sys.stderr,
        )
    printer = Printer(encoding, prompt, options.num_samples)
    start, count = time.perf_counter(), 0
    try:
        for step in model.stream(
            [tokens] * options.num_samples,
            options.max_new_tokens,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            stop_token=encoding.eot_token,
            generator=generator,
        ):
            count += sum(token is not None for token in step)
            printer.add(step)
    finally:
        printer.finish()
    print(f"{count} tokens, {count / (time.perf_counter() - start):,.0f} a second", file=sys.stderr)


def converse(answer):
    """Call `answer` with each line of standard input until it ends; Ctrl-C ends the answer in hand and asks again."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - importing it gives `input` history and editing; Windows has its own
    if not sys.stdin:
        raise UserError("--interactive reads its prompts from standard input, which is closed")
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if not sys.stdin.isatty():
        sys.stdin.reconfigure(encoding="utf-8", errors="strict")  # whatever the locale makes of a pipe
    for number in itertools.count():
        try:
            prompt = input("> " if terminal else "")
            if number and not terminal:
                print(SEPARATOR)
            answer(prompt)
        except EOFError:
            return
        except KeyboardInterrupt:
            print(file=sys.stderr)
        except UnicodeDecodeError as error:
            raise UserError("the prompt on standard input is not UTF-8") from error


def main():
    parser = OptionParser(__doc__)
    parser.option("--prompt", "", "how the story begins; empty: as the model likes; -: read it from standard input")
    parser.option("--interactive", False, "ask for prompts, a line each, until the input ends (Ctrl-D)")
    parser.option("--out_dir", None, "the run, a checkpoint, an exported folder or gpt2 (default: newest under out/)")
    drawing_options(parser, num_samples=1, top_k=200, seed=None)
    parser.option("--device", "auto", "auto, cpu, cuda, cuda:N or mps")
    parser.option("--dtype", "auto", "auto, float32, bfloat16 or float16")
    options = parser.parse()
    check_drawing(options)
    if options.interactive and options.prompt:
        raise UserError("--interactive asks for prompts itself: leave --prompt out")
    device = devices.pick_device(options.device)
    dtype = devices.pick_dtype(options.dtype, device)

    path = checkpoint.find(options.out_dir or checkpoint.newest_run())
    saved = checkpoint.load(path)
    model = checkpoint.build_model(saved).to(device, dtype)
    encoding = tokenizer.from_text(saved["tokenizer"])
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    generator = torch.Generator(device).manual_seed(seed)
    print(f"{path}, step {saved['step']:,}, seed {seed}, on {devices.describe(device)}", file=sys.stderr)

    def answer(prompt):
        tell(model, encoding, prompt, options, generator)

    if options.interactive:
        converse(answer)
    else:
        answer(read_prompt(options.prompt))


if __name__ == "__main__":
    run(main)
