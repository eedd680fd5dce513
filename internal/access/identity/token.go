package identity

import (
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/canon"
)

const (
	maxToken    = 16 << 10 // bytes
	maxDepth    = 16
	maxMembers  = 4096
	maxIDs      = 256          // bytes of a kid, a jti
	lastInstant = 253402300799 // the end of the year 9999
)

// notTaken are header members that say where a key is, or that the token is to be
// read in another way. No member of a header changes how a token is read here.
var notTaken = []string{"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty"}

// LooksLikeJWT says whether text has the three parts of a signed token. It is
// cheap, and says nothing of whether the token is good.
func LooksLikeJWT(bearer string) bool {
	parts, length := 1, 0
	for i := 0; i < len(bearer); i++ {
		switch c := bearer[i]; {
		case c == '.':
			if length == 0 {
				return false
			}
			parts, length = parts+1, 0
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			length++
		default:
			return false
		}
	}
	return parts == 3 && length > 0
}

// token is a token of which nothing is proved yet.
type token struct {
	text      string
	algorithm string
	key       string // the key's id, empty when the token names none
	payload   map[string]any
}

// readToken takes a token apart, strictly: what two readers could understand
// differently is an error.
func readToken(bearer string) (token, error) {
	if !LooksLikeJWT(bearer) {
		return token{}, errors.New("the token has not the three parts of a signed one")
	}
	first, rest, _ := strings.Cut(bearer, ".")
	second, third, _ := strings.Cut(rest, ".")
	if _, err := base64.RawURLEncoding.Strict().DecodeString(third); err != nil {
		return token{}, errors.New("the token's signature: not base64url")
	}
	header, err := object(first)
	if err != nil {
		return token{}, fmt.Errorf("the token's header: %w", err)
	}
	t := token{text: bearer}
	if err := t.readHeader(header); err != nil {
		return token{}, err
	}
	if t.payload, err = object(second); err != nil {
		return token{}, fmt.Errorf("the token's claims: %w", err)
	}
	return t, nil
}

// object reads a part of a token as a JSON object.
func object(part string) (map[string]any, error) {
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errors.New("not base64url")
	}
	value, err := canon.Decode(text, canon.Limits{Bytes: maxToken, Depth: maxDepth, Nodes: maxMembers})
	if err != nil {
		return nil, err
	}
	members, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	return members, nil
}

func (t *token) readHeader(header map[string]any) error {
	for _, name := range notTaken {
		if _, there := header[name]; there {
			return fmt.Errorf("the token's header has %s", name)
		}
	}
	kind, there := header["typ"]
	if text, _ := kind.(string); there && !strings.EqualFold(text, "JWT") && !strings.EqualFold(text, "at+jwt") {
		return errors.New("the token's typ is neither JWT nor at+jwt")
	}
	t.algorithm, _ = header["alg"].(string)
	if _, ok := fitting[t.algorithm]; !ok {
		return fmt.Errorf("the token's alg %q is never taken", shortened(t.algorithm))
	}
	id, there := header["kid"]
	t.key, _ = id.(string)
	if there && (t.key == "" || len(t.key) > maxIDs) {
		return errors.New("the token's kid is no text, empty or too long")
	}
	return nil
}

// claimed checks all that a token says against the settings of its issuer, and
// what it gives. That the issuer says it is checked by verify.
func (t token) claimed(i Issuer, now time.Time) (Claimed, error) {
	e, err := t.evidence()
	if err != nil {
		return Claimed{}, err
	}
	if err := i.accepts(e, now); err != nil {
		return Claimed{}, err
	}
	if err := t.started(i, e, now); err != nil {
		return Claimed{}, err
	}
	subject, _ := t.payload["sub"].(string)
	if err := checkSubject(subject); err != nil {
		return Claimed{}, err
	}
	claims, err := flatten(t.payload)
	if err != nil {
		return Claimed{}, err
	}
	g, ok := i.place(claims)
	if !ok {
		return Claimed{}, errors.New("no binding fits the token's claims")
	}
	name, _ := t.payload[i.nameClaim()].(string)
	if name == "" {
		name = subject
	}
	c := Claimed{
		Method: access.MethodIdentity, Issuer: i.Name, ID: i.Name + ":" + subject, Name: shown(name),
		Claims: claims, Expires: i.end(e), token: e, Session: t.session(),
	}
	return c.given(g), nil
}

// session is what the issuer calls the login, or this token of it.
func (t token) session() string {
	for _, name := range []string{"sid", "jti"} {
		if id, _ := t.payload[name].(string); id != "" {
			return shown(id)
		}
	}
	return ""
}

// evidence reads what settings decide on.
func (t token) evidence() (evidence, error) {
	e := evidence{algorithm: t.algorithm}
	var ok bool
	if e.issuer, ok = t.payload["iss"].(string); !ok || e.issuer == "" {
		return e, errors.New("iss is missing or no text")
	}
	if e.audience, ok = audience(t.payload["aud"]); !ok {
		return e, errors.New("aud is missing, or neither text nor texts")
	}
	if e.expires, ok = instant(t.payload["exp"]); !ok {
		return e, errors.New("exp is missing or no time")
	}
	if issued, there := t.payload["iat"]; there {
		if e.issued, ok = instant(issued); !ok {
			return e, errors.New("iat is no time")
		}
	}
	return e, nil
}

func audience(value any) ([]string, bool) {
	if one, ok := value.(string); ok && one != "" {
		return []string{one}, true
	}
	items, ok := value.([]any)
	if !ok || len(items) == 0 || len(items) > maxValues {
		return nil, false
	}
	var all []string
	for _, item := range items {
		text, ok := item.(string)
		if !ok {
			return nil, false
		}
		all = append(all, text)
	}
	return all, true
}

// instant reads seconds since 1970.
func instant(value any) (time.Time, bool) {
	seconds, ok := value.(float64)
	if !ok || seconds < 0 || seconds > lastInstant {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0).UTC(), true
}

// accepts says whether a token is one that the settings take, at this moment.
func (i Issuer) accepts(e evidence, now time.Time) error {
	switch {
	case e.issuer != i.URL:
		return errors.New("the token is of another issuer")
	case !i.takes(e.algorithm):
		return fmt.Errorf("the issuer's settings do not take %s", e.algorithm)
	case !slices.ContainsFunc(e.audience, func(one string) bool { return slices.Contains(i.Audience, one) }):
		return errors.New("the token is for another audience")
	case i.MaxAge > 0 && e.issued.IsZero():
		return errors.New("iat is missing, and max_age needs it")
	case !now.Before(i.end(e)):
		return errors.New("the token has expired, or is older than max_age")
	}
	return nil
}

// end is when a token stops being good, with what the clocks may differ.
func (i Issuer) end(e evidence) time.Time {
	end := e.expires
	if i.MaxAge > 0 && !e.issued.IsZero() && e.issued.Add(i.MaxAge).Before(end) {
		end = e.issued.Add(i.MaxAge)
	}
	return end.Add(i.leeway())
}

// started says whether a token is good already.
func (t token) started(i Issuer, e evidence, now time.Time) error {
	latest := now.Add(i.leeway())
	if e.issued.After(latest) {
		return errors.New("iat is in the future")
	}
	if begin, there := t.payload["nbf"]; there {
		if at, ok := instant(begin); !ok || at.After(latest) {
			return errors.New("nbf is in the future or no time")
		}
	}
	return nil
}

// once gives the jti of a token that is good for one use.
func (t token) once() (string, error) {
	jti, _ := t.payload["jti"].(string)
	if jti == "" || len(jti) > maxIDs {
		return "", errors.New("jti is missing, no text or too long, and replay needs it")
	}
	return jti, nil
}

// signedBy says whether one of the keys has signed the token.
func (t token) signedBy(keys []crypto.PublicKey) error {
	signed, err := jose.ParseSignedCompact(t.text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(t.algorithm)})
	if err != nil {
		return errors.New("the token cannot be read as a signed one")
	}
	for _, key := range keys {
		if _, err := signed.Verify(key); err == nil {
			return nil
		}
	}
	return errors.New("the signature is wrong")
}
