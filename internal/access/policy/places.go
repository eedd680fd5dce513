package policy

import (
	"errors"
	"strings"

	"github.com/cedar-policy/cedar-go"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

const (
	onItems    = access.OnFolder | access.OnDocument | access.OnSecret // what lies at or below a prefix
	inTenant   = access.OnTenant | access.OnEnvironment | onItems
	everything = access.OnServer | inTenant
)

// places is a set of things that actions are taken on: those of some kinds, in
// one environment or in all, at or below a prefix. Every head of a policy
// selects such a set, and so does what two of them have in common.
type places struct {
	kinds       access.Subject // none: the set is empty
	environment string         // "" for all; things of the tenant as a whole are in none
	prefix      config.Prefix  // of folders, documents and secrets
	exact       bool           // only the one thing that environment and prefix name
}

func (p places) empty() bool { return p.kinds == 0 }

// only is the part of the set that an action can be taken on.
func (p places) only(kinds access.Subject) places {
	p.kinds &= kinds
	return p
}

// contains says whether all of q is in p. Both may be empty.
func (p places) contains(q places) bool {
	if q.empty() {
		return true
	}
	if q.kinds&^p.kinds != 0 || p.environment != "" && p.environment != q.environment {
		return false
	}
	if p.exact {
		return q.exact && p.prefix == q.prefix
	}
	return below(p.prefix, q.prefix)
}

// intersect is what is in both.
func (p places) intersect(q places) places {
	if p.environment == "" {
		p.environment, q.environment = q.environment, p.environment
	}
	if q.environment != "" && q.environment != p.environment {
		return places{}
	}
	if below(p.prefix, q.prefix) {
		p.prefix, q.prefix = q.prefix, p.prefix
		p.exact, q.exact = q.exact, p.exact
	}
	// Now p is the deeper of the two; an exact q above it holds nothing of it.
	if !below(q.prefix, p.prefix) || q.exact && q.prefix != p.prefix {
		return places{}
	}
	p.kinds &= q.kinds
	p.exact = p.exact || q.exact
	return p
}

// overlaps says whether anything is in both.
func (p places) overlaps(q places) bool { return !p.intersect(q).empty() }

// below says whether what inner selects is selected by outer.
func below(outer, inner config.Prefix) bool {
	o, i := outer.String(), inner.String()
	return o == "" || o == i || strings.HasPrefix(i, o) && i[len(o)] == '/'
}

// String names the set in findings.
func (p places) String() string {
	where := p.prefix.String()
	if p.environment != "" {
		where = strings.TrimSuffix(p.environment+"/"+where, "/")
	}
	switch {
	case p.empty():
		return "nothing"
	case p.kinds == access.OnServer:
		return "the server"
	case p.kinds == access.OnTenant:
		return "the tenant itself"
	case p.exact || p.kinds == access.OnEnvironment && p.environment != "":
		return kindName(p.kinds) + " " + where
	case p.prefix.String() == "" && p.environment == "":
		return "the whole tenant"
	case p.environment == "":
		return "everything below " + where + " in every environment"
	case p.prefix.String() == "":
		return "the whole environment " + where
	}
	return "everything below " + where
}

func kindName(kind access.Subject) string {
	for name, k := range testKinds {
		if k == kind {
			return name
		}
	}
	return "thing"
}

// thingOf is the thing of a kind that an id names, as policies and test cases
// write it. The error says only that the id is malformed.
func thingOf(kind access.Subject, id string) (places, error) {
	switch kind {
	case access.OnServer, access.OnTenant:
		return places{kinds: kind}, nil
	case access.OnEnvironment:
		return places{kinds: kind, environment: id}, config.CheckName(id)
	}
	environment, rest, ok := strings.Cut(id, "/")
	if !ok {
		return places{}, errMalformed
	}
	if err := config.CheckName(environment); err != nil {
		return places{}, err
	}
	path, err := config.ParsePath(rest)
	if err != nil {
		return places{}, err
	}
	return places{kinds: kind, environment: environment, prefix: prefixAt(path), exact: true}, nil
}

var errMalformed = errors.New("the id is malformed")

// prefixAt selects a path and all below it.
func prefixAt(path config.Path) config.Prefix {
	prefix, err := config.ParsePrefix(path.String())
	if err != nil {
		panic("policy: a path is no prefix: " + err.Error()) // every path is one
	}
	return prefix
}

// kindOf is the kind of thing that an entity type stands for; 0 for a type that
// nobody asks for.
func kindOf(name cedar.EntityType) access.Subject {
	for kind, t := range kinds {
		if t == name {
			return kind
		}
	}
	return 0
}

// placesIn is all that is in an entity, and the entity itself. An entity of
// another tenant holds nothing of this one.
func placesIn(uid cedar.EntityUID, tenant string) (places, error) {
	id := string(uid.ID)
	switch uid.Type {
	case typeTenant:
		if id != tenant {
			return places{}, nil
		}
		return places{kinds: inTenant}, nil
	case typeEnvironment:
		return places{kinds: access.OnEnvironment | onItems, environment: id}, config.CheckName(id)
	case typePath:
		path, err := config.ParsePath(id)
		if err != nil {
			return places{}, err
		}
		return places{kinds: onItems, prefix: prefixAt(path)}, nil
	case typeFolder:
		p, err := thingOf(access.OnFolder, id)
		if err != nil {
			return places{}, err
		}
		p.kinds, p.exact = onItems, false
		return p, nil
	}
	return placesAt(uid, tenant)
}

// placesAt is the entity alone.
func placesAt(uid cedar.EntityUID, tenant string) (places, error) {
	id, kind := string(uid.ID), kindOf(uid.Type)
	switch {
	case uid.Type == typePath:
		_, err := config.ParsePath(id)
		return places{}, err
	case kind == 0, kind == access.OnTenant && id != tenant, kind == access.OnServer && id != "server":
		return places{}, nil
	}
	return thingOf(kind, id)
}
