"""Types of the compiled kernels. `neural_fx.engines.cpu` loads the module, if it was built.

Descriptions of networks have torch's shapes: weights are (out, in, taps), and the last tap is the present sample. Lists
are copied in both directions, so assign a whole list instead of changing one. Arrays are C-contiguous.

An argument that does not fit raises `ValueError`, and one of another type or shape raises `TypeError`.
"""

import enum
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# -- the machine ---------------------------------------------------------------------------------------------------

def instruction_set() -> str:
    """Return the instruction set that streams use on this machine."""

def instruction_sets() -> list[str]:
    """Return the instruction sets that can be used on this machine, fastest first."""

def fma_peak(instruction_set: str = "") -> float:
    """Measure for about 20 ms how many GFLOP/s of fused multiply-adds one core reaches; "" is the fastest set."""

def read_peak(bytes: int, instruction_set: str = "") -> float:
    """Measure for about 100 ms how many GB/s one core reads from `bytes` of memory, again and again."""

def allocations() -> int | None:
    """Return the number of C++ allocations of the calling thread so far. None unless a test counts them."""

def blocks_held() -> int | None:
    """Return the number of C++ memory blocks in use. None unless a test counts them."""

# -- descriptions of networks --------------------------------------------------------------------------------------

class Act(enum.Enum):
    """Kinds of activations. Those with ``fast`` compute about four digits."""

    tanh = 0
    tanh_fast = 1
    fasttanh = 2
    hardtanh = 3
    relu = 4
    leaky_relu = 5
    prelu = 6
    sigmoid = 7
    sigmoid_fast = 8
    silu = 9
    hardswish = 10
    leaky_hardtanh = 11
    softsign = 12
    linear = 13

class Gating(enum.Enum):
    """How a layer combines the two halves of its convolution's output."""

    none = 0
    gated = 1
    blended = 2

class Conv:
    """A causal convolution. One with 0 outputs stands for none."""

    def __init__(
        self, out: int, in_: int, taps: int, dilation: int, weight: Sequence[float], bias: Sequence[float]
    ) -> None:
        """Describe a convolution.

        Args:
            out: output channels.
            in_: input channels.
            taps: kernel size.
            dilation: samples between taps.
            weight: out * in * taps numbers.
            bias: one number for each output channel, or none.
        """

class Activation:
    """An activation with its parameters."""

    def __init__(self, kind: Act, params: Sequence[float], /) -> None:
        """Describe an activation.

        Args:
            kind: the function.
            params: leaky_relu: the slope. leaky_hardtanh: minimum, maximum, slopes below and above. prelu: the slope of
                each channel. None for the others.
        """

class Film:
    """A FiLM: a convolution of the condition that scales a signal, and shifts it if `shift` is True."""

    def __init__(self, conv: Conv, shift: bool, /) -> None:
        """Describe a FiLM."""

class Layer:
    """A layer of a WaveNet. `films` is empty, or has one for each site in the order of the file format."""

    conv: Conv
    mixin: Conv
    residual: Conv
    head: Conv
    activation: Activation
    secondary: Activation
    gating: Gating
    films: list[Film]

    def __init__(self) -> None:
        """Make an empty description."""

class Array:
    """A stack of layers of a WaveNet."""

    rechannel: Conv
    head: Conv
    layers: list[Layer]

    def __init__(self) -> None:
        """Make an empty description."""

class PostStage:
    """An activation and a convolution after the stacks of a WaveNet."""

    activation: Activation
    conv: Conv

    def __init__(self) -> None:
        """Make an empty description."""

class WaveNet:
    """A WaveNet. `condition` is empty, or has one WaveNet that computes the condition from the input."""

    in_: int
    head_scale: float
    arrays: list[Array]
    post: list[PostStage]
    condition: list[WaveNet]

    def __init__(self) -> None:
        """Make an empty description."""

    def batch(self, count: int, instruction_set: str = "") -> Batch:
        """Open `count` streams."""

    def window(self, length: int, instruction_set: str = "") -> Window:
        """Make a training window of `length` input samples, at least the receptive field."""

class Knobbed:
    """A WaveNet whose weights follow knobs. `learned` has the numbers of the knobs that the weights follow."""

    net: WaveNet
    learned: list[int]

    def __init__(self) -> None:
        """Make an empty description."""

    def add_dense(self, out: int, in_: int, weight: Sequence[float], bias: Sequence[float], /) -> None:
        """Add a fully connected layer from the knobs to the modulation; weights are (out, in)."""

    def add_level(self, index: int, gains: Sequence[float], /) -> None:
        """Add a knob that only sets the output gain: gains at evenly spaced rotations."""

    def batch(self, count: int, instruction_set: str = "") -> Batch:
        """Open `count` streams. Their inputs are the audio, then the knobs."""

class Stage:
    """A stage of a `Sequential`: a convolution, a scaling with a shift per channel, and an activation."""

    conv: Conv
    scale: list[float]
    shift: list[float]
    activation: Activation

    def __init__(self) -> None:
        """Make an empty description."""

class Sequential:
    """Convolutions, scalings and activations, one after another. With `skip`, the input is added to the output."""

    in_: int
    out: int
    skip: bool
    input_gain: float
    output_gain: float
    stages: list[Stage]

    def __init__(self) -> None:
        """Make an empty description."""

    def batch(self, count: int, instruction_set: str = "") -> Batch:
        """Open `count` streams."""

class RecurrentLayer:
    """A layer of LSTM or GRU units. Weights are in rows by gate, as in torch. `h0` and `c0` are the initial state."""

    in_: int
    hidden: int
    w_ih: list[float]
    w_hh: list[float]
    b_ih: list[float]
    b_hh: list[float]
    h0: list[float]
    c0: list[float]

    def __init__(self) -> None:
        """Make an empty description."""

class Recurrent:
    """LSTM or GRU layers and one linear output. `fast` computes the gates to about four digits."""

    lstm: bool
    skip: bool
    fast: bool
    input_gain: float
    output_gain: float
    layers: list[RecurrentLayer]
    head: list[float]
    head_bias: float

    def __init__(self) -> None:
        """Make an empty description."""

    def batch(self, count: int, instruction_set: str = "") -> Batch:
        """Open `count` streams."""

# -- streams and training ------------------------------------------------------------------------------------------

class Batch:
    """Streams of one network, which are processed in one call."""

    @property
    def allocations(self) -> int | None:
        """Number of C++ allocations inside `process` so far. None unless a test counts them."""

    def reset(self) -> None:
        """Forget the past of all streams."""

    def process(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> None:
        """Process a block without the GIL.

        Args:
            x: input, (streams, input channels, samples).
            y: output to write, (streams, output channels, samples).
        """

class Window:
    """A training window of a plain WaveNet: tanh, without gates or FiLM."""

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""

    @property
    def outputs(self) -> int:
        """Number of output samples: the length minus the receptive field, plus 1."""

    def forward(self, parameters: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]) -> None:
        """Compute the output, and keep what `backward` needs.

        Args:
            parameters: weights and biases, (parameters,).
            x: input, (input channels, length).
            y: output to write, (outputs,).
        """

    def backward(self, dy: NDArray[np.float32], gradients: NDArray[np.float32]) -> None:
        """Compute the gradients of the weights and biases.

        Args:
            dy: gradient of the output, (outputs,).
            gradients: gradients to write, (parameters,).
        """

# -- timbres -------------------------------------------------------------------------------------------------------

class Tracker:
    """A pitch tracker for a stream at half its sample rate."""

    def __init__(
        self,
        window: int,
        hop: int,
        first: int,
        lags: int,
        candidates: int,
        rate: float,
        bias: float,
        jump: float,
        cap: float,
        memory: float,
        /,
    ) -> None:
        """Start a stream.

        Args:
            window: samples of each frame.
            hop: samples between frames.
            first: shortest period in samples, at least 2.
            lags: longest period in samples.
            candidates: periods to keep for each frame.
            rate: sample rate in Hz, after halving.
            bias: how much clearer a peak must be than the one an octave above.
            jump: cost of a jump between candidates.
            cap: largest cost of a jump.
            memory: factor of the earlier costs at each frame, 0 to 1.
        """

    def process(
        self,
        half: NDArray[np.float32],
        f0: NDArray[np.float64],
        confidence: NDArray[np.float64],
        lags: NDArray[np.float64],
        clear: NDArray[np.float64],
        /,
    ) -> None:
        """Track the next frames without the GIL.

        Args:
            half: audio, at least (frames - 1) * hop + window samples.
            f0: pitch to write in Hz, (frames,).
            confidence: confidence to write, (frames,).
            lags: periods of the candidates to write, (frames, candidates).
            clear: clarity of the candidates to write, (frames, candidates).
        """

class Decoder:
    """The network of a timbre. Its scratch memory is for one thread at a time."""

    def __init__(
        self,
        hidden: int,
        harmonics: int,
        bands: int,
        weights: NDArray[np.float32],
        ratio: float,
        gate_low: float,
        gate_high: float,
        fade_low: float,
        fade_high: float,
        noise_power: float,
        band_weights: Sequence[float],
        /,
    ) -> None:
        """Load the weights.

        Args:
            hidden: units of the recurrent layer.
            harmonics: number of harmonics.
            bands: number of noise bands.
            weights: all weights in the order of `neural_fx.timbre.decoder`, 1-dimensional.
            ratio: natural logarithm of the largest learned factor of amplitude.
            gate_low: confidence below which the harmonics are silent.
            gate_high: confidence from which they have their full level.
            fade_low: frequency in Hz from which harmonics fade out.
            fade_high: frequency in Hz from which they are silent.
            noise_power: power of the white noise before its filter.
            band_weights: weight of each noise band, (bands,).
        """

    def decode(
        self,
        inputs: NDArray[np.float32],
        state: NDArray[np.float32],
        tones: NDArray[np.float32],
        noise: NDArray[np.float32],
        /,
    ) -> None:
        """Compute the next frames of some voices without the GIL.

        Args:
            inputs: (voices, frames, 3).
            state: recurrent state to read and replace, (voices, hidden).
            tones: amplitudes of the harmonics to write, (voices, frames, harmonics).
            noise: magnitudes of the noise bands to write, (voices, frames, bands).
        """

def harmonics(turns: NDArray[np.float64], amplitudes: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Add the harmonics of each row, without the GIL.

    Args:
        turns: phases of the fundamental in turns, (rows, hops * hop).
        amplitudes: amplitudes of the harmonics, (rows, hops + 1, harmonics).
        out: audio to write, (rows, hops * hop).
    """

def harmonics_adjoint(turns: NDArray[np.float64], audio: NDArray[np.float32], gradients: NDArray[np.float32]) -> None:
    """Compute the gradient of the amplitudes of `harmonics` from the gradient of the audio.

    Args:
        turns: phases as for `harmonics`.
        audio: gradient of the audio, (rows, hops * hop).
        gradients: gradient of the amplitudes to write, (rows, hops + 1, harmonics).
    """

def filtered_noise(
    basis: NDArray[np.float32],
    magnitudes: NDArray[np.float32],
    white: NDArray[np.float32],
    tail: NDArray[np.float32],
    out: NDArray[np.float32],
    /,
) -> None:
    """Filter white noise by bands, without the GIL. Hop and taps are multiples of 16.

    Args:
        basis: impulse responses of the bands, (bands, taps).
        magnitudes: of the bands, (voices, hops, bands).
        white: noise, (voices, hops, hop).
        tail: rest of the last hop to read and replace, (voices, taps).
        out: audio to write, (voices, hops, hop).
    """

# -- networks that play sample by sample -----------------------------------------------------------------------------

class GeneratorSizes:
    """Sizes of a network that plays sample by sample.

    A WaveNet has `dilations`, `residual` and `skip`. Without dilations, it is a recurrent network with `units` and
    `embedded`. If `values` has a number for each class, outputs are logits of classes. Otherwise they are logits, means
    and logarithms of the scales of logistics, and `peak` multiplies the samples.
    """

    dilations: list[int]
    residual: int
    skip: int
    units: int
    embedded: int
    hidden: int
    outputs: int
    frame: int
    harmonics: list[int]
    voice: int
    hop: int
    values: list[float]
    zero: int
    peak: float

    def __init__(self) -> None:
        """Make empty sizes."""

class Generators:
    """Voices of a network that plays sample by sample. Each has a slot."""

    def __init__(
        self, sizes: GeneratorSizes, weights: NDArray[np.float32], slots: int, instruction_set: str = ""
    ) -> None:
        """Make voices, and allocate everything that they need.

        Args:
            sizes: of the network.
            weights: one flat list, in the order of ``neural_fx.networks.autoregressive.description.weight_shapes``,
                without the context stack and the voices.
            slots: most voices.
            instruction_set: of the kernels; "" is the fastest one.
        """

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of weights that a sample reads."""

    @property
    def allocations(self) -> int | None:
        """C++ allocations inside `generate` and `force` so far. None unless a test counts them."""

    def start(self, slot: int, random: Sequence[int]) -> None:
        """Begin a new stream in a slot.

        Args:
            slot: from 0.
            random: state and increment of numpy's PCG64, each as its upper and lower 64 bits.
        """

    def set_temperature(self, slot: int, temperature: float) -> None:
        """Set the temperature of a slot's draws."""

    def generate(
        self,
        slots: NDArray[np.int32],
        frames: NDArray[np.float32],
        offsets: NDArray[np.int64],
        cycles: NDArray[np.float64],
        voices: NDArray[np.float32],
        out: NDArray[np.float32],
    ) -> None:
        """Draw a block of samples, without the GIL and without allocating.

        Args:
            slots: of the voices, (voices,).
            frames: (voices, frames, frame); the last one stays.
            offsets: samples from the first frame to the first sample, (voices,).
            cycles: phase of the pitch, (voices, samples).
            voices: (voices, voice).
            out: samples to write, (voices, samples).
        """

    def force(
        self,
        slots: NDArray[np.int32],
        previous: NDArray[np.float32],
        frames: NDArray[np.float32],
        offsets: NDArray[np.int64],
        cycles: NDArray[np.float64],
        voices: NDArray[np.float32],
        out: NDArray[np.float32],
    ) -> None:
        """Compute the distributions of given samples, without the GIL and without allocating.

        Args:
            slots: as of `generate`.
            previous: the sample before each sample, (voices, samples): classes, or values from -1 to 1.
            frames: as of `generate`.
            offsets: as of `generate`.
            cycles: as of `generate`.
            voices: as of `generate`.
            out: distributions to write, (voices, samples, outputs).
        """

class GeneratorWindow:
    """A network of classes that plays sample by sample, in training."""

    def __init__(self, sizes: GeneratorSizes, batch: int, samples: int, instruction_set: str = "") -> None:
        """Allocate a window.

        Args:
            sizes: of the network.
            batch: items.
            samples: of each item.
            instruction_set: of the kernels; "" is the fastest one.
        """

    @property
    def parameters(self) -> int:
        """Number of weights."""

    def run(
        self,
        parameters: NDArray[np.float32],
        previous: NDArray[np.int32],
        conditions: NDArray[np.float32],
        targets: NDArray[np.int32],
        weights: NDArray[np.float32],
        losses: NDArray[np.float32],
        gradients: NDArray[np.float32],
        condition_gradients: NDArray[np.float32],
    ) -> None:
        """Compute losses, and the gradients of their weighted sum, without the GIL.

        Args:
            parameters: weights as of `Generators`.
            previous: the class before each sample, (batch, samples).
            conditions: (batch, samples, conditions).
            targets: classes, (batch, samples).
            weights: of the losses, (batch, samples).
            losses: in nats to write, (batch, samples).
            gradients: of the parameters to write, (parameters,).
            condition_gradients: to write, (batch, samples, conditions).
        """

# -- live audio ----------------------------------------------------------------------------------------------------

if sys.platform != "win32":
    class Do(enum.Enum):
        """Steps of a `Program`.

        A program works on one block and on numbered copies. `keep` copies the block to a place, and `recall` copies it
        back. `clear` fills a place with zeros, and `add` adds the block to a place. `blend` goes from the copy to the
        block by a ramp.
        """

        keep = 0
        recall = 1
        clear = 2
        add = 3
        blend = 4

    class Program:
        """A board as a list of steps for a `NativeLoop`."""

        def __init__(self, channels: int, frames: int, rate: float) -> None:
            """Make an empty program.

            Args:
                channels: of the stream.
                frames: samples per block.
                rate: sample rate in Hz.
            """

        def add_ramp(
            self, value: float, target: float, step: float, samples: int, left: int, setting: float, aim: float
        ) -> int:
            """Add a ramp in its present state, and return its number.

            Args:
                value: present value.
                target: where it goes now.
                step: change per sample.
                samples: length of a whole ramp.
                left: samples that are left of this one.
                setting: the parameter in its own unit.
                aim: where the ramp goes from the next block on.
            """

        def add_step(self, what: Do, place: int, ramp: int = 0) -> None:
            """Add a step.

            Args:
                what: the kind of step.
                place: number of the copy. The first unused number makes a new one.
                ramp: number of the ramp of a `blend`.
            """

        def add_networks(self, networks: Sequence[Batch], ramps: Sequence[int]) -> int:
            """Add a step that runs networks, and return its number.

            Args:
                networks: batches with one stream for each channel in all.
                ramps: numbers of the ramps of the gain before, the knobs and the gain after; or none.
            """

        def remember(self, step: int, past: NDArray[np.float32]) -> None:
            """Keep the last inputs of networks from now on.

            Args:
                step: number of their step.
                past: inputs so far, (channels, inputs, samples).
            """

        def remembered(self, step: int, past: NDArray[np.float32]) -> None:
            """Write the inputs that were kept, the oldest first. The program must not be playing.

            Args:
                step: number of the step.
                past: inputs to write, (channels, inputs, samples).
            """

        def ramp(self, index: int) -> tuple[float, float, float, int, float]:
            """Return value, target, step, samples left and setting of a ramp. The program must not be playing."""

    class NativeLoop:
        """A thread that plays a program on the blocks of two rings, without the interpreter."""

        def __init__(
            self,
            source: int,
            incoming: NDArray[np.uint8],
            outgoing: NDArray[np.uint8],
            head: int,
            blocks: int,
            block: int,
        ) -> None:
            """Start the thread. It waits for `start`.

            Args:
                source: file descriptor of the process that does the audio.
                incoming: memory of the ring of input blocks.
                outgoing: memory of the ring of output blocks.
                head: bytes of each of the two counters before the first block of a ring.
                blocks: blocks in each ring.
                block: float32 numbers in a block: channels * frames.
            """

        def start(
            self, program: Program, next: Program | None, warming: int, done: int, length: int, clock: float
        ) -> bool:
            """Play from the next block on. Return False if the source has ended.

            Args:
                program: to play.
                next: program to fade to.
                warming: samples that `next` still warms up.
                done: samples of the fade that are done.
                length: samples of the whole fade.
                clock: the stream's time in seconds.
            """

        def stop(self) -> bytes:
            """Stop after the present block. Return what was read of the source and not passed on."""

        def change(self, program: Program, ramp: int, offset: int, setting: float, target: float, when: float) -> bool:
            """Aim a ramp of a program. Return False if too many changes wait.

            Args:
                program: one that plays or is about to.
                ramp: number of the ramp.
                offset: frames into the next block.
                setting: the parameter in its own unit.
                target: where the ramp goes.
                when: Unix time in seconds; 0 for `offset`.
            """

        def unmade(self, program: Program) -> list[tuple[int, int, float, float, float]]:
            """Return ramp, offset, setting, target and time of the waiting changes of a program, while stopped."""

        def close(self) -> None:
            """End the thread after the present block."""

        def call(self) -> None:
            """Make `attention` readable."""

        def heard(self) -> None:
            """Read everything from `attention`."""

        def take_peaks(self) -> tuple[float, float]:
            """Return the largest magnitudes of input and output since the last call."""

        @property
        def fade(self) -> tuple[int, int]:
            """Samples that the next program still warms up, and samples of the fade that are done, while stopped."""

        @property
        def fade_finished(self) -> bool:
            """Whether the next program has replaced the first."""

        @property
        def fade_failed(self) -> bool:
            """Whether the next program had an output that is not finite."""

        @property
        def messages(self) -> int:
            """File descriptor with messages of the source."""

        @property
        def attention(self) -> int:
            """File descriptor that becomes readable when something has happened."""

        @property
        def clock(self) -> float:
            """Time of the stream in seconds, while stopped."""

        @property
        def blocks(self) -> int:
            """Blocks played so far."""

        @property
        def late(self) -> int:
            """Blocks so far that missed their deadline."""

        load: float
        """Share of a block's time that processing takes, as a moving average. Setting it starts a new average."""

        @property
        def failed(self) -> bool:
            """Whether an output was not finite. The dry signal passes then."""

        @property
        def realtime(self) -> bool:
            """Whether the thread runs at a realtime priority."""

        @property
        def allocations(self) -> int | None:
            """Number of C++ allocations of the thread so far. None unless a test counts them."""

# -- voices --------------------------------------------------------------------------------------------------------

class VoiceModel:
    """A timbre: its network and the impulse response of its room."""

    def __init__(self, decoder: Decoder, room: NDArray[np.float32]) -> None:
        """Take a network, which no other object may use at the same time.

        Args:
            decoder: the network.
            room: (taps,), the impulse response without the direct sound. Empty: no reverb.
        """

class VoiceSettings:
    """What all voices share.

    Attributes:
        voices: number of voices.
        hop: samples between frames.
        bands: magnitudes of the noise in a frame.
        taps: length of the noise filter, a multiple of 16.
        rate: sample rate in Hz.
        silent_db: loudness below which a voice is silent.
        full_db: loudness above which a voice has its full level.
        knob_samples: samples that a change of the reverb or of the morph takes.
        knob_frames: frames that a change of another knob takes.
        basis: (bands * taps), the matrix from magnitudes to the taps of the noise filter.
        band_octaves: (bands), octaves of the bands from 1 kHz.
    """

    voices: int
    hop: int
    bands: int
    taps: int
    rate: float
    silent_db: float
    full_db: float
    knob_samples: int
    knob_frames: int
    basis: list[float]
    band_octaves: list[float]

    def __init__(self) -> None:
        """Start with zeros, and one voice."""

    def set_random(self, state: Sequence[int]) -> None:
        """Set the state and the increment of numpy's PCG64, each as its upper and lower 64 bits."""

class AnalysisSettings:
    """How the pitch and the loudness of an input are measured.

    Attributes:
        window: samples of a frame, a power of two.
        lowpass: taps of the filter before every second sample is taken.
        hann: (window), the window of the spectrum.
        weights: (window / 2 + 1), factors from the power of each bin to that of the loudness.
        silence_db: lowest loudness.
        clear_db: loudness from which there may be a pitch.
    """

    window: int
    lowpass: list[float]
    hann: list[float]
    weights: list[float]
    silence_db: float
    clear_db: float

    def __init__(self) -> None:
        """Start with zeros."""

    def set_pitch(
        self,
        window: int,
        hop: int,
        first: int,
        lags: int,
        candidates: int,
        rate: float,
        bias: float,
        jump: float,
        cap: float,
        memory: float,
        /,
    ) -> None:
        """Set how the pitch is tracked. The arguments are those of `Tracker`."""

class FitSettings:
    """How the input is fitted to the register and the dynamics of a timbre.

    Attributes:
        confident: confidence from which a frame counts.
        audible_db: loudness from which a frame counts.
        slack_octaves: octaves by which the mean pitch may lie outside the register.
        rest: frames without a pitch after which the octave may change.
        evidence: frames with a pitch before the octave is chosen.
    """

    confident: float
    audible_db: float
    slack_octaves: float
    rest: int
    evidence: int

    def __init__(self) -> None:
        """Start with zeros."""

class NoteSettings:
    """How notes begin and end.

    Attributes:
        confidence: of a settled tone.
        silent_db: loudness at which a released note ends.
        vibrato_begins: seconds into a note.
        vibrato_full: seconds into a note at which the vibrato has its full depth.
        slowest_attack: seconds.
        slowest_release: dB per second.
        fastest_attack: seconds.
        least_vibrato: cents.
        fade: samples in which a stolen voice fades out.
    """

    confidence: float
    silent_db: float
    vibrato_begins: float
    vibrato_full: float
    slowest_attack: float
    slowest_release: float
    fastest_attack: float
    least_vibrato: float
    fade: int

    def __init__(self) -> None:
        """Start with zeros."""

class Transfer:
    """One voice that follows the pitch and the loudness of its input."""

    def __init__(
        self,
        settings: VoiceSettings,
        models: Sequence[VoiceModel],
        analysis: AnalysisSettings,
        fit: FitSettings,
        first: Sequence[float],
        second: Sequence[float],
        knobs: Sequence[float],
    ) -> None:
        """Open a stream.

        Args:
            settings: of the voice.
            models: one, or two to morph between.
            analysis: how the input is measured.
            fit: how the input is fitted to the timbre.
            first: the fields of `neural_fx.timbre.files.Habits` of the first timbre, in their order.
            second: the same of the second timbre.
            knobs: start values, in the order of `neural_fx.timbre.compiled.TRANSFER_KNOBS`.
        """

    def process(self, audio: NDArray[np.float32], knobs: Sequence[float], out: NDArray[np.float32]) -> int:
        """Process a block, and return how many samples were written. Releases the GIL, and allocates nothing.

        Args:
            audio: (samples,).
            knobs: values to move to.
            out: room for two hops more than `audio`.
        """

class Notes:
    """Voices that play notes, all computed together."""

    def __init__(
        self,
        settings: VoiceSettings,
        models: Sequence[VoiceModel],
        playing: NoteSettings,
        first: Sequence[float],
        second: Sequence[float],
        knobs: Sequence[float],
    ) -> None:
        """Open silent voices.

        Args:
            settings: of the voices.
            models: one, or two to morph between.
            playing: how notes begin and end.
            first: the fields of `neural_fx.timbre.files.Habits` of the first timbre, in their order.
            second: the same of the second timbre.
            knobs: start values, in the order of `neural_fx.timbre.compiled.NOTE_KNOBS`.
        """

    def start(self, voice: int, touch: Sequence[float], held: bool) -> None:
        """Begin a note at the next sample. A voice that still sounds fades out meanwhile.

        Args:
            voice: its number.
            touch: pitch as a note number, velocity, pressure, and the controllers 1 (vibrato), 2 (strength), 7
                (volume), 11 (expression) and 74 (brightness), each 0..1.
            held: whether a key or a pedal holds it.
        """

    def change(self, voice: int, touch: Sequence[float], held: bool) -> None:
        """Change a note from the next frame on. The arguments are those of `start`."""

    def sounding(self, voice: int) -> bool:
        """Return whether a voice still makes sound."""

    def level(self, voice: int) -> float:
        """Return roughly how loud a voice is, in dB."""

    def render(self, knobs: Sequence[float], out: NDArray[np.float32]) -> None:
        """Render the sum of all voices. Releases the GIL, and allocates nothing.

        Args:
            knobs: values to move to.
            out: (samples,).
        """
