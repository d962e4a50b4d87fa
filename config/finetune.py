"""Fine-tune a model on a text of your own: a few hundred small steps from where its training ended.

Your text must be in the model's own vocabulary, which --vocab_of says; a .txt has `<|endoftext|>` lines or blank lines
between its stories. For a model of yours, a run, a checkpoint or an exported folder:

    python prepare.py --dataset my_text.txt --vocab_of out/tinystories
    python train.py config/finetune.py --init_from=out/tinystories --dataset=my_text
    python sample.py --out_dir out/my_text

For GPT-2 itself (124 M parameters from the Hugging Face hub, with `pip install transformers`; its positions go to
1,024, and fewer take less memory and time):

    python prepare.py --dataset my_text.txt
    python train.py config/finetune.py --init_from=gpt2 --dataset=my_text --block_size=256

The shape is the model's. best.pt is the step before it begins to learn a short text by heart; if the validation loss
rises from the start, lower the rate, and if it still falls at the end, take more steps.
"""

dataset = "my_text"
init_from = "out/tinystories"

# 32 sequences make one step: fine-tuning takes small steps, and a short text has not many sequences
batch_size = 8
gradient_accumulation_steps = 4
dropout = 0.1

learning_rate = 1e-4
min_lr = 1e-5
warmup_iters = 20
max_iters = 200
weight_decay = 0.1
beta2 = 0.99

eval_interval = 20
log_interval = 5
