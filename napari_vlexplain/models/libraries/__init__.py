"""From a library's model to our towers: transformers, open_clip, timm, peft, and layouts of their own."""
