package miner

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"wattbook/domain"
	"wattbook/ingest"
)

// decoder is the name and version of what turns a poll into samples.
const decoder = "cgminer/1"

// Limits on a poll. Together they keep the evidence of one poll below 64 MiB,
// whatever the miners send; see replyLimit.
const (
	// MinerLimit is the greatest number of miners of a source.
	MinerLimit = 1024
	// ReplyLimit is the greatest size of a reply in bytes. A summary has about
	// 1,500.
	ReplyLimit = 1 << 20
	// EveryLimit is the longest time between polls.
	EveryLimit = domain.Day

	rawLimit     = 48 << 20 // bytes of replies in a poll
	failureLimit = 256      // bytes of a failure
)

// replyLimit is the greatest reply that is read from one of n miners.
func replyLimit(n int) int { return min(ReplyLimit, rawLimit/n) }

// Poll is everything that a group of miners said when they were asked for one
// boundary: the evidence of a delivery. [Poll.Format] and [ParsePoll] undo
// each other.
type Poll struct {
	At      domain.Instant  // the boundary that was polled for
	Every   domain.Duration // how often the group is polled
	Replies []Reply         // in the order of the configuration
}

// Reply is what one miner said.
type Reply struct {
	Device  domain.DeviceID
	Address string  // host and port that were asked
	Dialect Dialect // as configured then
	// Bytes is what was received, with its terminator; empty if nothing was.
	Bytes []byte
	// Failure says why Bytes is not a whole reply; empty if it is one.
	Failure string
}

// Format writes the poll so that it can be decoded again years later:
//
//	cgminer/1 2026-10-14T17:35:00Z 5m0s 2
//	rack-01 10.0.0.7:4028 antminer 5 0
//	{...}
//	rack-02 10.0.0.8:4028 luxos 0 27
//	connect: connection refused
//
// After the head, which has the boundary, the time between polls and the
// number of miners, come each miner's device, address, dialect, and the
// lengths in bytes of the reply and of the failure, and on the next line both,
// one after the other, and a newline.
func (p Poll) Format() []byte {
	size := 64
	for _, r := range p.Replies {
		size += len(r.Device) + len(r.Address) + len(r.Bytes) + len(r.Failure) + 48
	}
	b := make([]byte, 0, size)
	b = fmt.Appendf(b, "%s %s %s %d\n", decoder, p.At, p.Every, len(p.Replies))
	for _, r := range p.Replies {
		b = append(append(b, r.Device...), ' ')
		b = append(append(b, r.Address...), ' ')
		b = append(append(b, r.Dialect.String()...), ' ')
		b = append(strconv.AppendInt(b, int64(len(r.Bytes)), 10), ' ')
		b = append(strconv.AppendInt(b, int64(len(r.Failure)), 10), '\n')
		b = append(append(append(b, r.Bytes...), r.Failure...), '\n')
	}
	return b
}

// ParsePoll reads what [Poll.Format] wrote, and nothing that it would have
// written otherwise. The replies share the memory of raw.
func ParsePoll(raw []byte) (Poll, error) {
	line, rest, ended := bytes.Cut(raw, []byte("\n"))
	head := strings.Split(string(line[:min(len(line), 120)]), " ")
	if !ended || len(head) != 4 || head[0] != decoder {
		return Poll{}, fmt.Errorf("poll of miners begins with %.60q, not with a head of %s", line, decoder)
	}
	var p Poll
	if err := errors.Join(p.At.UnmarshalText([]byte(head[1])), p.Every.UnmarshalText([]byte(head[2]))); err != nil {
		return Poll{}, fmt.Errorf("poll of miners: %w", err)
	}
	n, err := length(head[3], MinerLimit)
	switch {
	case err != nil:
		return Poll{}, fmt.Errorf("poll of miners: number of replies: %w", err)
	case p.At.String() != head[1] || p.Every.String() != head[2]:
		return Poll{}, fmt.Errorf("poll of miners: boundary %s or time between polls %s is not written as it should be", head[1], head[2])
	}
	if err := checkEvery(p.Every); err != nil {
		return Poll{}, fmt.Errorf("poll of miners: %w", err)
	}
	p.Replies = make([]Reply, n)
	for i := range p.Replies {
		if p.Replies[i], rest, err = parseReply(rest); err != nil {
			return Poll{}, fmt.Errorf("poll of miners: reply %d of %d: %w", i+1, n, err)
		}
	}
	if len(rest) > 0 {
		return Poll{}, fmt.Errorf("poll of miners: %d bytes after the last reply", len(rest))
	}
	return p, nil
}

// parseReply reads one miner's part of a poll and returns what follows it.
func parseReply(raw []byte) (r Reply, rest []byte, err error) {
	line, rest, _ := bytes.Cut(raw, []byte("\n"))
	head := strings.Split(string(line[:min(len(line), 512)]), " ")
	if len(head) != 5 {
		return r, nil, fmt.Errorf("%.60q is not the head of a reply", line)
	}
	r.Device, r.Address = domain.DeviceID(head[0]), head[1]
	if err := errors.Join(domain.CheckID("device", r.Device), checkAddress(r.Address)); err != nil {
		return r, nil, err
	}
	if r.Dialect, err = ParseDialect(head[2]); err != nil {
		return r, nil, err
	}
	size, err := length(head[3], ReplyLimit)
	if err != nil {
		return r, nil, fmt.Errorf("length of the reply: %w", err)
	}
	failure, err := length(head[4], failureLimit)
	if err != nil {
		return r, nil, fmt.Errorf("length of the failure: %w", err)
	}
	if len(rest) <= size+failure || rest[size+failure] != '\n' || size+failure == 0 {
		return r, nil, fmt.Errorf("%s does not have the %d and %d bytes that its head says", r.Device, size, failure)
	}
	r.Bytes, r.Failure = rest[:size:size], string(rest[size:size+failure])
	return r, rest[size+failure+1:], nil
}

// length reads a length of at most limit.
func length(s string, limit int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > limit || strconv.Itoa(n) != s {
		return 0, fmt.Errorf("%.20q is not a whole number from 0 to %d", s, limit)
	}
	return n, nil
}

// Decode turns the evidence of a poll into what was delivered of it: the same
// samples, values, silences and rejections, from the bytes alone. Source and
// Observed are not in the evidence and stay empty. It is an error if raw is
// not what [Poll.Format] writes; what a miner said can be no such error, only
// a rejection.
func Decode(raw []byte) (ingest.Delivery, error) {
	p, err := ParsePoll(raw)
	if err != nil {
		return ingest.Delivery{}, err
	}
	d := p.deliver()
	d.Raw = raw
	return d, nil
}
