"""What the scripts share. Scripts import these modules, these modules import model.py, and nothing points back.

errors, files, options, config      mistakes, whole files, command lines, the options of a run
sources, story_folder, story_files,
story_bytes                         where stories come from
tokenizer, encode, prepared_folder  stories as tokens, and the folder that holds them
data                                a prepared folder as batches
devices, distributed                the machine: which device and precision, which of several processes
micro_batch, compilation            how a step uses the device: how much at once, compiled, captured
train_state, evaluation             how far a run is, and how good
resume, signals                     how a run starts and stops
recorder, run_folder, progress,
trackers                            what a run reports: files, lines, W&B and TensorBoard
checkpoint, tensor_file             models on disk: ours
pretrained, hub                     nanoGPT's and Hugging Face's models, from a file, a folder or the hub
gpt2, huggingface, gguf,
model_card, story_page              a model for other programs
"""
