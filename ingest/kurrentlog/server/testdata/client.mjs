// Uses a server as a client of others does: appends, reads, subscribes.
//
// Arguments: the folder that modules are found from, the connection string, and
// "write" if all that is wanted is one event.
// Prints one line of JSON: what each step gave, in words.
import { createRequire } from 'node:module';

const [, , folder, url, mode] = process.argv;
const db = createRequire(folder + '/')('@eventstore/db-client');
const { EventStoreDBClient, jsonEvent, binaryEvent, FORWARDS, BACKWARDS, START, END, NO_STREAM, STREAM_EXISTS, ANY } = db;

const client = EventStoreDBClient.connectionString(url);
const report = {};
const id = (n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const made = (n) => jsonEvent({ id: id(n), type: n % 2 ? 'odd' : 'even', data: { n }, metadata: { $correlationId: `c${n}` } });
const position = (p) => [String(p.commit), String(p.prepare)];

// attempt runs a step and gives its result or the kind of its error.
async function attempt(step) {
  try {
    return await step();
  } catch (e) {
    return { error: e.type ?? e.name, current: e.actualVersion === undefined ? undefined : String(e.actualVersion) };
  }
}

const append = (stream, events, expectedRevision) => attempt(async () => {
  const r = await client.appendToStream(stream, events, { expectedRevision });
  return { revision: String(r.nextExpectedRevision), position: position(r.position) };
});

async function list(events) {
  const all = [];
  for await (const { event } of events) {
    all.push({
      stream: event.streamId, revision: String(event.revision), id: event.id, type: event.type, json: event.isJson,
      data: event.isJson ? JSON.stringify(event.data) : Buffer.from(event.data).toString('hex'),
      metadata: event.metadata ? JSON.stringify(event.metadata) : '', position: position(event.position ?? { commit: 0, prepare: 0 }),
    });
  }
  return all;
}

// followed takes events of a subscription until it has `count`, and notes in
// which order what came.
function followed(subscription, count, checkpoints) {
  return new Promise((resolve, reject) => {
    const seen = [];
    const done = async () => {
      const result = { seen: [...seen], checkpoints: (checkpoints?.length ?? 0) > 0 };
      await subscription.unsubscribe();
      resolve(result);
    };
    subscription.on('confirmation', () => seen.push('confirmed'));
    subscription.on('caughtUp', () => seen.push('caught up'));
    subscription.on('fellBehind', () => seen.push('fell behind'));
    subscription.on('error', reject);
    subscription.on('data', ({ event }) => {
      seen.push(`${event.streamId} ${event.revision}`);
      if (seen.filter((s) => s.includes(' ') && s !== 'caught up' && s !== 'fell behind').length === count) done();
    });
  });
}

if (mode === 'write') {
  console.log(JSON.stringify(await append('things-1', [made(1)], ANY)));
  await client.dispose();
  process.exit(0);
}

report.created = await append('things-1', [made(1), made(2), made(3)], NO_STREAM);
report.createdAgain = await append('things-1', [made(4)], NO_STREAM);
report.retried = await append('things-1', [made(1), made(2), made(3)], NO_STREAM);
report.retriedAny = await append('things-1', [made(2), made(3)], ANY);
report.exact = await append('things-1', [made(5)], 2n);
report.exactRetried = await append('things-1', [made(5)], 2n);
report.wrong = await append('things-1', [made(6)], 2n);
report.exists = await append('things-1', [made(7)], STREAM_EXISTS);
report.missing = await append('things-2', [made(8)], STREAM_EXISTS);
report.any = await append('things-2', [made(8), binaryEvent({ id: id(9), type: 'odd', data: Buffer.from([0, 255, 1]) })], ANY);
report.tooLarge = await append('things-3', [jsonEvent({ type: 'big', data: { x: 'x'.repeat(1 << 20) } })], ANY);

report.forwards = await list(client.readStream('things-1', { direction: FORWARDS, fromRevision: START }));
report.middle = await list(client.readStream('things-1', { direction: FORWARDS, fromRevision: 1n, maxCount: 2 }));
report.backwards = await list(client.readStream('things-1', { direction: BACKWARDS, fromRevision: END, maxCount: 2 }));
report.binary = await list(client.readStream('things-2', { direction: BACKWARDS, fromRevision: END, maxCount: 1 }));
report.noStream = await attempt(() => list(client.readStream('things-none')));

report.all = await list(client.readAll({ direction: FORWARDS, fromPosition: START }));
const third = report.all[2].position;
const at = { commit: BigInt(third[0]), prepare: BigInt(third[1]) };
report.allFrom = (await list(client.readAll({ direction: FORWARDS, fromPosition: at, maxCount: 2 }))).map((e) => e.id);
report.allBackwards = (await list(client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 3 }))).map((e) => e.id);
report.allBackwardsFrom = (await list(client.readAll({ direction: BACKWARDS, fromPosition: at }))).map((e) => e.id);

const stream = followed(client.subscribeToStream('things-1', { fromRevision: 2n }), 3);
const checkpoints = [];
const filtered = followed(client.subscribeToAll({
  fromPosition: START,
  filter: { filterOn: db.EVENT_TYPE, prefixes: ['even'], maxSearchWindow: 1, checkpointInterval: 1, checkpointReached: async (_s, p) => { checkpoints.push(p); } },
}), 3, checkpoints);
const prefixed = followed(client.subscribeToAll({ fromPosition: at, filter: { filterOn: db.STREAM_NAME, prefixes: ['things-2'], checkpointInterval: 1 } }), 2);
await new Promise((r) => setTimeout(r, 200));
report.live = await append('things-1', [made(10)], ANY);
report.stream = await stream;
report.filtered = await filtered;
report.prefixed = await prefixed;

// What a live subscriber is sent, at once, is more than it may be behind.
const behind = followed(client.subscribeToStream('many-1', { fromRevision: START }), 41);
await new Promise((r) => setTimeout(r, 100));
await append('many-1', [made(100)], ANY);
await new Promise((r) => setTimeout(r, 100));
await append('many-1', Array.from({ length: 40 }, (_, i) => made(101 + i)), ANY);
report.behind = (await behind).seen.filter((s) => !s.startsWith('many'));

report.metadata = await attempt(async () => {
  await client.setStreamMetadata('things-1', { maxCount: 2 });
  return (await client.getStreamMetadata('things-1')).metadata.maxCount;
});
report.kept = (await list(client.readStream('things-1'))).map((e) => e.revision);
report.deleted = await attempt(async () => { await client.deleteStream('things-1'); return 'deleted'; });
report.deletedRead = await attempt(() => list(client.readStream('things-1')));
report.again = await append('things-1', [made(12)], ANY);
report.againRead = (await list(client.readStream('things-1'))).map((e) => e.revision);
report.tombstoned = await attempt(async () => { await client.tombstoneStream('things-2'); return 'tombstoned'; });
report.tombstonedRead = await attempt(() => list(client.readStream('things-2')));
report.tombstonedAppend = await append('things-2', [made(13)], ANY);

console.log(JSON.stringify(report));
await client.dispose();
