// The same servers on Node's net, as a Node program would be written. Options and output as in arguments.c.
'use strict';

const net = require('net');

const options = { mode: 'echo', 'write-size': 65536, 'in-flight': 8, port: 0, 'warm-up': 200, duration: 1000 };
for (let i = 2; i + 1 < process.argv.length; i += 2) {
  const name = process.argv[i].replace(/^--/, '');
  if (!(name in options)) {
    console.error(`node_server: there is no option '${process.argv[i]}'`);
    process.exit(2);
  }
  options[name] = name === 'mode' ? process.argv[i + 1] : Number(process.argv[i + 1]);
}

const say = (event) => process.stdout.write(JSON.stringify(event) + '\n');
const ignore = () => {};

function sink(socket) {
  let received = 0n;
  socket.on('data', (data) => {
    received += BigInt(data.length);
  });
  socket.on('end', () => {
    const count = Buffer.alloc(8);
    count.writeBigUInt64BE(received);
    socket.end(count);
  });
}

function source(socket) {
  const data = Buffer.alloc(options['write-size']);
  let writing = 0;
  const more = (error) => {
    writing--;
    if (!error) fill();
  };
  const fill = () => {
    while (!socket.destroyed && writing < options['in-flight']) {
      writing++;
      socket.write(data, more);
    }
  };
  fill();
}

const serve = {
  echo: (socket) => socket.on('data', (data) => socket.write(data)),
  sink,
  source,
  accept: (socket) => socket.destroy(),
};

function listen() {
  const server = net.createServer({ allowHalfOpen: options.mode === 'sink' }, (socket) => {
    socket.on('error', ignore); // the client has closed
    serve[options.mode](socket);
  });
  server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
    say({ event: 'ready', port: server.address().port });
  });
}

function cpuSeconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function switches() {
  const usage = process.resourceUsage();
  return usage.voluntaryContextSwitches + usage.involuntaryContextSwitches;
}

function connect() {
  const now = () => Number(process.hrtime.bigint()) / 1e6;
  const beginAt = now() + options['warm-up'];
  const latencies = [];
  let began = 0;
  let ended = false;
  let made = 0;
  let usage;

  const end = () => {
    latencies.sort((a, b) => a - b);
    const quantile = (share) => (latencies[Math.floor(share * latencies.length)] || 0) * 1000;
    say({
      event: 'end',
      seconds: (now() - began) / 1000,
      operations: latencies.length,
      bytes: 0,
      p50_us: quantile(0.5),
      p99_us: quantile(0.99),
      max_us: (latencies[latencies.length - 1] || 0) * 1000,
      stalls: latencies.filter((latency) => latency > 20).length,
      cpu_seconds: cpuSeconds() - usage.cpuSeconds,
      switches: switches() - usage.switches,
    });
    process.exit(0);
  };

  const next = () => {
    const start = now();
    if (!began && start >= beginAt) {
      began = start;
      usage = { cpuSeconds: cpuSeconds(), switches: switches() };
      say({ event: 'begin' });
    }
    if (ended) return;
    if (began && start >= began + options.duration) {
      ended = true;
      end();
      return;
    }
    const socket = net.connect({ host: `127.0.0.${1 + (made++ % 16)}`, port: options.port });
    socket.on('error', (error) => {
      console.error(`node_server: connect: ${error.message}`);
      process.exit(1);
    });
    socket.on('connect', () => socket.destroy());
    socket.on('close', () => {
      if (began && !ended) latencies.push(now() - start);
      next();
    });
  };
  for (let i = 0; i < options['in-flight']; i++) next();
}

if (options.mode === 'connect') connect();
else if (options.mode in serve) listen();
else {
  console.error(`node_server: there is no mode '${options.mode}'`);
  process.exit(2);
}
