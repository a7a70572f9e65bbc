"""Every block size, queue length and time limit of the worker and its clients, with its unit and reason.

Modules read these as ``limits.NAME`` at the moment of use, so a test can change any of them in one place.
`docs/generate.py` makes a page of this file: the sections, and the text below each number.
"""

# -- Streaming protocol --------------------------------------------------------------------------------------------

PROTOCOL_CHANNELS = 64
"""Channels of a stream: as many as a MADI cable carries."""
PROTOCOL_FRAMES = 1 << 16
"""Frames of a BLOCK. Over a second at 48 kHz, for clients that render."""
PROTOCOL_EVENTS = 4096
"""Events of a BLOCK. A flood of them must not make a block late."""
PROTOCOL_JSON_BYTES = 1 << 16
"""Bytes of a JSON payload, except WELCOME. This includes the board file that a client may send."""
PROTOCOL_MESSAGE_BYTES = 4 * 1024 * 1024
"""Bytes of any payload. A BLOCK of 16,000 frames of 64 channels fits."""
PROTOCOL_REASON_CHARACTERS = 2000
"""Characters of the sentence in a REFUSE or NOTICE. The rest is cut."""
PROTOCOL_LATENCY_SAMPLES = 1 << 20
"""Samples of latency. A larger number from a worker is an error, not a delay that anybody wants."""

# -- Streams -------------------------------------------------------------------------------------------------------

STREAM_CLIENTS = 256
"""Clients of the streaming server. Each has a thread."""
STREAM_GREETINGS = 64
"""Connections without a valid HELLO. They do not count as clients. If there are more, one is closed."""
STREAM_HANDSHAKE_SECONDS = 5.0
"""Seconds from the connection to the end of HELLO. A slow client must not hold a thread."""
STREAM_IDLE_SECONDS = 60.0
"""Seconds without any message, PING too, after which a client is disconnected."""
STREAM_CLOSE_SECONDS = 1.0
"""Seconds for the server to send BYE to all clients when it closes."""
STREAM_MESSAGE_SECONDS = 10.0
"""Seconds for the rest of a message after its first byte. Single bytes do not extend it."""
STREAM_SEND_SECONDS = 5.0
"""Seconds for sending a message. A side that reads nothing for this long is gone."""
STREAM_REFUSE_SECONDS = 1.0
"""Seconds for a REFUSE to arrive before the connection is closed."""
STREAM_READ_BYTES = 1 << 16
"""Bytes read from a socket at once. So memory grows with what arrives, not with what a header announces."""
STREAM_PIECE_FRAMES = 8192
"""Frames that a board computes between checks whether its client is still connected."""
STREAM_PRESENCE_SECONDS = 0.005
"""Seconds between checks whether a client has left. A system call lets other threads run."""
STREAM_TIMEOUT_SLACK_SECONDS = 0.02
"""Seconds by which a socket's timeout may differ from the wanted one. This saves a system call."""
CHANGES_WAITING = 8192
"""Changes that a stream keeps for its next block, and also of those for later times."""
CHANGES_PER_BLOCK = 4096
"""Changes in one block. Further ones wait for the next block, so that a flood makes no block late."""
CLOCK_SLACK_SECONDS = 0.25
"""Seconds by which a stream's clock, which counts frames, may differ from the system's before it is set again."""
ADDRESSES_KNOWN = 1 << 14
"""Addresses that a board keeps resolved. A slot can be named in several ways."""
ADDRESSES_UNKNOWN = 256
"""Unknown addresses whose error a board keeps, so that repeated ones cost nothing."""
ADDRESS_UNKNOWN_SECONDS = 1.0
"""Seconds until an unknown address is looked for again. A plugin may get further parameters while it plays."""
ADDRESS_UNKNOWN_CHARACTERS = 256
"""Characters of an unknown address that is kept."""
TELEMETRY_BLOCKS = 1024
"""Blocks whose peaks are kept: 1.4 s of blocks of 64 frames at 48 kHz. Meters are read 20 times a second."""
REPORTS_WAITING = 1024
"""Reports of audio threads that wait for delivery. Further ones are counted and dropped."""
REPORT_REPEAT_SECONDS = 5.0
"""Seconds in which the same sentence about the same board is delivered once, with the number of repetitions."""
REPORTS_REMEMBERED = 256
"""Different reports whose repetitions are counted."""
NOTICE_REPEAT_SECONDS = 1.0
"""Seconds in which a client gets one NOTICE for each address."""
NOTICES_PER_PERIOD = 32
"""NOTICEs for all addresses together in that time."""

# -- Clients -------------------------------------------------------------------------------------------------------

CLIENT_ALIVE_SECONDS = 1.0
"""Seconds since the last message in which a worker counts as connected. After that, it gets a PING."""
CLIENT_ANSWER_SECONDS = 2.0
"""Seconds for a worker to answer a PING."""
CLIENT_GOODBYE_SECONDS = 0.2
"""Seconds for sending BYE. The worker notices the end of the connection anyway."""
CLIENT_EVENT_BYTES = 1 << 17
"""Bytes for events in the largest block. Further events go into the next block."""
CLIENT_MIDI_QUEUE = 1 << 16
"""MIDI messages that wait for the next block. Without audio, nothing takes them."""
CLIENT_PROBLEMS = 100
"""Messages of the worker that a client keeps."""
CLIENT_ROUND_TRIPS = 4096
"""Round trips that a client keeps for its statistics: 22 s of blocks of 256 frames at 48 kHz."""

# -- Trials of boards from the network -----------------------------------------------------------------------------

TRIAL_SECONDS = 30.0
"""Seconds for a trial. Most take one second, but a loaded machine needs more."""
TRIAL_MEMORY_BYTES = 2**31
"""Bytes of memory of a trial, which Linux enforces. It is twenty times what a large board needs."""
TRIALS_AT_ONCE = 2
"""Trials that run at once. Streams need the other cores."""
TRIAL_WAIT_SECONDS = 60.0
"""Seconds to wait for other trials: two of the longest."""
TRIAL_CHECK_SECONDS = 0.1
"""Seconds between checks whether a client still waits for the board."""
TRIAL_RESULTS = 512
"""Results of trials that are kept."""
TRIAL_SAMPLES = 1 << 17
"""Samples of all channels together: a second of stereo at 48 kHz, less time for more channels."""
TRIAL_BLOCK_SAMPLES = 1 << 20
"""Samples of the first block, which has the largest allowed size, of all channels together."""
TRIAL_BLOCKS = 4
"""Fewest blocks after the first one, so that noise and silence are both played more than once."""
TRIAL_ANSWER_CHARACTERS = 4000
"""Characters of the answer of a trial."""
BUNDLE_FILES = 1000
"""Files in a plugin's folder that are checked for changes."""
BOARD_ERROR_CHARACTERS = 1000
"""Characters of an error about a board. Fields in a text from the network can have names of any length."""

# -- OSC -----------------------------------------------------------------------------------------------------------

OSC_PACKET_BYTES = 65536
"""Bytes of a packet. A UDP datagram cannot be longer."""
OSC_MESSAGES = 4096
"""Messages of a bundle, with those of bundles in it."""
OSC_ARGUMENTS = 4096
"""Arguments of a message."""
OSC_DEPTH = 8
"""Depth of bundles in bundles, and of arrays in arrays."""
OSC_HORIZON_SECONDS = 3600.0
"""Seconds of a time tag from now. Waiting messages need memory."""
OSC_PATTERN_CHARACTERS = 512
"""Characters of an address with wildcards."""
OSC_PATTERN_STARS = 16
"""Stars in a part of a pattern. The work grows with each."""
OSC_PATTERN_STEPS = 500_000
"""Comparisons of one search, about a tenth of a second. Real patterns on large boards need 20,000."""
OSC_MATCHES = 1024
"""Addresses that one pattern may match, and so replies to one message."""
OSC_ERROR_CHARACTERS = 2000
"""Characters of an error reply."""
OSC_MESSAGES_PER_SECOND = 50_000
"""Messages of one sender in a second. Further ones are dropped, and the sender is informed once a second."""
OSC_COMPLAINTS_PER_SECOND = 10
"""Error replies in a second to one sender about packets that were not decoded."""
OSC_MACHINES = 1024
"""Machines whose allowances are remembered. The one heard longest ago is forgotten."""
OSC_QUEUE_BYTES = 1 << 20
"""Bytes that wait for one peer."""
OSC_DATAGRAM_BYTES = 8 << 20
"""Bytes that wait for all UDP peers together."""
OSC_OVERHEAD_BYTES = 64
"""Bytes that a queued packet counts in addition to its content. Empty packets need memory, too."""
OSC_BATCH_BYTES = 1 << 16
"""Bytes that are sent at once. Fewer system calls."""
OSC_SEND_SECONDS = 5.0
"""Seconds without reading after which a peer is disconnected."""
OSC_METER_SECONDS = 0.05
"""Seconds between meters: 20 a second, which looks smooth."""
OSC_CONNECTIONS = 64
"""TCP connections. Each has two threads."""
OSC_SUBSCRIBERS = 64
"""Subscribers. All of them get every meter."""
OSC_SUBSCRIBERS_OF_A_MACHINE = 16
"""UDP subscribers of one machine. One machine must not fill the list."""
OSC_SUBSCRIPTION_SECONDS = 3600.0
"""Seconds after the last packet from its machine in which a UDP subscription ends. UDP has no goodbye."""
OSC_FIRST_PACKET_SECONDS = 10.0
"""Seconds for the first packet of a TCP connection."""
OSC_PACKET_SECONDS = 10.0
"""Seconds for the rest of a packet after its first byte."""
OSC_TOKEN_SECONDS = 30.0
"""Seconds for the token of a TCP connection from another machine. A person may type it."""
OSC_IDLE_SECONDS = 600.0
"""Seconds between packets or replies of a TCP connection."""
OSC_BIND_ATTEMPTS = 8
"""Free ports that are tried until one is free for UDP and TCP."""

# -- Web page, OSCQuery and websockets -----------------------------------------------------------------------------

HTTP_REQUESTS = 64
"""HTTP requests at once. Each has a thread."""
HTTP_REFUSALS = 32
"""Connections beyond `HTTP_REQUESTS` that get an error. Further ones are closed without an answer."""
HTTP_HEAD_BYTES = 16384
"""Bytes of a request, head included. Those of the pages are far smaller."""
HTTP_HEAD_SECONDS = 5.0
"""Seconds for the head of a request."""
HTTP_ANSWER_SECONDS = 10.0
"""Seconds for a client to read an answer."""
HTTP_LINGER_SECONDS = 1.0
"""Seconds for an answer to arrive before the connection is closed."""
HTTP_GOODBYE_SECONDS = 0.7
"""Seconds that closing waits for zeroconf, twice at most. Zeroconf waits for the network."""
HTTP_QUERY_FIELDS = 16
"""Fields in the query of a URL. More of them would only cost time."""
WEBSOCKETS = 64
"""Websockets. Each has two threads."""
WEBSOCKET_LISTENED = 4096
"""Addresses that a websocket may listen to. A board has up to 4096 parameters."""
WEBSOCKET_PING_SECONDS = 20.0
"""Seconds between pings. A peer that has vanished misses three of them before it counts as silent."""
WEBSOCKET_SILENT_SECONDS = 60.0
"""Seconds without any answer, to pings too, after which a websocket is closed."""

# -- Sockets and security ------------------------------------------------------------------------------------------

SOCKET_TICK_SECONDS = 0.5
"""Seconds between checks of a thread that waits for a socket. It notices deadlines and the end of the server."""
SOCKET_LONGEST_PAUSE_SECONDS = 1.0
"""Longest pause in seconds after failed accepts, for example if the process has no file descriptor left."""
SOCKET_BACKLOG = 64
"""Connections that wait to be accepted."""
SOCKET_DATAGRAM_BYTES = 4 << 20
"""Bytes of received UDP packets that the system keeps for the worker."""
LOG_LINE_CHARACTERS = 1000
"""Characters of network text in a log line."""
GUESSES_AT_ONCE = 10
"""Wrong tokens that one machine may send in a row."""
GUESSES_PER_SECOND = 1.0
"""Attempts that one machine earns in a second."""
ALL_GUESSES_AT_ONCE = 100
"""Wrong tokens that all other machines may send in a row. So many addresses do not help."""
ALL_GUESSES_PER_SECOND = 10.0
"""Attempts that all other machines earn in a second."""
GUESSING_MACHINES = 1024
"""Machines whose wrong tokens are counted. The one heard longest ago is forgotten."""
TROUBLE_REPEAT_SECONDS = 60.0
"""Seconds in which an error of one kind is logged once, with the number of repetitions."""
TROUBLE_KINDS = 64
"""Kinds of errors that are counted. All others count as one kind."""

# -- Live audio ----------------------------------------------------------------------------------------------------

LIVE_EXTRA_PERIODS = 1
"""Periods between the arrival of a block and its return. This is the time to compute it."""
LIVE_RING_BLOCKS = 8
"""Blocks in the ring between the worker and the process for live audio. If all of them wait, the worker has stalled."""
LIVE_RING_LEFTOVER_SECONDS = 60
"""Age in seconds of a ring's file that a killed process has left. A younger one may be in use."""
LIVE_FIRST_WAIT_SECONDS = 0.25
"""Seconds until the first attempt to connect again. Each wait is twice the one before."""
LIVE_LONGEST_WAIT_SECONDS = 4.0
"""Longest wait in seconds between attempts to connect again."""
LIVE_START_SECONDS = 30.0
"""Seconds for an audio system to accept a client. A stopped server never answers."""
LIVE_END_SECONDS = 0.75
"""Seconds for the process to leave the audio system when the worker hangs up. Then it is killed."""
LIVE_TEND_SECONDS = 0.25
"""Seconds between checks of the worker and of the port connections."""
LIVE_LEAVE_SECONDS = 1.0
"""Seconds for the audio system to close a client. After that, the process ends anyway."""
LIVE_SILENT_SECONDS = 3.0
"""Seconds without a request for audio after which an interface counts as unplugged. Some systems do not report it."""
LIVE_METER_SECONDS = 0.05
"""Seconds between readings of the native loop's meters. Displays show them less often."""
LIVE_CHANGES_HANDED_OVER = 256
"""Waiting changes when a stream goes to the native loop. Blocks wait while Python sends them one by one."""

# -- MIDI, media and the config file -------------------------------------------------------------------------------

MIDI_SILENCE_SECONDS = 1.0
"""Seconds of silence after which a sender of active sensing is gone. The standard's 0.3 s is too short if busy."""
MIDI_ADDRESS_CHARACTERS = 256
"""Characters of an address that a controller can be bound to. It is written to the config file."""
MEDIA_PATH_CHARACTERS = 1024
"""Characters of a file name from the network."""
MEDIA_NAMES = 500
"""Names in a list of a folder."""
MEDIA_NAMES_BYTES = 2**15
"""Bytes of all names in a list of a folder. They fit into one datagram."""
MEDIA_SCANNED = 20_000
"""Entries of a folder that are looked at. A huge folder must not stop other messages."""
CONFIG_BYTES = 1 << 20
"""Bytes of the config file."""

# -- Renders on request ----------------------------------------------------------------------------------------------

RENDERS_WAITING = 64
"""Renders that wait or run, of all peers together."""
RENDERS_OF_ONE_PEER = 16
"""Renders that wait or run, of one peer. So one peer cannot fill the queue."""
RENDER_SECONDS = 4 * 3600.0
"""Seconds of the longest audio. A small compressed file could hold days of silence, whose render fills the disk."""
RENDER_SECONDS_AT_ONCE = 1200.0
"""Seconds of the longest audio for boards with plugins such as PitchShift, which keep all of it in memory."""

# -- Memory --------------------------------------------------------------------------------------------------------

MEMORY_ARENAS = 2
"""Arenas of glibc's allocator. Each would keep the largest amount that it ever used."""
MEMORY_TRIM_SECONDS = 20.0
"""Shortest time in seconds between two trims. A trim takes about a millisecond, and threads that allocate may wait."""
MEMORY_GROWTH_BYTES = 2**20
"""Bytes of growth since the last trim that cause another one."""
