"""The model of config/tinystories_8k.py for a T4, as Colab lends it, within an hour: two fifths of an epoch.

    python prepare.py --vocab_size 8192 --name tinystories_8k
    python train.py config/tinystories_t4.py

197 M tokens, for which a T4 has to do 55,000 tokens/s. That is an estimate, 5 TFLOP/s of a peak of 65, and it has not
been run on a T4: the progress says how much time is left, and a smaller --max_iters takes less. The batch is half of
config/tinystories_8k.py's, as there is a quarter of the tokens. With --out_dir on a mounted drive, --init_from=resume
goes on where Colab took the T4 away.
"""

dataset = "tinystories_8k"
out_dir = "out/tinystories_t4"

# the model: 13.9 M parameters, 3.1 M of them the embedding; most stories fit into its context
block_size = 256
n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.0

# 32 x 4 sequences of 256 tokens make one optimizer step: 32,768 tokens
batch_size = 32
gradient_accumulation_steps = 4

learning_rate = 2e-3
min_lr = 0.0
warmup_iters = 300
max_iters = 6000
weight_decay = 0.1
beta2 = 0.95

eval_interval = 500
