package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/settlement/audit"
	"wattbook/settlement/document"
)

// octoberScript is a site's October, in metering intervals of a day, and a
// contract: 10 x 100 + 31 x 100 kWh x 0.05 = 1155, tax 115.50, total 1270.50.
const octoberScript = `
now 2026-09-15
site s step=24h zone=UTC
meter revenue
meter n4 under=revenue use=ai
read revenue 2026-10@UTC 310kWh every=24h
read n4 2026-10@UTC 100kWh every=24h
price hb_south 2026-10@UTC 24h 50
now 2026-11-02T09:00
contract aurora tax=0.1 days=30
charge space reserved-power 10 x 100
charge power power-pass-through n4
charge sla sla-credit n4 on-claim bands=0.999:0.1
`

// TestTheLifeOfAnInvoice drafts, issues, corrects, pays and voids invoices by
// the command line, and replays the book at the end.
func TestTheLifeOfAnInvoice(t *testing.T) {
	data := scriptedBook(t, octoberScript)
	file := filepath.Join(t.TempDir(), "corrected.csv")
	if err := os.WriteFile(file, []byte("device,channel,start,end,value,unit\nn4,energy.import,2026-10-14T00:00:00Z,2026-10-15T00:00:00Z,120,kWh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"a draft shows and records nothing", []string{"invoice", "run", "--period", "2026-10", "--dry-run"}, exitOK, []string{"a draft, nothing is recorded", "1,270.50 USD", "as of position 7"}},
		{"a draft of an earlier position says what is missing", []string{"invoice", "run", "--period", "2026-10", "--dry-run", "--as-of", "6"}, exitOK, []string{"as of position 6"}},
		{"a draft of an earlier time", []string{"invoice", "run", "--period", "2026-10", "--dry-run", "--as-of", "2026-09-20T00:00Z"}, exitOK, []string{"as of position 6"}},
		{"of a customer", []string{"invoice", "run", "--period", "2026-10", "--dry-run", "--customer", "aurora"}, exitOK, []string{"1,270.50 USD"}},
		{"of nobody", []string{"invoice", "run", "--period", "2026-10", "--customer", "nobody"}, exitFinding, []string{"has no customer nobody; known are [\"aurora\"]"}},
		{"of a contract that there is not", []string{"invoice", "run", "--period", "2026-10", "--customer", "aurora", "--contract", "x"}, exitFinding, []string{"has no contract x; known are"}},
		{"a position beyond the log", []string{"invoice", "run", "--period", "2026-10", "--dry-run", "--as-of", "99"}, exitUsage, []string{"the log holds 7 events"}},
		{"what is issued is issued from all that is known", []string{"invoice", "run", "--period", "2026-10", "--as-of", "6"}, exitUsage, []string{"--as-of needs --dry-run"}},
		{"nothing is issued yet", []string{"invoice", "list"}, exitFinding, []string{"no invoice of s is issued"}},
		{"issued", []string{"invoice", "run", "--period", "2026-10"}, exitOK, []string{"CB-20", "1,270.50 USD  issued;", "breaks BR-S-02: the seller has no tax identifier"}},
		{"a run twice", []string{"invoice", "run", "--period", "2026-10"}, exitOK, []string{"was issued before"}},
		{"a draft of what is issued", []string{"invoice", "run", "--period", "2026-10", "--dry-run"}, exitOK, []string{"is issued, and nothing of it is to be corrected"}},
		{"a corrected reading arrives", []string{"import", "readings", file, "--corrects"}, exitOK, nil},
		{"the way from usage differs", []string{"verify", "--money"}, exitFinding, []string{"rated again it is 1.10 USD more, since readings of n4 came on record: 1 corrected: wattbook invoice run issues the note"}},
		{"a draft of the note", []string{"invoice", "run", "--period", "2026-10", "--dry-run", "--json"}, exitOK, []string{`"kind": "debit"`, `"1.10 USD"`}},
		{"the note", []string{"invoice", "run", "--period", "2026-10"}, exitOK, []string{"debit note for CB-", "readings of n4 came on record: 1 corrected"}},
		{"a claim of a credit that there is not", []string{"invoice", "claim", "aurora", "slo", "--period", "2026-10"}, exitFinding, []string{`has no credit "slo"`}},
		{"paid in part", []string{"invoice", "pay", "NUMBER", "--amount", "1000", "--reference", "T1", "--at", "2026-11-20"}, exitOK, []string{"recorded", "part paid: paid 1,000.00 USD, open 271.60 USD"}},
		{"the same payment again", []string{"invoice", "pay", "NUMBER", "--amount", "1000", "--reference", "T1", "--at", "2026-11-20"}, exitOK, []string{"was recorded before", "open 271.60 USD"}},
		{"the same reference with another amount", []string{"invoice", "pay", "NUMBER", "--amount", "999", "--reference", "T1", "--at", "2026-11-20"}, exitFinding, []string{"on record with another amount"}},
		{"an amount with too many digits", []string{"invoice", "pay", "NUMBER", "--amount", "9.999", "--reference", "T2"}, exitUsage, []string{"--amount"}},
		{"of an invoice that is not there", []string{"invoice", "pay", "CB-1999-000001", "--amount", "9", "--reference", "T2"}, exitFinding, []string{"is not on record; did you mean"}},
		{"nothing", []string{"invoice", "pay", "NUMBER", "--amount", "0", "--reference", "T2"}, exitUsage, []string{"--amount 0.00 USD; want what has arrived"}},
		{"what is still to come", []string{"invoice", "pay", "NUMBER", "--amount", "9", "--reference", "T2", "--at", "2999-01-01"}, exitUsage, []string{"still to come"}},
		{"more than is open", []string{"invoice", "pay", "NUMBER", "--amount", "300", "--reference", "T2"}, exitFinding, []string{"is more than the 271.60 USD that is open", "--overpay"}},
		{"more than is open, as is meant", []string{"invoice", "pay", "NUMBER", "--amount", "300", "--reference", "T2", "--at", "2026-11-21", "--overpay"}, exitOK, []string{"overpaid: paid 1,300.00 USD, open -28.40 USD"}},
		{"a reversal needs a reason", []string{"invoice", "pay", "NUMBER", "--reverse", "T2"}, exitUsage, []string{"--reason is missing"}},
		{"a reversal of no payment", []string{"invoice", "pay", "NUMBER", "--reverse", "T9", "--reason", "x"}, exitFinding, []string{"no payment T9 of invoice"}},
		{"a reversal in part", []string{"invoice", "pay", "NUMBER", "--reverse", "T2", "--reason", "x", "--amount", "3"}, exitUsage, []string{"takes a payment back whole"}},
		{"a payment that bounced", []string{"invoice", "pay", "NUMBER", "--reverse", "T2", "--reason", "returned by the bank", "--at", "2026-11-25"}, exitOK, []string{"payment T2 of 300.00 USD for invoice", "is reversed: recorded", "part paid: paid 1,000.00 USD, open 271.60 USD"}},
		{"a reference that bounced", []string{"invoice", "pay", "NUMBER", "--amount", "300", "--reference", "T2", "--at", "2026-11-21"}, exitFinding, []string{"payment T2 of invoice", "was taken back", "a reference of its own"}},
		{"a payment that bounced twice", []string{"invoice", "pay", "NUMBER", "--reverse", "T2", "--reason", "returned by the bank"}, exitFinding, []string{"was taken back before"}},
		{"it stands as paid in part", []string{"invoice", "list"}, exitOK, []string{"1,270.50 USD           1.10         1,000.00           271.60  part paid", "debit note of 2", "1.10 USD"}},
		{"its notes are documents", []string{"invoice", "list", "--json"}, exitOK, []string{`"note_documents": [`, `"kind": "debit"`}},
		{"with the digests of its documents", []string{"invoice", "show", "NUMBER"}, exitOK, []string{".pdf  SHA-256", ".json  SHA-256", ".xml  SHA-256", ".focus.csv  SHA-256", ".xlsx  SHA-256"}},
		{"shown", []string{"invoice", "show", "NUMBER"}, exitOK, []string{"part paid: paid 1,000.00 USD", "debit note CB-"}},
		{"what is paid is not voided", []string{"invoice", "void", "NUMBER", "--reason", "x"}, exitFinding, []string{"money has arrived for it"}},
		{"a void needs a reason", []string{"invoice", "void", "NUMBER"}, exitUsage, []string{"--reason is missing"}},
		{"a prepayment", []string{"invoice", "prepay", "aurora", "--amount", "500", "--reference", "P1"}, exitOK, []string{"500.00 USD on contract aurora: recorded"}},
		{"every way leads to the same amount", []string{"verify", "--money"}, exitOK, []string{"1 invoices come to the same by every way, and the books agree", "1,271.60"}},
		{"not where the warehouse lacks it", []string{"verify", "--money", "WITHOUT"}, exitFinding, []string{"the warehouse shows 0 of 1 invoices; SQL was not asked for the others", "wattbook warehouse publish"}},
		{"it is published", []string{"warehouse", "publish"}, exitOK, nil},
		{"every way again", []string{"verify", "--money"}, exitOK, []string{"1 invoices come to the same by every way, and the books agree"}},
		{"the books are exported", []string{"journal", "export", "--format", "hledger"}, exitOK, []string{"commodity USD", "account Assets:AR:Customers:Aurora", "; event: "}},
		{"into a file", []string{"journal", "export", "-o", filepath.Join(t.TempDir(), "books.beancount")}, exitOK, []string{"entries as of position"}},
		{"in a format that there is not", []string{"journal", "export", "--format", "gnucash"}, exitUsage, []string{"want one of [beancount hledger ledger]"}},
		{"the trial balance", []string{"journal", "balance"}, exitOK, []string{"Assets:AR:Customers:Aurora                                         271.60 USD", "sum                                                                  0.00 USD"}},
		{"what is recognized", []string{"journal", "revenue"}, exitOK, []string{"2026-10  Income:AI:Reserved                                   1,000.00 USD"}},
		{"how long it has been due", []string{"journal", "ageing", "--at", "2030-01-01"}, exitOK, []string{"over 90 days", "271.60         271.60"}},
		{"another report", []string{"journal", "sheet"}, exitUsage, []string{"want export, balance, coin, ageing or revenue"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{}, c.args...)
			for i, a := range args {
				switch a {
				case "NUMBER":
					args[i] = numberOf(t, data)
				case "WITHOUT":
					if err := os.RemoveAll(folder(data).warehouse()); err != nil {
						t.Fatal(err)
					}
					args = args[:i]
				}
			}
			got := wattbook(t, append(args, "--data", data)...)
			if got.code != c.code {
				t.Fatalf("exit %d, want %d\n%s%s", got.code, c.code, got.out, got.errors)
			}
			for _, want := range c.want {
				if !strings.Contains(got.out+got.errors, want) {
					t.Errorf("lacks %q\n%s%s", want, got.out, got.errors)
				}
			}
		})
	}
	replayed := wattbook(t, "replay", "--json", "--data", data)
	var report audit.Report
	if err := json.Unmarshal([]byte(replayed.out), &report); err != nil || replayed.code != exitOK || len(report.Differences) > 0 {
		t.Errorf("replay: exit %d, %v\n%s%s", replayed.code, err, replayed.out, replayed.errors)
	}
}

// TestWhatACreditGivesBackIsDrawnAgain credits an invoice that was paid from a
// prepayment: the next draft draws what comes back, and every way and the books
// agree.
func TestWhatACreditGivesBackIsDrawnAgain(t *testing.T) {
	data := scriptedBook(t, octoberScript, "prepay aurora 2000 2026-10-20")
	run := func(want string, args ...string) {
		t.Helper()
		if got := wattbook(t, append(args, "--data", data)...); got.code != exitOK || !strings.Contains(got.out, want) {
			t.Fatalf("%v: exit %d, want %q\n%s%s", args, got.code, want, got.out, got.errors)
		}
	}
	run("1,270.50 USD  issued", "invoice", "run", "--period", "2026-10")
	run("left of what was prepaid on contract aurora: 729.50 USD", "invoice", "show", numberOf(t, data))
	file := filepath.Join(t.TempDir(), "aurora.yaml")
	if err := os.WriteFile(file, []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	run("the next invoice run corrects it by a note", "contract", "amend", file)
	run("-929.50 USD  credit note for", "invoice", "run", "--period", "2026-10")
	number := numberOf(t, data)
	run("paid: paid 341.00 USD, open 0.00 USD", "invoice", "show", number)
	run("of -929.50 USD, of it 929.50 USD given back to what is prepaid\nleft of what was prepaid on contract aurora: 1,659.00 USD", "invoice", "show", number)
	note := strings.TrimSuffix(number, "1") + "2"
	run("prepaid  929.50 USD, given back for the next invoices", "invoice", "show", note)
	run("1 invoices come to the same by every way, and the books agree", "verify", "--money")
	run("Liabilities:ContractLiability:Aurora                            -1,659.00 USD", "journal", "balance")
	proof := filepath.Join(t.TempDir(), "note.proof")
	run("", "prove", "--invoice", note, "-o", proof)
	run("", "prove", "--check", proof, "--key", folder(data).publicKey())
	run("", "replay")
	xml, err := os.ReadFile(filepath.Join(folder(data).invoices(), note+".xml"))
	if err != nil || !strings.Contains(string(xml), `PrepaidAmount currencyID="USD">929.50<`) || !strings.Contains(string(xml), `PayableAmount currencyID="USD">0.00<`) {
		t.Errorf("%v\n%s", err, xml)
	}
}

// TestAnInvoiceIsProvedWithTheNoteBeforeIt proves an invoice that drew what a
// note to another one gave back: its proof holds that note, and is of the
// invoice.
func TestAnInvoiceIsProvedWithTheNoteBeforeIt(t *testing.T) {
	data := scriptedBook(t, strings.NewReplacer("2026-10@UTC", "2026-09-01..2026-11-01", "now 2026-09-15", "now 2026-08-15", "aurora tax", "aurora from=2026-09-01 tax").Replace(octoberScript),
		"prepay aurora 2000 2026-08-20")
	run := func(want string, args ...string) {
		t.Helper()
		if got := wattbook(t, append(args, "--data", data)...); got.code != exitOK || !strings.Contains(got.out, want) {
			t.Fatalf("%v: exit %d, want %q\n%s%s", args, got.code, want, got.out, got.errors)
		}
	}
	run("1,265.00 USD  issued", "invoice", "run", "--period", "2026-09")
	file := filepath.Join(t.TempDir(), "corrected.csv")
	if err := os.WriteFile(file, []byte("device,channel,start,end,value,unit\nn4,energy.import,2026-09-14T00:00:00Z,2026-09-15T00:00:00Z,0,kWh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run("", "import", "readings", file, "--corrects")
	run("-5.50 USD  credit note for", "invoice", "run", "--period", "2026-09")
	run("1,270.50 USD  issued", "invoice", "run", "--period", "2026-10")
	last := strings.TrimSuffix(numberOf(t, data), "1") + "3"
	run("prepaid  740.50 USD", "invoice", "show", last)
	proof := filepath.Join(t.TempDir(), "invoice.proof")
	run("", "prove", "--invoice", last, "-o", proof)
	run("PROVED   invoice "+last, "prove", "--check", proof, "--key", folder(data).publicKey())
}

// numberOf returns the number of the first invoice of a book.
func numberOf(t *testing.T, data string) string {
	t.Helper()
	var rows []struct{ Number string }
	got := wattbook(t, "invoice", "list", "--json", "--data", data)
	if err := json.Unmarshal([]byte(got.out), &rows); err != nil || len(rows) == 0 {
		t.Fatalf("invoice list: %v\n%s%s", err, got.out, got.errors)
	}
	return rows[0].Number
}

// TestAContractThatCannotBeBilledStopsNoOther runs a month in which one of two
// contracts has no price: the other is billed, and the run fails and says what
// the first one lacks. It is billed when it has that.
func TestAContractThatCannotBeBilledStopsNoOther(t *testing.T) {
	data := scriptedBook(t, octoberScript, "contract brightwater buyer=b tax=0.1", "charge power power-pass-through n4 index=hb_north")
	for range 2 {
		got := wattbook(t, "invoice", "run", "--period", "2026-10", "--data", data)
		want := "contract brightwater, charge power: the period is not complete: there is no price of power at hb_north"
		if got.code != exitFinding || !strings.Contains(got.out, "1,270.50 USD") || !strings.Contains(got.errors, want) || strings.Count(got.out, "\nCB-") > 0 {
			t.Fatalf("exit %d, want %q\n%s%s", got.code, want, got.out, got.errors)
		}
	}
	if got := wattbook(t, "invoice", "run", "--period", "2026-10", "--contract", "brightwater", "--data", data); got.code != exitFinding || got.out != "" {
		t.Errorf("it alone: exit %d\n%s%s", got.code, got.out, got.errors)
	}
	file := filepath.Join(t.TempDir(), "prices.csv")
	rows := "start,end,price\n"
	for day := domain.At(time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)); day < domain.At(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)); day = day.Add(domain.Day) {
		rows += fmt.Sprintf("%s,%s,50\n", day, day.Add(domain.Day))
	}
	if err := os.WriteFile(file, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := wattbook(t, "import", "prices", file, "--node", "hb_north", "--step", "24h", "--data", data); got.code != exitOK {
		t.Fatalf("exit %d\n%s%s", got.code, got.out, got.errors)
	}
	if got := wattbook(t, "invoice", "run", "--period", "2026-10", "--data", data); got.code != exitOK || !strings.Contains(got.out, "170.50 USD  issued;") || !strings.Contains(got.out, "was issued before") {
		t.Errorf("with the price: exit %d\n%s%s", got.code, got.out, got.errors)
	}
}

// TestARunWritesWhatAKilledOneDidNot removes the files of an invoice and of a
// note, as if the runs that issued them had been killed before they wrote them,
// and leaves a file half written: the next run has all files as they were.
func TestARunWritesWhatAKilledOneDidNot(t *testing.T) {
	data := scriptedBook(t, octoberScript)
	run := func(args ...string) string {
		t.Helper()
		got := wattbook(t, append(args, "--data", data)...)
		if got.code != exitOK {
			t.Fatalf("%v: exit %d\n%s%s", args, got.code, got.out, got.errors)
		}
		return got.out
	}
	file := filepath.Join(t.TempDir(), "corrected.csv")
	if err := os.WriteFile(file, []byte("device,channel,start,end,value,unit\nn4,energy.import,2026-10-14T00:00:00Z,2026-10-15T00:00:00Z,120,kWh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run("invoice", "run", "--period", "2026-10")
	run("import", "readings", file, "--corrects")
	run("invoice", "run", "--period", "2026-10")
	files := func() map[string]string {
		t.Helper()
		entries, err := os.ReadDir(folder(data).invoices())
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for _, e := range entries {
			content, err := os.ReadFile(filepath.Join(folder(data).invoices(), e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all[e.Name()] = string(content)
		}
		return all
	}
	want := files()
	if len(want) != 10 {
		t.Fatalf("%d files of an invoice and a note", len(want))
	}
	for name := range want {
		if strings.HasSuffix(name, ".pdf") || strings.HasSuffix(name, "2.xml") {
			if err := os.Remove(filepath.Join(folder(data).invoices(), name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(folder(data).invoices(), ".new-123"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := run("invoice", "run", "--period", "2026-10")
	if diff := cmp.Diff(want, files()); diff != "" {
		t.Errorf("the files are otherwise (-before +after):\n%s", diff)
	}
	if again := "debit note for " + numberOf(t, data) + " was issued before, and its files were missing: they are written"; !strings.Contains(out, again) {
		t.Errorf("lacks %q\n%s", again, out)
	}
	if out := run("invoice", "run", "--period", "2026-10"); strings.Contains(out, "missing") {
		t.Errorf("files are missing after they were written:\n%s", out)
	}
}

// TestAVoidedInvoiceIsIssuedAnew voids an invoice, and issues its period under
// the next number.
func TestAVoidedInvoiceIsIssuedAnew(t *testing.T) {
	data := scriptedBook(t, octoberScript)
	run := func(args ...string) string {
		t.Helper()
		got := wattbook(t, append(args, "--data", data)...)
		if got.code != exitOK {
			t.Fatalf("%v: exit %d\n%s%s", args, got.code, got.out, got.errors)
		}
		return got.out
	}
	run("invoice", "run", "--period", "2026-10")
	first := numberOf(t, data)
	run("invoice", "void", first, "--reason", "sent to the wrong buyer")
	if out := run("invoice", "void", first, "--reason", "sent to the wrong buyer"); !strings.Contains(out, "was voided before, at 2") || !strings.Contains(out, ": sent to the wrong buyer") {
		t.Errorf("voided again:\n%s", out)
	}
	if got := wattbook(t, "invoice", "void", first, "--reason", "a wrong price", "--data", data); got.code != exitFinding || !strings.Contains(got.errors, "it is void since 2") || !strings.Contains(got.errors, "sent to the wrong buyer") {
		t.Errorf("voided again for another reason: exit %d, %s", got.code, got.errors)
	}
	if out := run("invoice", "run", "--period", "2026-10"); !strings.Contains(out, strings.TrimSuffix(first, "1")+"2") || !strings.Contains(out, "  issued;") {
		t.Errorf("after the void:\n%s", out)
	}
	if out := run("prove", "--invoice", first, "-o", filepath.Join(t.TempDir(), "void.proof")); !strings.Contains(out, "BEWARE: invoice "+first+" was voided; the file does not say so") {
		t.Errorf("a proof of a voided invoice:\n%s", out)
	}
	if out := run("invoice", "show", first); !strings.Contains(out, "voided") {
		t.Errorf("the voided invoice:\n%s", out)
	}
	if got := wattbook(t, "invoice", "pay", first, "--amount", "1", "--reference", "T", "--data", data); got.code != exitFinding || !strings.Contains(got.errors, "is voided") {
		t.Errorf("pay a voided invoice: exit %d, %s", got.code, got.errors)
	}
	run("warehouse", "rebuild")
	for _, question := range []string{"revenue-by-customer", "estimated-share", "focus-for-customer", "focus-invoices"} {
		out := run("sql", question, "--param", "month=2026-10", "--format", "csv")
		if strings.Contains(out, first) || !strings.Contains(out, strings.TrimSuffix(first, "1")+"2") {
			t.Errorf("%s counts the voided invoice, or not the one in its place:\n%s", question, out)
		}
	}
}

// money compares every way that leads to the amounts of the month's invoices,
// has the books checked by the programs whose formats they are in, and looks
// at the documents.
func (m month) money(t *testing.T) {
	got := wattbook(t, "verify", "--money", "--data", m.data)
	if got.code != exitOK || !strings.Contains(got.out, "3 invoices come to the same by every way, and the books agree") || strings.Count(got.out, "25,385.92") != 6 {
		t.Errorf("verify --money: exit %d\n%s%s", got.code, got.out, got.errors)
	}
	t.Run("the e-invoices keep the rules", m.eInvoices)
	for format, check := range map[string][]string{
		"beancount": {"bean-check", "books.beancount"}, "hledger": {"hledger", "-f", "books.journal", "check", "--strict"},
		"ledger": {"ledger", "-f", "books.ledger", "--strict", "--pedantic", "bal"},
	} {
		t.Run("the books pass "+check[0], func(t *testing.T) {
			program, err := exec.LookPath(check[0])
			if err != nil {
				t.Skipf("%s is not installed", check[0])
			}
			file := map[string]string{"beancount": "books.beancount", "hledger": "books.journal", "ledger": "books.ledger"}[format]
			dir := t.TempDir()
			if got := wattbook(t, "journal", "export", "--format", format, "-o", filepath.Join(dir, file), "--data", m.data); got.code != exitOK {
				t.Fatalf("journal export: exit %d\n%s%s", got.code, got.out, got.errors)
			}
			cmd := exec.Command(program, check[1:]...)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %v\n%s", check, err, out)
			}
		})
	}
}

// eInvoices holds every e-invoice of the month to the rules of EN 16931, and has
// xmllint read it.
func (m month) eInvoices(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(m.data, "invoices", "*.xml"))
	if err != nil || len(paths) != 3 {
		t.Fatalf("%d e-invoices, %v", len(paths), err)
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if broken := document.CheckUBL(raw); len(broken) > 0 {
			t.Errorf("%s breaks rules:\n%s", filepath.Base(path), strings.Join(broken, "\n"))
		}
	}
	xmllint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("xmllint is not installed")
	}
	if out, err := exec.CommandContext(t.Context(), xmllint, append([]string{"--nonet", "--noout"}, paths...)...).CombinedOutput(); err != nil {
		t.Errorf("xmllint: %v\n%s", err, out)
	}
}
