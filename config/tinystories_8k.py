"""The recipe to begin with: TinyStories with a vocabulary of 8,192 tokens trained on it, an epoch and a half.

    python prepare.py --vocab_size 8192 --name tinystories_8k
    python train.py config/tinystories_8k.py

It takes 5 minutes of an H100, at 2.9 M tokens/s: the whole recipe ran on 299 M tokens that a model wrote. Nobody has
run it on all of TinyStories yet. docs/recipes.md says where the values come from.
"""

dataset = "tinystories_8k"

# 13.9 M parameters, 3.1 M of them the embedding; 87 % of the stories fit into the context
block_size = 256
n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.0

# one optimizer step: 32 x 8 sequences of 256 tokens, 65,536 tokens
batch_size = 32
gradient_accumulation_steps = 8

optimizer = "muon"
learning_rate = 4e-3
min_lr = 0.0
warmup_iters = 300
max_iters = 10800
weight_decay = 0.1
beta2 = 0.99

eval_interval = 900
