"""The model to begin with: the tutorial's on the 8,192 tokens that the stories use most, an epoch and a half.

    python prepare.py --vocab_size 8192 --name tinystories_8k
    python train.py config/tinystories_8k.py

At the 2.7 M tokens/s that an H100 does, 4 to 5 minutes. The values are what the README's "Recipes" says should carry
over from a hundredth of the corpus; the whole of it has not been run yet.
"""

dataset = "tinystories_8k"

# the model: 13.9 M parameters, 3.1 M of them the embedding; most stories fit into its context
block_size = 256
n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.0

# 32 x 8 sequences of 256 tokens make one optimizer step: 65,536 tokens
batch_size = 32
gradient_accumulation_steps = 8

learning_rate = 2e-3
min_lr = 0.0
warmup_iters = 500
max_iters = 10800
weight_decay = 0.1
beta2 = 0.95

eval_interval = 900
