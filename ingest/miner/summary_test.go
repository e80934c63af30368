package miner_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/fixtures/fake"
	"wattbook/ingest"
	"wattbook/ingest/miner"
)

// decode decodes one reply as if it had been polled.
func decode(t testing.TB, d miner.Dialect, reply string) ingest.Delivery {
	t.Helper()
	return decodeEvery(t, 5*domain.Minute, d, reply)
}

func decodeEvery(t testing.TB, every domain.Duration, d miner.Dialect, reply string) ingest.Delivery {
	t.Helper()
	p := miner.Poll{At: boundary, Every: every, Replies: []miner.Reply{{
		Device: "rack-01", Address: "10.0.0.7:4028", Dialect: d, Bytes: []byte(reply),
	}}}
	got, err := miner.Decode(p.Format())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// registers are what was delivered of each channel: the register of a sample
// or the value.
func registers(d ingest.Delivery) map[domain.Channel]string {
	out := map[domain.Channel]string{}
	for _, s := range d.Samples {
		out[s.Channel] = s.Register.String()
	}
	for _, v := range d.Values {
		out[v.Channel] = v.Value.String()
	}
	return out
}

func reasons(d ingest.Delivery) string {
	var all []string
	for _, r := range d.Rejected {
		all = append(all, r.Reason)
	}
	return strings.Join(all, "; ")
}

// antminer is a reply of an Antminer with the summary given.
func antminer(summary string) string {
	return `{"STATUS":[{"STATUS":"S","When":1755615295,"Code":11,"Msg":"Summary","Description":"cgminer 1.0.0"}],"SUMMARY":[{` + summary + `}],"id":1}` + "\x00"
}

// plausible is a summary of 100 TH/s for an hour.
const plausible = `"Elapsed":3600,"GHS av":100000.00,"Total MH":360000000000.0000,"Difficulty Accepted":83819.07123456`

var plausibleRegisters = map[domain.Channel]string{domain.ChannelShares: "8381907123456", domain.ChannelHashes: "3600000000000000"}

// TestFieldReplies decodes replies that were recorded in the field. The
// registers were worked out by hand from the numbers in the files.
func TestFieldReplies(t *testing.T) {
	started := func(seconds int64) domain.Instant { return boundary.Add(-domain.Duration(seconds) * domain.Second) }
	for _, row := range []struct {
		file     string
		detected miner.Dialect
		started  domain.Instant
		want     map[domain.Channel]string
		rejected []string
	}{
		// "Difficulty Accepted" 1305083904.0 and "Total MH" 5643633754730.0
		{"antminer/v2020/summary.json", miner.DialectAntminer, started(50474), map[domain.Channel]string{
			domain.ChannelShares: "130508390400000000", domain.ChannelHashes: "56436337547300000",
		}, nil},
		// 42323968; and "GHS 5m" 61589.5 for 300 s
		{"luxos/v1/summary.json", miner.DialectLuxOS, started(3453), map[domain.Channel]string{
			domain.ChannelShares: "4232396800000000", domain.ChannelHashes: "18476850000000000",
		}, nil},
		// 158334976.0 and 687977549397.0; "Uptime" is 10792
		{"whatsminer/v1/summary.json", miner.DialectWhatsminer, started(10154), map[domain.Channel]string{
			domain.ChannelShares: "15833497600000000", domain.ChannelHashes: "6879775493970000",
		}, nil},
		{"whatsminer/v1/summary_with_errors.json", miner.DialectWhatsminer, started(10154), map[domain.Channel]string{
			domain.ChannelShares: "15833497600000000", domain.ChannelHashes: "6879775493970000",
		}, nil},
		// It tells neither.
		{"whatsminer/v2/summary.json", miner.DialectWhatsminer, 0, map[domain.Channel]string{}, []string{
			`shares: reply has no "Difficulty Accepted"`, `hashes: reply has no "Total MH"`,
		}},
	} {
		t.Run(row.file, func(t *testing.T) {
			b, err := os.ReadFile(fieldData(t, "miner-replies", row.file))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := miner.Detect(b); err != nil || got != row.detected {
				t.Errorf("detected %s, %v; want %s", got, err, row.detected)
			}
			for _, d := range []miner.Dialect{row.detected, miner.DialectAuto} {
				got := decode(t, d, string(b))
				if diff := cmp.Diff(row.want, registers(got)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", d, diff)
				}
				for _, s := range got.Samples {
					if s.Started != row.started {
						t.Errorf("%s started %s, want %s", s.Channel, s.Started, row.started)
					}
				}
				if len(got.Rejected) != len(row.rejected) {
					t.Errorf("rejected %v, want %q", got.Rejected, row.rejected)
				}
				for i, r := range got.Rejected {
					if want := "10.0.0.7:4028: " + row.rejected[i]; r.Reason != want {
						t.Errorf("rejected %q, want %q", r.Reason, want)
					}
				}
			}
		})
	}
}

func TestFieldRepliesOfOtherFamilies(t *testing.T) {
	t.Run("a LuxOS that is taken for an Antminer", func(t *testing.T) {
		b, err := os.ReadFile(fieldData(t, "miner-replies", "luxos/v1/summary.json"))
		if err != nil {
			t.Fatal(err)
		}
		got := decode(t, miner.DialectAntminer, string(b))
		if len(got.Samples) != 1 || got.Samples[0].Channel != domain.ChannelShares || !strings.Contains(reasons(got), "looks like a rate; if it is LuxOS, set the dialect to luxos") {
			t.Errorf("got samples %v, rejected %v", got.Samples, got.Rejected)
		}
	})
	t.Run("an Avalon is of no known family", func(t *testing.T) {
		b, err := os.ReadFile(fieldData(t, "miner-replies", "avalon/summary.json"))
		if err != nil {
			t.Fatal(err)
		}
		if d, err := miner.Detect(b); err == nil || !strings.Contains(err.Error(), `"cgminer 4.11.1"`) {
			t.Errorf("detected %s, %v", d, err)
		}
	})
}

func TestRepairs(t *testing.T) {
	for _, row := range []struct {
		name, reply string
	}{
		{"nothing to repair", antminer(plausible)},
		{"no terminator", strings.TrimSuffix(antminer(plausible), "\x00")},
		{"several terminators", antminer(plausible) + "\x00\r\n"},
		{"a comma before a brace", antminer(plausible + `,`)},
		{"a comma before a bracket", strings.Replace(antminer(plausible), `}],"id"`, `},],"id"`, 1)},
		{"a comma before the first record", strings.Replace(antminer(plausible), `"SUMMARY":[{`, `"SUMMARY":[,{`, 1)},
		{"no comma between records elsewhere", strings.Replace(antminer(plausible), `"SUMMARY"`, `"STATS":[{"a":1}{"b":[{}{}]}],"SUMMARY"`, 1)},
		{"no comma after a string", antminer(`"chip":"4530""temp0":"",` + plausible)},
		{"no comma after an empty string", antminer(`"chip":"""temp0":5,` + plausible)},
		{"no comma after a list", antminer(`"chips":[1,2]"temp0":5,` + plausible)},
		{"raw newlines in a string and between values", antminer("\"Error\":\"one\ntwo\",\r\n" + plausible + "\n")},
		{"a nan and an inf that nobody needs", antminer(`"GHS 5s":nan,"Temp":-nan,"Fan":inf,"Best Share":"nan",` + plausible)},
		{"numbers that are quoted", antminer(`"Elapsed":"3600","GHS av":"100000.00","Total MH":"360000000000.0000","Difficulty Accepted":"83819.07123456"`)},
		{"quotes that are escaped in a string", antminer(`"Firmware":"a \"},{\" b\\",` + plausible)},
		{"a status that informs", strings.Replace(antminer(plausible), `"STATUS":"S"`, `"STATUS":"I"`, 1)},
		{"a status that is flat", strings.Replace(antminer(plausible), `"STATUS":[{"STATUS":"S","When":1755615295,"Code":11,"Msg":"Summary","Description":"cgminer 1.0.0"}]`, `"STATUS":"S","Description":"cgminer 1.0.0"`, 1)},
		{"no id", strings.Replace(antminer(plausible), `,"id":1`, ``, 1)},
		{"digits below the unit", antminer(strings.Replace(plausible, "07123456", "071234569999", 1))},
		{"no digits after the point", antminer(strings.Replace(plausible, "360000000000.0000", "360000000000", 1))},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, d := range []miner.Dialect{miner.DialectAntminer, miner.DialectAuto} {
				got := decode(t, d, row.reply)
				if diff := cmp.Diff(plausibleRegisters, registers(got)); diff != "" || len(got.Rejected) > 0 {
					t.Errorf("%s: rejected %v, registers (-want +got):\n%s", d, got.Rejected, diff)
				}
			}
		})
	}
}

func TestRejectedReplies(t *testing.T) {
	status := func(s string) string {
		return strings.Replace(antminer(plausible), `"STATUS":"S","When":1755615295,"Code":11,"Msg":"Summary"`, s, 1)
	}
	for _, row := range []struct {
		name, reply, want string
	}{
		{"text where JSON should be", "STATUS=S,When=1,Code=11|SUMMARY,Elapsed=1|\x00", `byte 0: 'S' where '{' should be`},
		{"a web page", "<html></html>", `'<' where '{'`},
		{"only the end of a reply", `,"id":1}`, `',' where '{'`},
		{"a list", "[]", `'[' where '{'`},
		{"id 0", strings.Replace(antminer(plausible), `"id":1`, `"id":0`, 1), "id is 0: the miner cut its reply short"},
		{"id 0 with an error status", `{"STATUS":[{"STATUS":"E"}],"id":0}`, "id is 0"},
		{"no status", strings.Replace(antminer(plausible), `"STATUS":[`, `"Status":[`, 1), "reply has no STATUS"},
		{"two statuses", strings.Replace(antminer(plausible), `"STATUS":[{`, `"STATUS":[{},{`, 1), "2 STATUS records"},
		{"a warning", status(`"STATUS":"W","Code":9,"Msg":"it is hot"`), `status "W", code 9: "it is hot"`},
		{"an error without a message", status(`"STATUS":"E"`), `status "E", code absent: ""`},
		{"a fatal error", status(`"STATUS":"F","Code":"x\ny","Msg":{"a":1}`), `status "F"`},
		{"a status that is no text", status(`"STATUS":[]`), `status ""`},
		{"a flat error, as WhatsMiners send", `{"STATUS":"E","When":1,"Code":14,"Msg":"invalid cmd","Description":"whatsminer v1.1"}` + "\x00", `status "E", code 14: "invalid cmd"`},
		{"another command's reply", `{"STATUS":"S","When":1,"Code":131,"Msg":{"a":1},"Description":""}`, "0 SUMMARY records"},
		{"two summaries", strings.Replace(antminer(plausible), `"SUMMARY":[{`, `"SUMMARY":[{},{`, 1), "2 SUMMARY records"},
		{"a summary that is no list", strings.NewReplacer(`"SUMMARY":[{`, `"SUMMARY":{`, `}],"id"`, `},"id"`).Replace(antminer(plausible)), "'{' where '[' should be"},
		{"a field twice", antminer(plausible + `,"Elapsed":3600`), `"Elapsed" is there twice`},
		{"two ids", strings.Replace(antminer(plausible), `"id":1`, `"id":1,"id":1`, 1), `"id" is there twice`},
		{"no comma after a number", antminer(`"Accepted":40` + plausible), `'"' where a comma or '}' should be`},
		{"two commas", antminer(`"Accepted":40,,` + plausible), `',' where a field's name`},
		{"a comma before the first field", antminer(`,` + plausible), `',' where a field's name`},
		{"a comma before the first number of a list", antminer(`"a":[,1],` + plausible), "after the comma that begins a list"},
		{"nothing where a value should be", antminer(`"a":,` + plausible), `',' where a value should be`},
		{"a word that is none", antminer(`"a":nil,` + plausible), `"nil" is not a value`},
		{"a number that is none", antminer(`"a":1.2.3,` + plausible), `"1.2.3" is not a value`},
		{"a name without quotes", antminer(`a:1,` + plausible), `'a' where a field's name`},
		{"a name without a colon", antminer(`"a",` + plausible), `',' after the name "a"`},
		{"a list that is closed as an object", antminer(`"a":[1},` + plausible), `'}' where a comma or ']'`},
		{"too deep", antminer(`"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `,` + plausible), "nested deeper than 32"},
		{"another document after the end", antminer(plausible) + "{}", "2 more bytes after the end"},
		{"another document before the terminator", strings.Replace(antminer(plausible), "\x00", "{}\x00", 1), "3 more bytes after the end"},
		{"no Elapsed", antminer(strings.Replace(plausible, `"Elapsed":3600,`, ``, 1)), `reply has no "Elapsed"`},
		{"Elapsed in other letters", antminer(strings.Replace(plausible, `"Elapsed"`, `"elapsed"`, 1)), `reply has no "Elapsed"`},
		{"Elapsed of null", antminer(strings.Replace(plausible, `"Elapsed":3600`, `"Elapsed":null`, 1)), `"Elapsed" is null`},
		{"Elapsed below zero", antminer(strings.Replace(plausible, `"Elapsed":3600`, `"Elapsed":-1`, 1)), `"Elapsed" is -1`},
		{"Elapsed of centuries", antminer(strings.Replace(plausible, `"Elapsed":3600`, `"Elapsed":99999999999`, 1)), "want at most 1073741824"},
		{"Elapsed that is a time of day", antminer(strings.Replace(plausible, `"Elapsed":3600`, `"Elapsed":"1:00:00"`, 1)), `"Elapsed" is "1:00:00"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := decode(t, miner.DialectAntminer, row.reply)
			if len(got.Samples)+len(got.Values)+len(got.Silent) > 0 || len(got.Rejected) != 1 ||
				got.Rejected[0].Device != "rack-01" || !strings.Contains(reasons(got), row.want) {
				t.Errorf("got samples %v, rejected %v; want only a rejection with %q", got.Samples, got.Rejected, row.want)
			}
		})
	}
	t.Run("cut anywhere", func(t *testing.T) {
		whole := strings.TrimSuffix(antminer(plausible), "\x00")
		for n := 1; n < len(whole); n++ {
			got := decode(t, miner.DialectAntminer, whole[:n])
			if len(got.Samples) > 0 || len(got.Rejected) != 1 || !strings.Contains(reasons(got), "ends before it is complete") {
				t.Fatalf("cut after %d bytes: got samples %v, rejected %v", n, got.Samples, got.Rejected)
			}
		}
	})
}

func TestEachQuantityIsRejectedByItself(t *testing.T) {
	shares := map[domain.Channel]string{domain.ChannelShares: plausibleRegisters[domain.ChannelShares]}
	hashes := map[domain.Channel]string{domain.ChannelHashes: plausibleRegisters[domain.ChannelHashes]}
	for _, row := range []struct {
		name, old, new string
		want           map[domain.Channel]string
		reason         string
	}{
		{"shares are not a number", "83819.07123456", `"nan"`, hashes, `shares: "Difficulty Accepted" is "nan"`},
		{"shares are a bare nan", "83819.07123456", `nan`, hashes, `shares: "Difficulty Accepted" is nan`},
		{"shares have an exponent", "83819.07123456", `8.4e4`, hashes, `shares: "Difficulty Accepted" is 8.4e4; want a plain decimal`},
		{"shares are below zero", "83819.07123456", `-5.0`, hashes, `is -5.0`},
		{"shares are null", "83819.07123456", `null`, hashes, `is null`},
		{"shares are a list", "83819.07123456", `[83819]`, hashes, `is a list or an object`},
		{"shares are beyond what the ledger holds", "83819.07123456", strings.Repeat("9", 25), hashes, "want a plain decimal number from 0 to 2^96"},
		{"shares are missing", `"Difficulty Accepted"`, `"Accepted Difficulty"`, hashes, `reply has no "Difficulty Accepted"`},
		{"hashes are missing", `"Total MH"`, `"Total GH"`, shares, `hashes: reply has no "Total MH"`},
		{"hashes have nothing to be checked with", `"GHS av"`, `"GHS avg"`, shares, `hashes: reply has no "GHS av"`},
		{"hashes are at a rate beyond belief", "100000.00", strings.Repeat("9", 20), shares, "no miner is as fast"},
		{"hashes are a rate", "360000000000.0000", "100000000.1234", shares, `"Total MH" is 100000000.1234 after 3600 s at an average ("GHS av") of 100000.00: this firmware's total looks like a rate`},
		{"hashes are 0.2 % too many", "360000000000.0000", "360720000000.0000", shares, "it is not the work of that time"},
		{"hashes are 0.2 % too few", "360000000000.0000", "359280000000.0000", shares, "it is not the work of that time"},
		{"hashes are none at all", "360000000000.0000", "0.0000", shares, "it is not the work of that time"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := decode(t, miner.DialectAntminer, antminer(strings.Replace(plausible, row.old, row.new, 1)))
			if diff := cmp.Diff(row.want, registers(got)); diff != "" || len(got.Rejected) != 1 || !strings.Contains(reasons(got), row.reason) {
				t.Errorf("rejected %v, want %q; registers (-want +got):\n%s", got.Rejected, row.reason, diff)
			}
		})
	}
	t.Run("a total and an average that are both zero agree", func(t *testing.T) {
		got := decode(t, miner.DialectAntminer, antminer(`"Elapsed":86400,"GHS av":0.00,"Total MH":0.0000,"Difficulty Accepted":0.00000000`))
		if len(got.Samples) != 2 || len(got.Rejected) != 0 {
			t.Errorf("got samples %v, rejected %v", got.Samples, got.Rejected)
		}
	})
	t.Run("Elapsed before 1970", func(t *testing.T) {
		p := miner.Poll{At: domain.Unix(300), Every: 5 * domain.Minute, Replies: []miner.Reply{{Device: "a", Address: "b:1", Dialect: miner.DialectAntminer, Bytes: []byte(antminer(plausible))}}}
		if got, err := miner.Decode(p.Format()); err != nil || len(got.Samples) > 0 || !strings.Contains(reasons(got), "is not a time since 1970") {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

func TestDetect(t *testing.T) {
	for _, row := range []struct {
		name, description, fields string
		want                      miner.Dialect
		err                       string
	}{
		{"LuxOS by its description", "LUXminer 2025.4.8", `"GHS av":1`, miner.DialectLuxOS, ""},
		{"an Antminer by gigahashes", "cgminer 1.0.0", `"GHS av":1`, miner.DialectAntminer, ""},
		{"an S9 by its description and gigahashes", "bmminer 1.0.0", `"GHS av":1`, miner.DialectAntminer, ""},
		{"a WhatsMiner by what only it sends", "cgminer 4.9.2", `"MHS av":1,"HS RT":1`, miner.DialectWhatsminer, ""},
		{"btminer", "btminer", `"MHS av":1`, miner.DialectWhatsminer, ""},
		{"whatsminer", "whatsminer v1.4.0", `"MHS av":1`, miner.DialectWhatsminer, ""},
		{"plain cgminer is not known", "cgminer 4.11.1", `"MHS av":1`, 0, `"cgminer 4.11.1" is not known`},
		{"signs of two families are of none", "cgminer 4.11.1", `"MHS av":1,"GHS av":1,"HS RT":1`, 0, "is not known"},
		{"another program is not known", "BOSer boser-openwrt 0.1.0", `"MHS av":1`, 0, `"BOSer boser-openwrt 0.1.0" is not known; set its dialect`},
		{"no description at all", "", `"MHS av":1`, 0, `"" is not known`},
	} {
		t.Run(row.name, func(t *testing.T) {
			reply := strings.Replace(antminer(row.fields), "cgminer 1.0.0", row.description, 1)
			got, err := miner.Detect([]byte(reply))
			if got != row.want || (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
				t.Errorf("got %s, %v; want %s, %q", got, err, row.want, row.err)
			}
			if row.err != "" {
				if d := decode(t, miner.DialectAuto, reply); len(d.Samples) > 0 || !strings.Contains(reasons(d), row.err) {
					t.Errorf("decoded samples %v, rejected %v", d.Samples, d.Rejected)
				}
			}
		})
	}
	if _, err := miner.Detect([]byte("{")); err == nil {
		t.Error("detected half a reply")
	}
}

func TestLuxOSEstimate(t *testing.T) {
	rates := `"GHS av":7,"GHS 5s":8,"GHS 1m":1,"GHS 5m":5,"GHS 15m":15,"GHS 30m":30,"GHS 24h":24,"Difficulty Accepted":1`
	for _, row := range []struct {
		name    string
		every   domain.Duration
		elapsed int64
		want    string
	}{
		{"a minute takes the average over a minute", domain.Minute, 3600, "60000000000"},
		{"two minutes too", 2 * domain.Minute, 3600, "120000000000"},
		{"five minutes", 5 * domain.Minute, 3600, "1500000000000"},
		{"fifteen minutes", 15 * domain.Minute, 3600, "13500000000000"},
		{"half an hour", 30 * domain.Minute, 3600, "54000000000000"},
		{"an hour", domain.Hour, 36000, "108000000000000"},
		{"a miner that started within the interval worked since then", 5 * domain.Minute, 100, "500000000000"},
		{"a miner that has just started did nothing", 5 * domain.Minute, 0, "0"},
	} {
		t.Run(row.name, func(t *testing.T) {
			reply := antminer(fmt.Sprintf(`"Elapsed":%d,%s`, row.elapsed, rates))
			got := decodeEvery(t, row.every, miner.DialectLuxOS, reply)
			want := domain.Interval{Start: boundary.Add(-row.every), End: boundary}
			if len(got.Values) != 1 || got.Values[0].Value.String() != row.want || got.Values[0].Interval != want || len(got.Rejected) > 0 {
				t.Errorf("got %v, rejected %v; want %s over %s", got.Values, got.Rejected, row.want, want)
			}
		})
	}
	for _, row := range []struct{ name, rate, want string }{
		{"a rate that is missing is unknown, not zero", `"GHS 15m":1`, `hashes: reply has no "GHS 5m"`},
		{"a rate that is not a number is unknown", `"GHS 5m":"nan"`, `"GHS 5m" is "nan"`},
		{"a rate beyond belief is unknown", `"GHS 5m":999999999999999`, "no miner is as fast"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := decode(t, miner.DialectLuxOS, antminer(`"Elapsed":3600,"Difficulty Accepted":1,`+row.rate))
			if len(got.Values) > 0 || len(got.Samples) != 1 || !strings.Contains(reasons(got), row.want) {
				t.Errorf("got values %v, samples %v, rejected %v", got.Values, got.Samples, got.Rejected)
			}
		})
	}
}

// TestAgrees checks the rule on what firmware may print: a total that counts
// always passes, whatever the rounding, and a rate never passes once a miner
// has run for five seconds.
func TestAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Int64Range(1_000_000, 1<<50).Draw(t, "rate")     // in 100 hashes per second: from 100 MH/s on
		elapsed := rapid.Int64Range(5, 100_000_000).Draw(t, "elapsed") // as shown, in whole seconds
		part := rapid.Int64Range(-500_000, 999_999).Draw(t, "part")    // of a second, in microseconds, that is not shown
		rounding := rapid.SampledFrom([]int64{100, 100_000}).Draw(t, "rounding")
		total := domain.Int(rate).MulDiv(elapsed*1_000_000+part, 1_000_000)
		shown := rate/rounding*rounding + rapid.SampledFrom([]int64{0, rounding}).Draw(t, "up")
		if !miner.Agrees(total, shown, elapsed, rounding) {
			t.Fatalf("a total of %s does not agree with %d over %d s", total, shown, elapsed)
		}
		if rate > 1000*rounding && miner.Agrees(domain.Int(rate), shown, elapsed, rounding) {
			t.Fatalf("the rate %d passes for a total over %d s", rate, elapsed)
		}
	})
}

func TestParseFixed(t *testing.T) {
	limit := domain.DecimalFromInt(domain.ReadingLimit)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[0-9]{1,32}(\.[0-9]{1,12})?`).Draw(t, "text")
		places := rapid.IntRange(0, 9).Draw(t, "places")
		exact, err := domain.ParseDecimal(text)
		if err != nil {
			t.Fatal(err)
		}
		whole, _ := exact.Shift(int32(places)).Scaled(0)
		want, err := domain.IntFromBig(whole)
		wantOK := err == nil && domain.DecimalFromInt(want).Cmp(limit) <= 0
		got, ok := miner.ParseFixed([]byte(text), places)
		if ok != wantOK || ok && got != want {
			t.Fatalf("%s with %d places: got %s, %t; want %s, %t", text, places, got, ok, want, wantOK)
		}
	})
	for _, text := range []string{"", ".", "1.", ".5", "-1", "+1", "1e5", "0x1", "1,000", " 1", "1 ", "nan", "inf", "1.5.2", "1_0", "١"} {
		if v, ok := miner.ParseFixed([]byte(text), 4); ok {
			t.Errorf("%q was read as %s", text, v)
		}
	}
}

// FuzzDecodeReply decodes anything as a reply in every dialect. What comes of
// it must be something that the door can take; and whatever is JSON must be
// read as a JSON reader reads it.
func FuzzDecodeReply(f *testing.F) {
	f.Add([]byte(antminer(plausible)))
	f.Add([]byte(antminer(`"a":"""b":nan,"Elapsed":"3600",` + "\n" + `"GHS 5m":61589.5,"MHS av":0.1,"HS RT":1,"Total MH":360.0,"Difficulty Accepted":8,`)))
	f.Add([]byte(`{"STATUS":"E","When":1,"Code":14,"Msg":"invalid cmd","Description":"whatsminer v1.1"}`))
	f.Add([]byte(`{"STATUS":[{"STATUS":"S","Description":"LUXminer 2025"}],"SUMMARY":[,{"Elapsed":10,"GHS 5m":1.5,"Difficulty Accepted":1e5}],"id":1}`))
	f.Fuzz(func(t *testing.T, reply []byte) {
		if len(reply) == 0 || len(reply) > miner.ReplyLimit {
			return
		}
		for _, d := range []miner.Dialect{miner.DialectAuto, miner.DialectAntminer, miner.DialectWhatsminer, miner.DialectLuxOS} {
			got := decode(t, d, string(reply))
			if len(got.Silent) > 0 || len(got.Samples)+len(got.Values)+len(got.Rejected) == 0 {
				t.Fatalf("%s: got samples %v, values %v, silent %v, rejected %v", d, got.Samples, got.Values, got.Silent, got.Rejected)
			}
			for _, s := range got.Samples {
				if s.Register.Sign() < 0 || s.Register.Cmp(domain.ReadingLimit) > 0 || s.Started > boundary || s.Started < 0 {
					t.Errorf("%s: sample %+v", d, s)
				}
			}
			for _, v := range got.Values {
				r := domain.Reading{Device: v.Device, Channel: v.Channel, Interval: v.Interval, Value: v.Value, Mark: domain.MarkDelivered, Provenance: v.Provenance}
				if err := r.Validate(); err != nil {
					t.Errorf("%s: %v", d, err)
				}
			}
		}
		likeJSON(t, reply)
	})
}

// likeJSON checks that what the scanner reads of valid JSON is what
// encoding/json reads of it.
func likeJSON(t *testing.T, reply []byte) {
	got, err := miner.ScanFields(reply)
	if err != nil || !json.Valid(reply) || bytes.Contains(reply, []byte(`\`)) {
		return // malformed, repaired, or with names that are spelled with escapes
	}
	var want struct {
		SUMMARY []map[string]any
	}
	d := json.NewDecoder(bytes.NewReader(reply))
	d.UseNumber()
	if err := d.Decode(&want); err != nil {
		return // valid, but no summary
	}
	seen := map[string]string{}
	for _, m := range want.SUMMARY {
		for k, v := range m {
			if n, ok := v.(json.Number); ok {
				seen[k] = n.String()
			}
		}
	}
	for k, v := range got {
		if seen[k] != v {
			t.Errorf("%s: read %s, JSON says %q", k, v, seen[k])
		}
	}
}

// FuzzParsePoll reads anything as the evidence of a poll. What is accepted is
// written again as it was.
func FuzzParsePoll(f *testing.F) {
	f.Add(miner.Poll{At: boundary, Every: 5 * domain.Minute, Replies: []miner.Reply{
		{Device: "rack-01", Address: "10.0.0.7:4028", Dialect: miner.DialectLuxOS, Bytes: []byte(antminer(plausible))},
		{Device: "rack-02", Address: "[::1]:4028", Failure: "connect: connection refused"},
		{Device: "rack-03", Address: "miner-3.lan:4028", Dialect: miner.DialectWhatsminer, Bytes: []byte("{\n"), Failure: "no answer within 5s"},
	}}.Format())
	f.Add(miner.Poll{Every: domain.Second}.Format())
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := miner.ParsePoll(raw)
		d, decodeErr := miner.Decode(raw)
		if (err == nil) != (decodeErr == nil) {
			t.Fatalf("parse: %v, decode: %v", err, decodeErr)
		}
		if err != nil {
			return
		}
		if got := p.Format(); !bytes.Equal(got, raw) {
			t.Fatalf("%q was written as %q", raw, got)
		}
		if n := len(d.Samples) + len(d.Values) + len(d.Silent) + len(d.Rejected); n < len(p.Replies) {
			t.Errorf("%d replies came to %d results", len(p.Replies), n)
		}
	})
}

func TestPollFormat(t *testing.T) {
	p := miner.Poll{At: boundary, Every: 5 * domain.Minute, Replies: []miner.Reply{
		{Device: "rack-01", Address: "10.0.0.7:4028", Dialect: miner.DialectAntminer, Bytes: []byte("{...}\x00")},
		{Device: "rack-02", Address: "10.0.0.8:4028", Dialect: miner.DialectLuxOS, Failure: "connect: connection refused"},
		{Device: "rack-03", Address: "10.0.0.9:4028", Bytes: []byte(`{"ST`), Failure: "no answer within 5s"},
	}}
	const want = "cgminer/1 2026-10-14T17:35:00Z 5m0s 3\n" +
		"rack-01 10.0.0.7:4028 antminer 6 0\n{...}\x00\n" +
		"rack-02 10.0.0.8:4028 luxos 0 27\nconnect: connection refused\n" +
		"rack-03 10.0.0.9:4028 auto 4 19\n{\"STno answer within 5s\n"
	if got := string(p.Format()); got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	got, err := miner.ParsePoll([]byte(want))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := miner.ParsePoll([]byte("cgminer/1 2026-10-14T17:35:00Z 5m0s 0")); err == nil {
		t.Error("a head without its newline was accepted")
	}
	for i := range got.Replies { // an empty reply is nil or empty
		got.Replies[i].Bytes = append([]byte(nil), got.Replies[i].Bytes...)
	}
	if diff := cmp.Diff(p, got); diff != "" {
		t.Errorf("parsed (-want +got):\n%s", diff)
	}
	for _, row := range []struct{ name, old, new, want string }{
		{"another decoder", "cgminer/1", "cgminer/2", "not with a head of cgminer/1"},
		{"no head", "cgminer/1 ", "", "not with a head"},
		{"a boundary in another zone", "2026-10-14T17:35:00Z", "2026-10-14T19:35:00+02:00", "is not written as it should be"},
		{"a boundary that is none", "2026-10-14T17:35:00Z", "yesterday", `"yesterday" is not a time`},
		{"another way to write five minutes", "5m0s", "300s", "is not written as it should be"},
		{"no time between polls", "5m0s", "0s", "whole seconds"},
		{"more replies than there are", "5m0s 3", "5m0s 4", "reply 4 of 4"},
		{"fewer replies than there are", "5m0s 3", "5m0s 2", "after the last reply"},
		{"too many replies", "5m0s 3", "5m0s 3000", "from 0 to 1024"},
		{"a length with a zero in front", "antminer 6 0", "antminer 06 0", "length of the reply"},
		{"a length beyond the limit", "antminer 6 0", "antminer 9999999 0", "length of the reply"},
		{"a failure beyond the limit", "antminer 6 0", "antminer 6 999", "length of the failure"},
		{"a length that is too small", "antminer 6 0", "antminer 5 0", "does not have the 5 and 0 bytes"},
		{"neither reply nor failure", "antminer 6 0\n{...}\x00\n", "antminer 0 0\n\n", "does not have the 0 and 0 bytes"},
		{"an unknown dialect", "antminer", "avalon", `"avalon" is not one of`},
		{"a bad device", "rack-01", "Rack-01", `device "Rack-01"`},
		{"a bad address", "10.0.0.7:4028", "10.0.0.7", "miner address"},
		{"a missing word", "antminer 6 0", "antminer 6", "is not the head of a reply"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := miner.Decode([]byte(strings.Replace(want, row.old, row.new, 1)))
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want an error with %q", err, row.want)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, row := range dialects {
		s := serve(b, row.fake, func() (fake.MinerState, error) { return ran(fake.MinerFaultNone), nil })
		raw := poll(b, source(b, 0, miner.Miner{Device: "rack-01", Address: s.Addr(), Dialect: row.speak})).Raw
		b.Run("dialect="+row.name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if d, err := miner.Decode(raw); err != nil || len(d.Rejected) > 0 {
					b.Fatal(d.Rejected, err)
				}
			}
		})
	}
}

func BenchmarkPoll(b *testing.B) {
	for _, n := range []int{1, 12} {
		b.Run(fmt.Sprintf("miners=%d", n), func(b *testing.B) {
			var miners []miner.Miner
			for i := range n {
				row := dialects[i%len(dialects)]
				s := serve(b, row.fake, func() (fake.MinerState, error) { return ran(fake.MinerFaultNone), nil })
				miners = append(miners, miner.Miner{Device: domain.DeviceID(fmt.Sprintf("rack-%02d", i)), Address: s.Addr(), Dialect: row.speak})
			}
			s := source(b, 0, miners...)
			b.ReportAllocs()
			for b.Loop() {
				if d := poll(b, s); len(d.Silent)+len(d.Rejected) > 0 {
					b.Fatal(d.Silent, d.Rejected)
				}
			}
		})
	}
}
