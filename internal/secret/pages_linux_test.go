package secret

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// The kernel says that values lie in pages that are locked and not dumped.
func TestPagesAreLocked(t *testing.T) {
	v := NewValue([]byte(canary))
	defer v.Wipe()
	if v.b.place.chunk == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("no memory can be locked here: raise RLIMIT_MEMLOCK")
		}
		t.Skip("no memory can be locked here: raise RLIMIT_MEMLOCK")
	}
	flags, err := flagsAt(uintptr(unsafe.Pointer(unsafe.SliceData(v.Reveal()))))
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"lo", "dd"} {
		if !strings.Contains(flags+" ", " "+flag+" ") {
			t.Errorf("%s is missing in%s", flag, flags)
		}
	}
}

// flagsAt are the flags of the mapping that holds an address.
func flagsAt(address uintptr) (string, error) {
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return "", err
	}
	inside := false
	header := regexp.MustCompile(`^([0-9a-f]+)-([0-9a-f]+) `)
	for line := range strings.Lines(string(text)) {
		if found := header.FindStringSubmatch(line); found != nil {
			from, _ := strconv.ParseUint(found[1], 16, 64)
			to, _ := strconv.ParseUint(found[2], 16, 64)
			inside = uint64(address) >= from && uint64(address) < to
		}
		if flags, is := strings.CutPrefix(strings.TrimSpace(line), "VmFlags:"); is && inside {
			return flags, nil
		}
	}
	return "", fmt.Errorf("no mapping holds the address")
}
