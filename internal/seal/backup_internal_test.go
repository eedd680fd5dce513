package seal

import (
	"bytes"
	"crypto/sha256"
	"os"
	"strings"
	"testing"
)

// backupV1 was written by the first version of the format and must read for
// ever; a test that fails here must not be "repaired".
const backupV1 = `{"format":"llm-config key backup 1"}
{"master":{"version":1,"keeper":"file /k","check":"AQI=","created":"2026-11-01T12:00:00Z","retired":"2026-11-02T12:00:00.000000001Z"}}
{"master":{"version":2,"keeper":"file \u003ck\u003e","check":"AwQ=","created":"2026-11-02T12:00:00Z"}}
{"tenant":{"id":"00000000000000000000000000000000","wrapped":"BQY=","master":2,"generation":3,"newest":2,"created":"2026-11-01T12:00:00Z","rotated":"2026-11-02T12:00:00Z"}}
{"tenant":{"id":"0000000000000000000000000000000a","wrapped":"Bwg=","master":1,"generation":1,"newest":1}}
{"tenant":{"id":"0000000000000000000000000000000b","destroyed":true}}
{"end":{"masters":2,"tenants":3,"check":"CQo="}}
`

// printed is what a backup that was read is written as.
func printed(b *backup) []byte {
	var out bytes.Buffer
	w := newBackupWriter(&out)
	w.line(backupLine{Format: backupFormat})
	for _, m := range b.masters {
		w.line(masterLine(m))
	}
	for _, t := range b.tenants {
		w.line(tenantLine(t))
	}
	w.line(backupLine{End: &backupEnd{len(b.masters), len(b.tenants), b.check}})
	_ = w.flush()
	return out.Bytes()
}

func TestTheFormatOfBackupsStandsStill(t *testing.T) {
	b, err := parseBackup(strings.NewReader(backupV1))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(printed(b)); got != backupV1 {
		t.Errorf("it is written as\n%s", got)
	}
	body := backupV1[:strings.LastIndex(backupV1, `{"end"`)]
	if b.sum != sha256.Sum256([]byte(body)) {
		t.Error("the sum is not of all lines but the last")
	}
}

func TestWhatIsNoBackup(t *testing.T) {
	replace := func(old, with string) string {
		if !strings.Contains(backupV1, old) {
			t.Fatalf("there is no %q to replace", old)
		}
		return strings.Replace(backupV1, old, with, 1)
	}
	cases := []struct{ name, text, want string }{
		{"nothing", "", "line 1 of the key backup is missing"},
		{"no newline at the end", strings.TrimSuffix(backupV1, "\n"), "line 7 of the key backup is missing or cut short"},
		{"no end", backupV1[:strings.LastIndex(backupV1, `{"end"`)], "line 7"},
		{"more after the end", backupV1 + "\n", "line 8 of the key backup follows its end"},
		{"another format", replace("backup 1", "backup 2"), "not of a key backup of this version"},
		{"no format", strings.SplitN(backupV1, "\n", 2)[1], "not of a key backup of this version"},
		{"the format twice", strings.SplitAfterN(backupV1, "\n", 2)[0] + backupV1, "line 2"},
		{"an unknown name", replace(`"newest":1`, `"newest":1,"more":1`), "has not the form"},
		{"a name twice", replace(`"newest":1`, `"newest":1,"newest":1`), "has not the form"},
		{"a name in capitals", replace(`"newest":1`, `"Newest":1`), "has not the form"},
		{"two things in a line", replace(`{"end":`, `{"format":"x","end":`), "line 7"},
		{"nothing in a line", replace(`{"tenant":{"id":"0000000000000000000000000000000b","destroyed":true}}`, `{}`), "neither"},
		{"masters out of order", replace(`"version":2`, `"version":3`), "out of order"},
		{"no check", replace(`"check":"AwQ="`, `"check":""`), "no version of a master key"},
		{"a null check", replace(`"check":"AwQ="`, `"check":null`), "no version of a master key"},
		{"a time elsewhere", replace(`"2026-11-02T12:00:00Z"}}`, `"2026-11-02T12:00:00+01:00"}}`), "no version of a master key"},
		{"tenants out of order", replace(`0000000000a`, `0000000000c`), "out of order"},
		{"a tenant twice", replace(`0000000000b`, `0000000000a`), "out of order"},
		{"no tenant", replace(`0000000000a`, `0000000000A`), "names no tenant"},
		{"a master that is not there", replace(`"master":2,"gen`, `"master":3,"gen`), "no tenant's key"},
		{"no generation", replace(`"generation":1,`, ``), "no tenant's key"},
		{"a negative generation", replace(`"generation":1,`, `"generation":-1,`), "no tenant's key"},
		{"a key that is not there", replace(`"wrapped":"Bwg=",`, ``), "no tenant's key"},
		{"a tombstone with a key", replace(`"destroyed":true`, `"destroyed":true,"wrapped":"Bwg="`), "a tombstone with a key"},
		{"loose bits in base64", replace(`"Bwg="`, `"Bwh="`), "has not the form"},
		{"other counts", replace(`"tenants":3`, `"tenants":2`), "does not end what is before it"},
		{"a line too long", replace(`file /k`, strings.Repeat("k", maxBackupLine)), "is longer than"},
		{"a long name", replace(`file /k`, strings.Repeat("k", maxKeeperName+1)), "no version of a master key"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseBackup(strings.NewReader(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
}

// endless is a file that does not end.
type endless struct{ line []byte }

func (e endless) Read(b []byte) (int, error) {
	n := 0
	for n+len(e.line) <= len(b) {
		n += copy(b[n:], e.line)
	}
	if n == 0 {
		n = copy(b, e.line[:1])
	}
	return n, nil
}

func TestAnEndlessBackupIsRefused(t *testing.T) {
	if _, err := parseBackup(endless{[]byte("{}\n")}); err == nil {
		t.Error("it was read")
	}
	if _, err := parseBackup(endless{[]byte("x")}); err == nil {
		t.Error("it was read")
	}
}

// FuzzBackup: what parses is written back as the same bytes.
func FuzzBackup(f *testing.F) {
	if _, err := parseBackup(strings.NewReader(backupV1)); err != nil {
		f.Fatalf("a seed is none: %v", err)
	}
	f.Add([]byte(backupV1))
	f.Add([]byte(strings.Replace(backupV1, `"created":"2026-11-01T12:00:00Z",`, ``, 1)))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := parseBackup(bytes.NewReader(text))
		if err == nil && !bytes.Equal(printed(b), text) {
			t.Errorf("%q is written as %q", text, printed(b))
		}
	})
}

// FuzzKeyFile: what parses is keys of the right size that nobody can guess.
func FuzzKeyFile(f *testing.F) {
	line := newKeyLine()
	f.Add(line)
	f.Add(append(bytes.Clone(line), newKeyLine()...))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeyFile(text)
		if err != nil {
			return
		}
		if len(keys) == 0 || len(keys) > maxFileKeys {
			t.Errorf("%d keys", len(keys))
		}
		for _, key := range keys {
			if len(key) != keyBytes || weakness(key) != "" {
				t.Errorf("a key of %d bits, %q", len(key)*8, weakness(key))
			}
		}
	})
}

// A restore says how it goes in the end, also when the file is a folder.
func TestBackupFromAFolder(t *testing.T) {
	folder, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if _, err := parseBackup(folder); err == nil || !strings.Contains(err.Error(), "read the key backup") {
		t.Errorf("error is %v", err)
	}
}
