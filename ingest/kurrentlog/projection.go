package kurrentlog

// LinksProjection is a projection for the server, in its JavaScript, that gives
// viewers the logical streams of a log as streams of links into the physical
// one. It follows the fold: an append is linked when it is whole, and a void one
// never. The log itself neither needs it nor reads what it writes.
//
// To install it, open the server's admin page, Projections, New Projection;
// name it wattbook-links, paste the text, choose Continuous and Emit Enabled,
// and start it. Or send the text to a server's HTTP port:
//
//	curl -u admin:… -X POST --data-binary @links.js 'https://host:2113/projections/continuous?name=wattbook-links&type=js&enabled=yes&emit=yes'
//
// The server must run user projections (RunProjections=All). For a log in a
// physical stream of another name, change the name in the first line. An event
// in several pieces is linked piece by piece.
const LinksProjection = `fromStream('wattbook-log').when({
  $init: function () {
    return { append: '', parts: 0, seen: 0, links: [] };
  },
  $any: function (s, e) {
    if (!e.metadataRaw) return s;
    var m = JSON.parse(e.metadataRaw);
    if (!m['wattbook.append']) return s;
    var part = m['wattbook.part'].split('/');
    var k = Number(part[0]), n = Number(part[1]);
    if (s.append !== m['wattbook.append'] || s.parts !== n || s.seen + 1 !== k) {
      s = { append: k === 1 ? m['wattbook.append'] : '', parts: n, seen: 0, links: [] };
      if (k !== 1) return s;
    }
    s.seen = k;
    s.links.push({ to: m['wattbook.stream'], number: Number(e.sequenceNumber) });
    if (k === n) {
      s.links.forEach(function (l) {
        linkTo(l.to, { sequenceNumber: l.number, streamId: e.streamId });
      });
      s = { append: '', parts: 0, seen: 0, links: [] };
    }
    return s;
  }
});
`
