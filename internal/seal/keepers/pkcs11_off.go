//go:build !pkcs11

package keepers

import (
	"context"
	"errors"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// openPKCS11 is left out of builds without a C compiler.
func openPKCS11(_ context.Context, text string) (seal.Keeper, error) {
	if _, err := parseTokenURI(text); err != nil {
		return nil, err
	}
	return nil, errors.New("this program was built without PKCS#11, which needs C: build it with `CGO_ENABLED=1 go build -tags pkcs11 ./cmd/llm-config`")
}
