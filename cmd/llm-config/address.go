package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
)

// addressed puts an error into the words of the command that failed: flags for
// members of the API, and hints that can be run as they stand.
func addressed(c *cobra.Command, err error) error {
	if err == nil || errors.Is(err, errDifference) || errors.As(err, new(exitStatus)) {
		return err
	}
	f := *asFailure(err)
	problem, ok := errors.AsType[*api.Problem](err)
	if takesNoDocument(c) {
		f.where = flagAt(c, f.where)
	}
	if ok && takesNoDocument(c) {
		f.next = inFlags.Replace(f.next)
		if problem.Code == api.CodeForbidden && concernsServer(c) {
			f.next = strings.ReplaceAll(f.next, "an administrator of the tenant", "an administrator of the server")
		}
	}
	f.next = withScope(c, f.next)
	return &f
}

// takesNoDocument says that a pointer in an answer to c is into a body of the
// API, and not into somebody's document.
func takesNoDocument(c *cobra.Command) bool {
	return c.HasParent() && slices.Contains([]string{"secret", "key", "token", "tenant", "policy", "role", "authz", "quota", "break-glass", "audit", "checkpoint", "hold", "compliance"}, c.Parent().Name())
}

// concernsServer says that it takes an administrator of the server.
func concernsServer(c *cobra.Command) bool {
	for _, name := range []string{"master", "server"} {
		if flag := c.Flags().Lookup(name); flag != nil && flag.Value.String() == "true" {
			return true
		}
	}
	return c.Parent().Name() == "tenant"
}

// inFlags writes what the API has members for as flags.
var inFlags = strings.NewReplacer(
	"with force", "with --force",
	"say now to", "give --now to",
	"leave out fields, or generate", "leave out the value, or --generate",
	"give now and grace_seconds when", "give --now or --grace when",
)

// flagsAt are the flags of members of the API that are named otherwise.
var flagsAt = map[string]string{
	"versions": "version", "labels": "label", "expires_at": "expires", "grace_seconds": "grace", "ttl_seconds": "ttl",
	"roles": "role", "environments": "only-env", "paths": "path", "actions": "action", "addresses": "address", "includes": "include",
	"request_id": "request-id", "trace_id": "trace-id",
	"principal": "for", "token": "for", "claims": "claim", "seconds": "for",
	"allow_weak": "allow-weak", "if_version": "if-version", "generate/field": "field",
	"rotation/generator": "rotate-with", "rotation/every_seconds": "rotate-every", "rotation/grace_seconds": "rotate-grace",
	"rotation/overlap": "overlap", "rotation/webhook": "rotate-webhook", "rotation/webhook/signing": "webhook-signing",
}

// flagAt is the flag of c that gave what a pointer names, else a pointer into a
// body, and nothing for a parameter that the command made itself.
func flagAt(c *cobra.Command, pointer string) string {
	generate := c.Flags().Lookup("generate")
	for at := strings.TrimPrefix(pointer, "/"); at != ""; at = at[:max(strings.LastIndexByte(at, '/'), 0)] {
		name, known := flagsAt[at]
		if !known {
			name = at
		}
		if name == "rotate-with" && generate != nil && generate.Changed && !c.Flags().Changed(name) {
			name = generate.Name
		}
		if c.Flags().Lookup(name) != nil {
			return "--" + name
		}
	}
	if strings.HasPrefix(pointer, "/") || strings.ToUpper(pointer) == pointer || strings.HasPrefix(pointer, "--") {
		return pointer
	}
	return ""
}

var quotedCommand = regexp.MustCompile("`llm-config [^`]+`")

// withScope gives the commands in a hint the tenant and the environment that
// flags of c named; what variables name holds for the next command too.
func withScope(c *cobra.Command, hint string) string {
	return quotedCommand.ReplaceAllStringFunc(hint, func(quoted string) string {
		words := strings.Fields(strings.Trim(quoted, "`"))[1:]
		next, rest, err := c.Root().Find(words)
		if err != nil || !next.HasParent() || slices.Contains(words, "--help") {
			return quoted
		}
		line := []string{next.CommandPath()}
		for _, name := range []string{"tenant", "env"} {
			given, takes := c.Flags().Lookup(name), next.Flags().Lookup(name)
			if given == nil || takes == nil || !given.Changed || slices.Contains(words, "-"+takes.Shorthand) || slices.Contains(words, "--"+name) {
				continue
			}
			line = append(line, "-"+takes.Shorthand, given.Value.String())
		}
		return "`" + strings.Join(append(line, rest...), " ") + "`"
	})
}
