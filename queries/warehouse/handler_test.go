package warehouse_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"wattbook/queries/warehouse"
)

func TestTheEndpointAnswersAndDoesNothingElse(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	var log strings.Builder
	limits := warehouse.Limits{Rows: 100, Time: 500 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	open := httptest.NewServer(warehouse.Handler(warehouse.HandlerConfig{Dir: s.dir, Limits: limits, Command: workCommand}))
	defer open.Close()
	guarded := httptest.NewServer(warehouse.Handler(warehouse.HandlerConfig{Dir: s.dir, Limits: limits, Token: "secret"}))
	defer guarded.Close()
	narrow := httptest.NewServer(warehouse.Handler(warehouse.HandlerConfig{Dir: s.dir, Limits: warehouse.Limits{Memory: "128MB", Bytes: 1000, Logger: limits.Logger}, Command: workCommand}))
	defer narrow.Close()
	none := httptest.NewServer(warehouse.Handler(warehouse.HandlerConfig{Dir: t.TempDir(), Command: workCommand}))
	defer none.Close()
	for _, c := range []struct {
		method, url, body string
		header            [2]string
		status            int
		want              string
	}{
		{"POST", open.URL + "/sql", "SELECT contract, start_utc FROM contracts ORDER BY 1", [2]string{}, 200, `{"contract":"aurora","start_utc":"2026-10-01 00:00:00"}` + "\n" + `{"contract":"castellan"`},
		{"POST", open.URL + "/sql?format=csv", "SELECT position, rate, NULL AS n FROM contract_charges WHERE charge = 'reserved'", [2]string{}, 200, "position,rate,n\n10,1450.0000000000,\n"},
		{"POST", open.URL + "/sql?format=csv", "SELECT site FROM sites WHERE false", [2]string{}, 200, "site\n"},
		{"GET", open.URL + "/sql/margin-by-use?month=2026-10", "", [2]string{}, 200, `"use":"mining"`},
		{"GET", open.URL + "/sql", "", [2]string{}, 200, `"name":"margin-by-use"`},
		{"GET", open.URL + "/sql/margin-by-use?month=x", "", [2]string{}, 400, "x"},
		{"GET", open.URL + "/sql/margins", "", [2]string{}, 404, "there is no question"},
		{"POST", open.URL + "/sql?format=xml", "SELECT 1", [2]string{}, 400, "json or csv"},
		{"POST", open.URL + "/sql", "SELEC 1", [2]string{}, 400, "syntax error"},
		{"POST", open.URL + "/sql", "DROP VIEW readings", [2]string{}, 403, "only a single SELECT"},
		{"POST", open.URL + "/sql", "SELECT * FROM read_text('/etc/passwd')", [2]string{}, 403, "only a single SELECT"},
		{"POST", open.URL + "/sql", "COPY sites TO '/tmp/sites.csv'", [2]string{}, 403, "only a single SELECT"},
		{"POST", open.URL + "/sql", "LOAD httpfs", [2]string{}, 403, "only a single SELECT"},
		{"POST", open.URL + "/sql", "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range = 7", [2]string{}, 413, "ran for 500ms"},
		{"POST", open.URL + "/sql", "SELECT range FROM range(1000)", [2]string{}, 200, `{"error":"the result has more than 100 rows`},
		{"POST", narrow.URL + "/sql", "SELECT len(range(150000000))", [2]string{}, 413, "more than 128MB of memory"},
		{"POST", narrow.URL + "/sql", "SELECT repeat('x', 2000)", [2]string{}, 413, "more than 1000 bytes"},
		{"POST", narrow.URL + "/sql", "SELECT repeat('x', 700) FROM range(2)", [2]string{}, 200, "{\"error\":\"the result has more than 1000 bytes"},
		{"POST", open.URL + "/sql", "SELECT 1", [2]string{"Origin", "https://elsewhere.example"}, 403, "refused"},
		{"POST", open.URL + "/sql", "SELECT 1", [2]string{"Host", "elsewhere.example"}, 403, "refused"},
		{"POST", guarded.URL + "/sql", "SELECT 1 AS one", [2]string{}, 403, "refused"},
		{"POST", guarded.URL + "/sql", "SELECT 1 AS one", [2]string{"Authorization", "Bearer secret"}, 200, `{"one":1}`},
		{"POST", none.URL + "/sql", "SELECT 1", [2]string{}, 503, "nothing is published"},
		{"DELETE", open.URL + "/sql", "", [2]string{}, 405, ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, c.url, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.header[0] == "Host" {
			r.Host = c.header[1]
		} else if c.header[0] != "" {
			r.Header.Set(c.header[0], c.header[1])
		}
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(got.Body)
		if err != nil || got.StatusCode != c.status || !strings.Contains(string(body), c.want) {
			t.Errorf("%s %s %q: %d, want %d and %q\n%s%v", c.method, c.url, c.body, got.StatusCode, c.status, c.want, body, err)
		}
		_ = got.Body.Close()
	}
	for _, attempt := range []string{"/etc/passwd", "DROP VIEW", "LOAD httpfs", "sites.csv", "150000000", "b.range = 7"} {
		if !strings.Contains(log.String(), attempt) {
			t.Errorf("the attempt %s is not logged:\n%s", attempt, log.String())
		}
	}
}
