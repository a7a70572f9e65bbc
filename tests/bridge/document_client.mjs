// A client of the streaming protocol, written from bridge/PROTOCOL.md and nothing else.
//
//   node document_client.mjs PORT < plan.json > output.f32
//
// The plan: {hello: {...}, blocks: [{channels: [[...], ...], events: [{frame, address, value} or {frame, midi: [...]}]}]}.
// Writes the samples of all AUDIOs as float32, and what it was told to stderr as JSON.
import net from "node:net";
import fs from "node:fs";

const Kind = { HELLO: 1, WELCOME: 2, REFUSE: 3, BLOCK: 4, AUDIO: 5, RESET: 6, PING: 7, PONG: 8, NOTICE: 9, BYE: 10 };

function message(kind, payload = Buffer.alloc(0), sequence = 0) {
  const header = Buffer.alloc(16);
  header.writeUInt8(kind, 0);
  header.writeUInt32LE(payload.length, 4);
  header.writeBigUInt64LE(BigInt(sequence), 8);
  return Buffer.concat([header, payload]);
}

function encodedEvent({ frame, address = "", value = 0, midi = [] }) {
  const name = Buffer.from(address, "utf8");
  const head = Buffer.alloc(16);
  head.writeUInt32LE(frame, 0);
  head.writeDoubleLE(value, 4);
  head.writeUInt16LE(name.length, 12);
  head.writeUInt16LE(midi.length, 14);
  return Buffer.concat([head, name, Buffer.from(midi)]);
}

function encodedBlock({ channels, events = [] }) {
  const frames = channels[0].length;
  const head = Buffer.alloc(8);
  head.writeUInt32LE(frames, 0);
  head.writeUInt16LE(channels.length, 4);
  head.writeUInt16LE(events.length, 6);
  const samples = Buffer.alloc(4 * frames * channels.length);
  channels.forEach((channel, c) => channel.forEach((sample, i) => samples.writeFloatLE(sample, 4 * (c * frames + i))));
  return Buffer.concat([head, ...events.map(encodedEvent), samples]);
}

function decodedAudio(payload) {
  const frames = payload.readUInt32LE(0);
  const channels = payload.readUInt16LE(4);
  return { frames, channels, samples: payload.subarray(8, 8 + 4 * frames * channels) };
}

class Messages {
  constructor(socket) {
    this.socket = socket;
    this.buffered = Buffer.alloc(0);
    this.chunks = socket[Symbol.asyncIterator]();
  }

  async take(count) {
    while (this.buffered.length < count) {
      const { value, done } = await this.chunks.next();
      if (done) throw new Error("the worker closed the connection");
      this.buffered = Buffer.concat([this.buffered, value]);
    }
    const taken = this.buffered.subarray(0, count);
    this.buffered = this.buffered.subarray(count);
    return taken;
  }

  async next() {
    const header = await this.take(16);
    const payload = await this.take(header.readUInt32LE(4));
    return { kind: header.readUInt8(0), sequence: Number(header.readBigUInt64LE(8)), payload };
  }

  // The next message that answers something; notices are kept, and PINGs answered.
  async answer(notices) {
    for (;;) {
      const found = await this.next();
      if (found.kind === Kind.NOTICE) notices.push(JSON.parse(found.payload));
      else if (found.kind === Kind.PING) this.socket.write(message(Kind.PONG, found.payload, found.sequence));
      else if (found.kind === Kind.REFUSE) throw new Error(JSON.parse(found.payload).reason);
      else if (found.kind === Kind.BYE) throw new Error("the worker says goodbye");
      else return found;
    }
  }
}

async function main(port, plan) {
  const socket = net.connect({ host: "127.0.0.1", port, noDelay: true });
  const messages = new Messages(socket);
  const notices = [];
  socket.write(message(Kind.HELLO, Buffer.from(JSON.stringify(plan.hello))));
  const welcome = await messages.answer(notices);
  if (welcome.kind !== Kind.WELCOME) throw new Error(`expected WELCOME, found ${welcome.kind}`);

  plan.blocks.forEach((block, i) => socket.write(message(Kind.BLOCK, encodedBlock(block), 100 + i)));
  for (const [i, block] of plan.blocks.entries()) {
    const { kind, sequence, payload } = await messages.answer(notices);
    const audio = decodedAudio(payload);
    if (kind !== Kind.AUDIO || sequence !== 100 + i) throw new Error(`expected AUDIO ${100 + i}, found ${kind} ${sequence}`);
    if (audio.frames !== block.channels[0].length) throw new Error(`block ${i} came back with ${audio.frames} frames`);
    fs.writeSync(1, audio.samples);
  }

  socket.write(message(Kind.PING, Buffer.from("there?"), 9));
  const pong = await messages.answer(notices);
  socket.write(message(Kind.RESET, Buffer.alloc(0), 10));
  const reset = await messages.answer(notices);
  socket.write(message(Kind.BYE));
  socket.end();
  const told = {
    welcome: JSON.parse(welcome.payload),
    notices,
    pong: [pong.kind, pong.sequence, pong.payload.toString()],
    reset: [reset.kind, reset.sequence, JSON.parse(reset.payload)],
  };
  fs.writeSync(2, JSON.stringify(told));
}

main(Number(process.argv[2]), JSON.parse(fs.readFileSync(0, "utf8"))).catch((error) => {
  fs.writeSync(2, String(error));
  process.exit(1);
});
