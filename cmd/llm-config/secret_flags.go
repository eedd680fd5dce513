package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// span is a duration that may be left out, also given in days.
type span time.Duration

// String, Set and Type make span a flag.
func (s *span) Type() string { return "DURATION" }

func (s *span) String() string {
	if *s == 0 {
		return ""
	}
	return new(days(*s)).String()
}

func (s *span) Set(text string) error {
	var d days
	if err := d.Set(text); err != nil {
		return errors.New("write a duration like 12h or 7d, of at least one second")
	}
	*s = span(d)
	return nil
}

func (s *span) seconds() int64 { return int64(time.Duration(*s) / time.Second) }

// pointer is the seconds, nil when the flag is left out.
func (s *span) pointer() *int64 {
	if *s == 0 {
		return nil
	}
	return new(s.seconds())
}

// overlapFlags say what becomes of the version before.
type overlapFlags struct {
	grace span
	now   bool
}

func (o *overlapFlags) add(c *cobra.Command) {
	c.Flags().Var(&o.grace, "grace", "how long the version before stays valid (default as the secret's rotation says, else 7d)")
	c.Flags().BoolVar(&o.now, "now", false, "revoke the version before at once")
}

// expiry is a point in time, given as such or as a duration from now.
type expiry struct{ at time.Time }

// String, Set and Type make expiry a flag.
func (e *expiry) Type() string { return "TIME" }

func (e *expiry) String() string {
	if e.at.IsZero() {
		return ""
	}
	return when(e.at)
}

func (e *expiry) Set(text string) error {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		e.at = at
		return nil
	}
	var d days
	if err := d.Set(text); err != nil {
		return errors.New("write a duration like 90d or a time like 2027-01-31T12:00:00Z")
	}
	e.at = time.Now().Add(time.Duration(d)).UTC().Truncate(time.Second)
	return nil
}

func (e *expiry) pointer() *time.Time {
	if e.at.IsZero() {
		return nil
	}
	return &e.at
}

// generatorKinds are what --generate takes, for help and completion.
var generatorKinds = []string{"password", "hex", "base64", "uuid", "rsa-4096", "ed25519"}

// generator is KIND or KIND:LENGTH.
type generator struct{ api.Generator }

// String, Set and Type make generator a flag.
func (g *generator) Type() string { return "KIND[:LENGTH]" }

func (g *generator) String() string { return generatorText(&g.Generator) }

func (g *generator) Set(text string) error {
	kind, length, given := strings.Cut(text, ":")
	if err := oneOf(kind, generatorKinds); err != nil {
		return err
	}
	g.Kind, g.Length = kind, 0
	if !given {
		return nil
	}
	n, err := strconv.Atoi(length)
	switch {
	case err != nil:
		return errors.New("write the length as a number, like password:32 or base64:48")
	case !slices.Contains([]string{"password", "hex", "base64"}, kind):
		return errors.New(kind + " has no length to choose")
	case n < minLength || n > maxLength:
		return fmt.Errorf("the length is %d to %d: characters of a password, bytes of hex and base64", minLength, maxLength)
	}
	g.Length = n
	return nil
}

// Bounds of a generator's length, as the server has them.
const (
	minLength = 16
	maxLength = 256
)

// pointer is the generator, nil when the flag is left out.
func (g *generator) pointer() *api.Generator {
	if g.Kind == "" {
		return nil
	}
	return &g.Generator
}

func generatorText(g *api.Generator) string {
	if g == nil || g.Length == 0 {
		return cmp.Or(g, &api.Generator{}).Kind
	}
	return g.Kind + ":" + strconv.Itoa(g.Length)
}

func oneOf(text string, all []string) error {
	for _, known := range all {
		if text == known {
			return nil
		}
	}
	return errors.New("give one of " + strings.Join(all, ", "))
}

func (g *generator) add(c *cobra.Command, flag, usage string) {
	c.Flags().Var(g, flag, usage+": "+strings.Join(generatorKinds, ", "))
	complete(c, flag, cobra.FixedCompletions(generatorKinds, cobra.ShellCompDirectiveNoFileComp))
}

// metadataFlags are what can be said about a secret.
type metadataFlags struct {
	description, owner string
	labels             []string

	every      span
	with       generator
	webhook    string
	signing    string
	overlap    string
	grace      span
	noRotation bool
	noWebhook  bool // --rotate-webhook ''
}

// rotationFlags are those that need the rotation as it is, because it is
// written as a whole.
var rotationFlags = []string{"rotate-every", "rotate-with", "rotate-webhook", "webhook-signing", "overlap", "rotate-grace"}

func (m *metadataFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&m.description, "description", "", "what it is for")
	flags.StringVar(&m.owner, "owner", "", "who looks after it")
	flags.StringArrayVar(&m.labels, "label", nil, "`NAME=VALUE`, for finding it; NAME= takes it away; may be given again")
	flags.Var(&m.every, "rotate-every", "rotate it on this schedule, such as 30d")
	m.with.add(c, "rotate-with", "rotate it by drawing a value; beside a webhook, what that leaves to be drawn")
	flags.StringVar(&m.webhook, "rotate-webhook", "", "rotate it by calling `URL`, which makes or takes over the value; '' calls none any more")
	flags.StringVar(&m.signing, "webhook-signing", "", "with --rotate-webhook, `PATH` of the secret that signs the calls")
	flags.StringVar(&m.overlap, "overlap", "", "what ends the grace: deadline or adoption")
	complete(c, "overlap", cobra.FixedCompletions([]string{"deadline", "adoption"}, cobra.ShellCompDirectiveNoFileComp))
	flags.Var(&m.grace, "rotate-grace", "how long the version before stays valid at each rotation (default 7d)")
	flags.BoolVar(&m.noRotation, "no-rotation", false, "rotate it by hand only, from now on")
}

// metadata is what the flags say, beside what is there.
func (m *metadataFlags) metadata(c *cobra.Command, from *client.Client, environment, path string) (api.SecretMetadata, []client.Condition, error) {
	var said api.SecretMetadata
	if c.Flags().Changed("description") {
		said.Description = &m.description
	}
	if c.Flags().Changed("owner") {
		said.Owner = &m.owner
	}
	labels, err := parseLabels(m.labels)
	if err != nil {
		return said, nil, err
	}
	said.Labels = labels
	var given []string
	for _, name := range rotationFlags {
		if c.Flags().Changed(name) {
			given = append(given, name)
		}
	}
	m.noWebhook = c.Flags().Changed("rotate-webhook") && m.webhook == ""
	switch {
	case m.noWebhook && m.signing != "":
		return said, nil, failf("--webhook-signing means nothing without a webhook").hint("give --rotate-webhook URL, or leave it out")
	case m.noRotation && given != nil:
		return said, nil, exclusive(c, "no-rotation", given[0])
	case m.noRotation:
		said.Rotation = new(api.SecretRotation)
	case given != nil:
		return m.rotation(c.Context(), said, from, environment, path)
	}
	return said, nil, nil
}

// rotation puts what the flags say over the rotation that is there; the
// condition keeps somebody else's from being lost.
func (m *metadataFlags) rotation(ctx context.Context, said api.SecretMetadata, from *client.Client, environment, path string) (api.SecretMetadata, []client.Condition, error) {
	if m.overlap != "" {
		if err := oneOf(m.overlap, []string{"deadline", "adoption"}); err != nil {
			return said, nil, failf("--overlap: %v", err)
		}
	}
	now, err := from.Secret(ctx, environment, path)
	var condition client.Condition
	rotation := new(api.SecretRotation)
	switch {
	case errors.Is(err, client.ErrNotFound), errors.Is(err, client.ErrGone):
	case err != nil:
		return said, nil, err
	case now.Environment == environment:
		condition = client.IfRecord(now.Record)
		if now.Rotation != nil {
			rotation = now.Rotation
		}
	}
	m.over(rotation)
	if rotation.Webhook != nil && (rotation.Webhook.URL == "" || rotation.Webhook.Signing == "") {
		return said, nil, failf("a webhook needs both its URL and the secret that signs the calls").hint("give --rotate-webhook URL and --webhook-signing PATH")
	}
	said.Rotation = rotation
	if condition == nil {
		return said, nil, nil
	}
	return said, []client.Condition{condition}, nil
}

func (m *metadataFlags) over(r *api.SecretRotation) {
	if m.every != 0 {
		r.EverySeconds = m.every.seconds()
	}
	if m.grace != 0 {
		r.GraceSeconds = m.grace.seconds()
	}
	r.Overlap = cmp.Or(m.overlap, r.Overlap)
	// Only what is named changes: beside a webhook, the generator draws what that
	// leaves to it.
	r.Generator = cmp.Or(m.with.pointer(), r.Generator)
	if m.noWebhook {
		r.Webhook = nil
	}
	if m.webhook != "" || m.signing != "" {
		if r.Webhook == nil {
			r.Webhook = new(api.SecretWebhook)
		}
		r.Webhook.URL = cmp.Or(m.webhook, r.Webhook.URL)
		r.Webhook.Signing = cmp.Or(m.signing, r.Webhook.Signing)
	}
}

func parseLabels(texts []string) (map[string]string, error) {
	if texts == nil {
		return nil, nil
	}
	labels := make(map[string]string, len(texts))
	for _, text := range texts {
		name, value, found := strings.Cut(text, "=")
		if !found || name == "" {
			return nil, failf("%q is not NAME=VALUE", text).hint("write it like --label team=search")
		}
		labels[name] = value
	}
	return labels, nil
}
