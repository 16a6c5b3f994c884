"""PLLaVA (arXiv 2404.16994): LLaVA with one parameter-free pool; and LLaVA with the pools of other models.

family         what models/registry.py calls: the functions of models/base.py's Family
architecture   config.json read and checked
shapes         shapes of all weights; what transformers assumes where config.json says nothing
pooling        the pool, and the settings under which it is that of published models
pictures       how frames become numbers: cropped or stretched, means, deviations
size           how large a model is
layouts        the weight files and adapters of a folder, of whichever layout, under one set of names
chat           tokenizer and chat template
template       how a chat template writes videos, what ends an answer, and what opens the next turn
forms          the chats that PLLaVA's authors publish, by name
adapters       which LoRA adapters are merged, and how
processing     chats to token ids
passages       the tokens of a text that is read as an answer
samples        how a sample of several turns is shown to the model
chats          texts that are read as the answer after shots, all behind one prefix
replies        token ids of an answer to the reply: cut at stop texts and where another turn begins
checkpoints    opens a checkpoint and refuses it where something is missing; its digest
published      config.json of published checkpoints
shrink         a small random checkpoint of the same architecture, for rehearsals
               -- the files above import no torch --
configuration  PLLaVA's configuration for transformers
modeling       PLLaVA's modules: LLaVA's, and the pool
tensors        frames and token ids to tensors
loading        reads the weights into a model, adapters merged
decoding       batched sampling with shared prefixes
video_llm      the built-in engine: watch, ask, converse
trainee        a model with a LoRA on it, to be finetuned; imports PEFT
auto           PLLaVA in transformers' Auto classes, for whoever imports it
card           the model card of an export
convert        released PLLaVA into base and adapter; base and adapter into stock LLaVA
lean_import    keeps scikit-learn and scipy out of processes that load a model
"""
