"""Any transformers vision-language model: where its visual tokens look, what they are attended with, its answers."""
