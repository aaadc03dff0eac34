"""
What every channel layer is held to: `layer.ChannelLayerContract`, and a state machine beside it, `machine`.

To hold your own layer to it, register this package for pytest's assertion rewriting, subclass the contract with a
`make_layer` fixture, and hand a factory to `machine.require_model`; `tests/layers/test_memory.py` shows how.
"""
