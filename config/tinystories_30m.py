"""A larger model for a day of one consumer GPU, the size of the paper's 28 M and 33 M models: six epochs.

    python prepare.py --vocab_size 8192 --name tinystories_8k
    python train.py config/tinystories_30m.py

It trains on 2.8 G tokens of 202 MFLOP each. That is half an hour of an H100 by the speed of a run of 600 steps, 33 % of
its peak, 1.64 M tokens/s. At 40 % of their peaks, an estimate, it is 15 hours of an RTX 3060 and 2.5 of an RTX 4090.
Nobody has run all of it yet. The values are those of config/tinystories_8k.py with three changes: twice the batch and a
longer warm-up for four times the tokens, and a lower learning rate for a wider model, 4e-3 x 384 / 512.
"""

dataset = "tinystories_8k"
out_dir = "out/tinystories_30m"

# 29.7 M parameters, 4.2 M of them the embedding; nearly every story fits into the context
block_size = 512
n_layer = 8
n_head = 8
n_embd = 512
dropout = 0.0

# one optimizer step: 32 x 8 sequences of 512 tokens, 131,072 tokens
batch_size = 32
gradient_accumulation_steps = 8

optimizer = "muon"
learning_rate = 3e-3
min_lr = 0.0
warmup_iters = 500
max_iters = 21600
weight_decay = 0.1
beta2 = 0.99

eval_interval = 900
