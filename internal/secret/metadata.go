package secret

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// CheckMetadata says whether what people may change of a record is within its
// bounds. The error is of KindBadRequest or KindTooLarge and points at it.
func (r Record) CheckMetadata() error {
	if err := checkText("/description", "the description", r.Description, maxDescription); err != nil {
		return err
	}
	if err := checkText("/owner", "the owner", r.Owner, maxOwner); err != nil {
		return err
	}
	if len(r.Labels) > maxLabels {
		return config.Errorf(config.KindTooLarge, "there are too many labels").At("/labels").Over(maxLabels, int64(len(r.Labels)))
	}
	for name, value := range r.Labels {
		if err := checkLabel(name, value); err != nil {
			return err
		}
	}
	if r.Rotation == nil {
		return nil
	}
	return r.Rotation.check()
}

// checkText allows line breaks in descriptions, and nothing that a terminal
// would take for a command.
func checkText(pointer, what, text string, limit int) error {
	if len(text) > limit {
		return config.Errorf(config.KindTooLarge, "%s is too long", what).At(pointer).Over(int64(limit), int64(len(text)))
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }) {
		return config.Errorf(config.KindBadRequest, "%s holds characters that cannot be printed", what).At(pointer)
	}
	return nil
}

func checkLabel(name, value string) error {
	const rest = "abcdefghijklmnopqrstuvwxyz0123456789-_./"
	ok := len(name) > 0 && len(name) <= 63 && strings.IndexByte("-_./", name[0]) < 0
	if !ok || strings.Trim(name, rest) != "" {
		return config.Errorf(config.KindBadRequest, "a label's name has 1 to 63 of a–z, 0–9 and - _ . /, and begins with a letter or digit").At("/labels")
	}
	pointer := "/labels/" + strings.ReplaceAll(name, "/", "~1")
	if strings.Contains(value, "\n") {
		return config.Errorf(config.KindBadRequest, "a label's value has more than one line").At(pointer)
	}
	return checkText(pointer, "a label's value", value, maxLabelValue)
}

func (r *Rotation) check() error {
	const pointer = "/rotation/every_seconds"
	switch {
	case r.Every != 0 && (r.Every < MinEvery || r.Every > MaxEvery):
		return config.Errorf(config.KindBadRequest, "a schedule rotates every %s to %s", seconds(MinEvery), seconds(MaxEvery)).At(pointer).Hint("0 is for rotating by hand only")
	case r.Every != 0 && r.Generator == nil && r.Webhook == nil:
		return config.Errorf(config.KindBadRequest, "a schedule has nothing that makes new values").At(pointer).Hint("add a generator or a webhook")
	case r.Grace < 0 || r.Grace > MaxGrace:
		return config.Errorf(config.KindBadRequest, "the grace is 0 to %s", seconds(MaxGrace)).At("/rotation/grace_seconds")
	case r.Overlap != "" && r.Overlap != OverlapDeadline && r.Overlap != OverlapAdoption:
		return config.Errorf(config.KindBadRequest, "the overlap is neither %s nor %s", OverlapDeadline, OverlapAdoption).At("/rotation/overlap")
	}
	if r.Generator != nil {
		if err := r.Generator.Check(); err != nil {
			return err
		}
	}
	if r.Webhook != nil {
		return r.Webhook.check()
	}
	return nil
}

// check looks at the form alone. Which hosts may be called is not for the
// record to say.
func (w *Webhook) check() error {
	const pointer = "/rotation/webhook/url"
	if len(w.URL) > maxWebhookURL {
		return config.Errorf(config.KindTooLarge, "the webhook's URL is too long").At(pointer).Over(maxWebhookURL, int64(len(w.URL)))
	}
	u, err := url.Parse(w.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return config.Errorf(config.KindBadRequest, "the webhook's URL is not one of http or https").At(pointer).Hint("write it like https://rotate.example.com/hook")
	case u.User != nil || u.Fragment != "":
		return config.Errorf(config.KindBadRequest, "the webhook's URL holds a user, password or fragment").At(pointer).Hint("calls are signed; take it out")
	case w.Signing.IsZero():
		return config.Errorf(config.KindBadRequest, "the webhook has no secret to sign with").At("/rotation/webhook/signing").Hint("name a secret of this environment whose field value is a whsec_ key")
	}
	return nil
}

func seconds(d interface{ Seconds() float64 }) string {
	return fmt.Sprintf("%.0f seconds", d.Seconds())
}
