//go:build !pkcs11

package keepers

import (
	"strings"
	"testing"
)

func TestABuildWithoutPKCS11SaysSo(t *testing.T) {
	_, err := Open(t.Context(), "pkcs11:token=t;object=o?module-path=/p.so")
	if err == nil || !strings.Contains(err.Error(), "go build -tags pkcs11") {
		t.Errorf("Open: %v", err)
	}
}
