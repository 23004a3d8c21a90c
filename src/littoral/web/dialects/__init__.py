"""The APIs that clients already speak, one module each.

A dialect reads its request, makes the OpenAI-shaped `Ask` that engines understand, and writes what
the engine answers in its own words. `chat`, `completions` and `embeddings` are OpenAI's shape
already, so their answers go through untouched; `responses` and `messages` translate.

- `reading`: bodies in, checked; `replying`: answers out, with their receipts;
- `tools`: how a model is told of tools; `calls`: finding tool calls in what it says;
- `chunks`: an engine's stream as typed values, for the dialects that translate.
"""
