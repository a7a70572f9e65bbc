"""Networks that play audio sample by sample: each sample is drawn from a distribution that depends on all before it.

- `model.WaveNet`: van den Oord et al. 2016, "WaveNet: a generative model for raw audio" (arXiv 1609.03499). Its cached
  generation is that of Le Paine et al. 2016, "Fast WaveNet generation algorithm" (arXiv 1611.09482).
- `model.Recurrent`: one GRU, steered while it sounds as in Wyse 2018, "Real-valued parametric conditioning of an RNN
  for interactive sound synthesis" (arXiv 1805.10808), with the single layer and the two output layers of Kalchbrenner
  et al. 2018, "Efficient neural audio synthesis" (WaveRNN, arXiv 1802.08435).

`description` has the sizes, `signal` turns audio into what the networks play and back, `conditions` says what steers
them, `sampling` draws samples, `generation` plays, and `files` reads and writes weights. Only `model`, `layers`,
`losses`, `generation` and `compiled_loss` import torch.

`compiled` plays in real time, `compiled_loss` trains, both in compiled kernels, and `speed` measures how many voices a
core plays.

# From the conditions to the audio

1. A performance gives frames of conditions, 250 per second: pitch, level, and the time since the onset and the release
   (`conditions.FRAME_NAMES`). Between frames they are interpolated linearly.
2. The phase of the pitch runs at the sample rate. Its sines and cosines are conditions, too. So the network need not
   count periods, and stays in tune.
3. The network draws one sample after another at 24 kHz. The samples have unit level and are pre-emphasised.
4. The samples are multiplied by the level and de-emphasised (`signal.Signal.unpack`). So quantisation noise follows the
   level, most of it lies where the ear hears it least, and a wrong sample can't become loud.

# Weights

A file is an archive (`neural_fx.formats.archive`) of the format ``neural-fx-autoregressive``. Its tensors are float32
and have the names and shapes of `description.weight_shapes`. With R residual channels, S skip channels, H units, C
conditions of a sample, and O outputs:

| name | shape | |
|---|---|---|
| ``front.table`` | (levels, R), or (levels, embedded) of a GRU | row of the previous sample's class |
| ``front.weight``, ``front.bias`` | (R, 1), (R,) | instead, where the outputs are logistics |
| ``layers.N.gate.weight``, ``.bias`` | (2 R, 2 R + C), (2 R,) | |
| ``layers.N.residual.weight``, ``.bias`` | (R, R), (R,) | not in the last layer |
| ``layers.N.skip.weight`` | (S, R) | |
| ``skip.bias`` | (S,) | once, for the sum of all layers |
| ``recurrent.input.weight``, ``.bias`` | (3 H, embedded + C), (3 H,) | rows: reset, update, new |
| ``recurrent.state.weight``, ``.bias`` | (3 H, H), (3 H,) | |
| ``hidden.weight``, ``.bias`` | (S, S), or (S, H) of a GRU, and (S,) | first output layer |
| ``last.weight``, ``.bias`` | (O, S), (O,) | second output layer |
| ``context.N.weight``, ``.bias`` | (2 K, 2 I), (2 K,) | context stack, if there is one |
| ``voices`` | (voices, global size) | one row for each trained instrument |

The columns of ``gate.weight`` are the layer's input ``dilation`` samples ago, its input now, and the conditions. The
first half of its rows goes to tanh, the second to the sigmoid. Conditions are in the order: frame conditions (or the
outputs of the context stack), sines and cosines of the phase, and the voice.
"""
