package login

import (
	"cmp"
	"context"
	"time"

	"golang.org/x/oauth2"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// What an issuer may say while a device waits (RFC 8628, section 3.5).
const (
	grantDevice = "urn:ietf:params:oauth:grant-type:device_code"
	pending     = "authorization_pending"
	slowDown    = "slow_down"

	usualInterval = 5 * time.Second
	slower        = 5 * time.Second
	maxInterval   = time.Minute
	maxUnanswered = 3 // polls in a row
)

// Device is a login that a person confirms in a browser anywhere.
type Device struct {
	URL      string // where the browser goes
	Code     string // what the person types there
	Complete string // URL with the code in it; may be empty
	Expires  time.Time

	code     string
	interval time.Duration
}

// StartDevice asks for such a login.
func (c Client) StartDevice(ctx context.Context) (*Device, error) {
	if c.Device == "" {
		return nil, config.Errorf(config.KindUnavailable, "the issuer %s has no login for devices without a browser", c.Issuer).
			Hint("log in where there is a browser")
	}
	answer, err := c.config("").DeviceAuth(c.context(ctx))
	if err != nil {
		return nil, c.failure(err)
	}
	if answer.DeviceCode == "" || answer.UserCode == "" || mayBeAsked(c.Issuer, answer.VerificationURI) != nil {
		return nil, refused("the issuer did not say where to go, or with which code", "ask whoever runs the issuer")
	}
	d := &Device{URL: quoted(answer.VerificationURI), Code: quoted(answer.UserCode), Expires: answer.Expiry, code: answer.DeviceCode}
	if mayBeAsked(c.Issuer, answer.VerificationURIComplete) == nil {
		d.Complete = quoted(answer.VerificationURIComplete)
	}
	d.interval = cmp.Or(min(time.Duration(max(answer.Interval, 0))*time.Second, maxInterval), usualInterval)
	return d, nil
}

// Await polls until the person has confirmed the login, or has not. Between polls
// it pauses as long as the issuer wants.
func (c Client) Await(ctx context.Context, d *Device, pause func(context.Context, time.Duration) error) (Tokens, error) {
	interval, unanswered := d.interval, 0
	for {
		if err := pause(ctx, interval); err != nil {
			return Tokens{}, err
		}
		if !d.Expires.IsZero() && time.Now().After(d.Expires) {
			return Tokens{}, refused("nobody confirmed the login in time", "log in again")
		}
		// The library polls by a clock of its own, so each poll is an exchange of
		// another grant. Its empty code counts as none (RFC 6749, section 3.2).
		answer, err := c.config("").Exchange(c.context(ctx), "",
			oauth2.SetAuthURLParam("grant_type", grantDevice), oauth2.SetAuthURLParam("device_code", d.code))
		if err == nil {
			t, _, err := c.tokens(answer)
			return t, err
		}
		err = c.failure(err)
		switch {
		case codeOf(err) == pending:
			unanswered = 0
		case codeOf(err) == slowDown:
			interval, unanswered = interval+slower, 0
		case config.KindOf(err) == config.KindUnavailable && unanswered < maxUnanswered && ctx.Err() == nil:
			interval, unanswered = interval+slower, unanswered+1
		default:
			return Tokens{}, err
		}
	}
}
