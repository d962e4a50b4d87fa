"""A small corpus, ten to fifty megabytes of text: many epochs that do not learn it by heart.

    python prepare.py --dataset my_stories.txt --vocab_size 8192
    python train.py config/small_corpus.py --dataset=my_stories

The values come from runs on a hundredth of TinyStories, see docs/recipes.md. There 28 epochs of 4.7 M tokens reach
0.671 bits per byte of validation text. Without the average of the weights they reached 0.680, and AdamW 0.690. If the
validation loss rises before the end, take fewer steps. If it still falls at the end, take more. For less text, or
without a GPU, config/sample.py is the better recipe.
"""

dataset = "my_stories"

# 13.9 M parameters with a vocabulary of 8,192, 3.1 M of them the embedding
block_size = 256
n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.1

# one optimizer step: 128 sequences of 256 tokens, 32,768 tokens
batch_size = 128
gradient_accumulation_steps = 1

optimizer = "muon"
learning_rate = 4e-3
min_lr = 4e-4
ema = 0.05
warmup_iters = 100
max_iters = 4000
weight_decay = 1.5
beta2 = 0.95

eval_interval = 500
