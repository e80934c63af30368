// Runs a projection as a server does, over events that are given, and prints
// the links that it makes.
//
// Standard input: JSON, {"projection": "…", "events": [{"streamId", "sequenceNumber", "metadataRaw"}, …]}.
import { readFileSync } from 'node:fs';

const { projection, events } = JSON.parse(readFileSync(0, 'utf8'));
const links = [];
let handlers;
const fromStream = (stream) => ({ when: (given) => { handlers = { stream, ...given }; } });
const linkTo = (stream, event) => {
  if (typeof event.sequenceNumber !== 'number' || typeof event.streamId !== 'string') throw new Error('invalid link');
  links.push(`${stream} ${event.sequenceNumber}@${event.streamId}`);
};
new Function('fromStream', 'linkTo', projection)(fromStream, linkTo);

let state = handlers.$init();
for (const event of events.filter((e) => e.streamId === handlers.stream)) {
  // A server keeps the state as JSON and may go on from there at any event.
  state = JSON.parse(JSON.stringify(handlers.$any(state, event)));
}
console.log(JSON.stringify(links));
