package httpapi

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// seconds is a time of the wire, cut off far beyond every bound that it may have.
func seconds(n int64) time.Duration { return time.Duration(min(max(n, -1), 1<<32)) * time.Second }

func maybeSeconds(n *int64) *time.Duration {
	if n == nil {
		return nil
	}
	return new(seconds(*n))
}

// maybe is a time that is left out when it is none.
func maybe(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}

func secretRequest(in api.SecretInput) (service.SecretRequest, error) {
	metadata, err := secretMetadata(in.SecretMetadata)
	if err != nil {
		return service.SecretRequest{}, err
	}
	request := service.SecretRequest{
		Generate: generatorOf(in.Generate), Stage: in.Stage, Grace: maybeSeconds(in.GraceSeconds), Now: in.Now,
		AllowWeak: in.AllowWeak, Metadata: metadata, Message: in.Message,
	}
	if in.ExpiresAt != nil {
		request.Expires = *in.ExpiresAt
	}
	if in.Fields == nil && in.Generate == nil && (in.Stage || in.Now || in.GraceSeconds != nil || in.ExpiresAt != nil || in.AllowWeak != "" || in.IfVersion != nil) {
		return request, config.Errorf(config.KindBadRequest, "without fields or generate there is no new version that this could be of").At("/fields").
			Hint("give the value, or only what is said about the secret")
	}
	if in.IfVersion != nil {
		request.IfVersion = new(config.Version(*in.IfVersion))
	}
	return request, nil
}

func secretMetadata(in api.SecretMetadata) (service.SecretMetadata, error) {
	out := service.SecretMetadata{Description: in.Description, Owner: in.Owner, Labels: in.Labels}
	if in.Rotation == nil {
		return out, nil
	}
	out.Rotation = &secret.Rotation{
		Every: seconds(in.Rotation.EverySeconds), Grace: seconds(in.Rotation.GraceSeconds),
		Overlap: secret.Overlap(in.Rotation.Overlap), Generator: generatorOf(in.Rotation.Generator),
	}
	if hook := in.Rotation.Webhook; hook != nil {
		signing, err := parameter(config.ParsePath(hook.Signing))("/rotation/webhook/signing")
		if err != nil {
			return out, err
		}
		out.Rotation.Webhook = &secret.Webhook{URL: hook.URL, Signing: signing}
	}
	return out, nil
}

func generatorOf(in *api.Generator) *secret.Generator {
	if in == nil {
		return nil
	}
	return &secret.Generator{Kind: secret.GeneratorKind(in.Kind), Length: in.Length, Field: in.Field}
}

func generator(g *secret.Generator) *api.Generator {
	if g == nil {
		return nil
	}
	return &api.Generator{Kind: string(g.Kind), Length: g.Length, Field: g.Field}
}

func rotation(r *secret.Rotation) *api.SecretRotation {
	if r == nil {
		return nil
	}
	out := &api.SecretRotation{
		EverySeconds: int64(r.Every / time.Second), GraceSeconds: int64(r.Grace / time.Second),
		Overlap: string(r.Overlap), Generator: generator(r.Generator),
	}
	if r.Webhook != nil {
		out.Webhook = &api.SecretWebhook{URL: r.Webhook.URL, Signing: r.Webhook.Signing.String()}
	}
	return out
}

func secretOf(i service.SecretInfo) api.Secret {
	out := api.Secret{
		Environment: i.Environment, Path: i.Path.String(), Description: i.Description, Owner: i.Owner, Labels: i.Labels,
		Rotation: rotation(i.Rotation), NextRotate: maybe(i.NextRotation),
		Current: int64(i.InUse), Refused: refused(i), Previous: int64(i.InGrace), Staged: int64(i.Waiting), Deleted: maybe(i.Deleted),
		Record: int64(i.RecordVersion), Revision: int64(i.Revision), Time: i.Time.UTC(), Author: i.Author,
	}
	if i.Failure != nil {
		out.Failure = &api.SecretFailure{Time: i.Failure.Time.UTC(), Reason: i.Failure.Reason}
	}
	return out
}

// refused says why a secret that supplies has no version in use.
func refused(i service.SecretInfo) string {
	v, there := i.Find(i.Serves)
	switch {
	case i.InUse != 0 || !i.Supplies():
		return ""
	case !there:
		return string(secret.Destroyed)
	case v.State == secret.Active:
		return "expired"
	case v.State == secret.Revoked || v.State == secret.Destroyed:
		return string(v.State)
	}
	return ""
}

func secretWithVersions(i service.SecretInfo) api.Secret {
	out := secretOf(i)
	out.Versions = secretVersions(i)
	return out
}

// secretVersions are the versions of a secret, newest first.
func secretVersions(i service.SecretInfo) []api.SecretVersion {
	versions := convert(i.Versions, secretVersion)
	slices.Reverse(versions)
	return versions
}

func secretVersion(v secret.Version) api.SecretVersion {
	return api.SecretVersion{
		Version: int64(v.Number), State: string(v.State), Source: string(v.Source), Fields: append([]string{}, v.Fields...),
		Created: v.Created.UTC(), Author: v.Author, Message: v.Message, Activated: maybe(v.Activated),
		GraceUntil: maybe(v.GraceUntil), Ended: maybe(v.Ended), ExpiresAt: maybe(v.Expires), Weak: v.Weak,
	}
}

func secretResult(r service.SecretResult) api.SecretResult {
	return api.SecretResult{
		Committed: committed(r.Outcome), Environment: r.Environment, Path: r.Path.String(),
		Version: int64(r.Version), State: string(r.State), Current: int64(r.Current), Previous: int64(r.Previous),
		Record: int64(r.Record), Notes: r.Notes,
	}
}

func secretDiff(d service.SecretDiff) api.SecretDiff {
	side := func(p service.SecretPoint) api.SecretSide {
		return api.SecretSide{Environment: p.Environment, Version: int64(p.Version)}
	}
	return api.SecretDiff{
		From: side(d.From), To: side(d.To), Path: d.Path.String(),
		Fields: convert(d.Fields, func(f service.FieldDiff) api.SecretFieldDiff {
			return api.SecretFieldDiff{Field: f.Field, Change: f.Change}
		}),
	}
}

// secretPoint reads [environment@]version. An environment alone, as in
// "staging@", is the version in use there.
func secretPoint(text, environment string) (service.SecretPoint, error) {
	if name, version, found := strings.Cut(text, "@"); found {
		environment, text = name, version
	}
	point := service.SecretPoint{Environment: environment}
	if text == "" {
		return point, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || text[0] == '+' || text[0] == '0' {
		return point, config.Errorf(config.KindBadRequest, "this is no version of a secret").Hint("write it like 3, staging@3, or staging@ for the one in use")
	}
	point.Version = config.Version(n)
	return point, nil
}

func adoption(a service.Adoption) api.SecretAdoption {
	return api.SecretAdoption{
		Environment: a.Environment, Path: a.Path.String(), Current: int64(a.Current), Previous: int64(a.Previous),
		GraceUntil: maybe(a.GraceUntil), Overlap: string(a.Overlap), Adopted: a.Adopted, Waiting: a.Waiting,
		Clients: convert(a.Clients, func(c service.Adopter) api.SecretAdopter {
			return api.SecretAdopter{Client: c.Client, Principal: c.Principal, Environment: c.Environment, Version: int64(c.Version), Time: c.Time.UTC()}
		}),
	}
}

func ackRequest(in api.Ack) (service.AckRequest, error) {
	request := service.AckRequest{Client: in.Client, Revision: config.Revision(in.Revision), Digest: in.Digest}
	if len(in.Secrets) == 0 {
		return request, nil
	}
	request.Secrets = make(map[config.Path]config.Version, len(in.Secrets))
	for _, text := range slices.Sorted(maps.Keys(in.Secrets)) {
		path, err := parameter(config.ParsePath(text))("/secrets")
		if err != nil {
			return request, err
		}
		request.Secrets[path] = config.Version(in.Secrets[text])
	}
	return request, nil
}

func clients(c service.Clients) api.AckList {
	return api.AckList{
		Environment: c.Environment, Revision: int64(c.Revision),
		Clients: convert(c.Clients, func(state service.ClientState) api.ClientState {
			out := api.ClientState{
				Client: state.Client, Principal: state.Principal, Revision: int64(state.Revision), Digest: state.Digest,
				Behind: int64(max(c.Revision-state.Revision, 0)), Time: state.Time.UTC(), ExpiresAt: state.Expires.UTC(),
			}
			if len(state.Secrets) > 0 {
				out.Secrets = make(map[string]int64, len(state.Secrets))
			}
			for path, version := range state.Secrets {
				out.Secrets[path.String()] = int64(version)
			}
			return out
		}),
	}
}
