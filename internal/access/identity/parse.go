package identity

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// ParseFile reads the text of an identities file. It refuses whatever it does not
// know, so that no line of the file is without effect. The error is a
// *config.Error; it names the line and the next step, and in Details all that is
// wrong when there is more.
func ParseFile(text []byte) (*File, error) {
	if len(text) > MaxFile {
		return nil, config.Errorf(config.KindTooLarge, "the identities file is too large").
			Hint("bind by fewer values").Over(MaxFile, int64(len(text)))
	}
	root, err := rootOf(text)
	if err != nil {
		return nil, err
	}
	r := &reader{}
	file := r.file(root)
	if err := r.problem(); err != nil {
		return nil, err
	}
	return file, nil
}

// rootOf is the one mapping that the text holds; nil when it holds nothing.
func rootOf(text []byte) (*yaml.Node, error) {
	const maxDepth = 32
	loader, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth), loaderlimits.AliasNone())))
	if err != nil {
		return nil, notYAML(err)
	}
	var document yaml.Node
	if err := loader.Load(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, notYAML(err)
	}
	if err := loader.Load(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, config.Errorf(config.KindBadRequest, "the identities file holds more than one YAML document").Hint("keep one")
	}
	root := &document
	if root.Kind == yaml.DocumentNode {
		if len(root.Content) != 1 {
			return nil, nil
		}
		root = root.Content[0]
	}
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return nil, nil
	}
	return root, nil
}

func notYAML(err error) error {
	e := config.Errorf(config.KindBadRequest, "the identities file is not YAML")
	var at *yaml.LoadError
	if errors.As(err, &at) && at.Mark.Line > 0 {
		e = config.Errorf(config.KindBadRequest, "line %d: this is not YAML: %s", at.Mark.Line, at.Message)
	}
	e.Cause = err
	return e.Hint("mend the line; indent with spaces, and quote text that holds a colon")
}

func (r *reader) file(root *yaml.Node) *File {
	file := &File{}
	if root == nil {
		return file
	}
	members := r.mapping(root, "an identities file", "issuers", "certificates")
	names, urls, bindings := map[string]int{}, map[string]int{}, 0
	for _, item := range r.list(members["issuers"], "issuers", MaxIssuers) {
		issuer := r.issuer(item)
		r.once(names, issuer.Name, item, "an issuer is named %q already at line %d")
		r.once(urls, issuer.URL, item, "the issuer %q stands already at line %d")
		if bindings += len(issuer.Bindings); bindings > MaxBindings && bindings-len(issuer.Bindings) <= MaxBindings {
			r.fail(item, "bind by several values of a claim at once", "there are more than %d bindings", MaxBindings)
		}
		file.Issuers = append(file.Issuers, issuer)
	}
	rules := map[string]int{}
	for _, item := range r.list(members["certificates"], "certificates", MaxCertificates) {
		rule := r.certificate(item)
		r.once(rules, rule.SPIFFE+rule.DNS, item, "a rule for %q stands already at line %d")
		file.Certificates = append(file.Certificates, rule)
	}
	return file
}

// once refuses a name that stands twice.
func (r *reader) once(seen map[string]int, name string, node *yaml.Node, format string) {
	if line, twice := seen[name]; twice && name != "" {
		r.fail(node, "keep one of them", format, name, line)
		return
	}
	seen[name] = node.Line
}

func (r *reader) issuer(node *yaml.Node) Issuer {
	members := r.mapping(node, "an issuer", "name", "issuer", "audience", "algorithms", "ca", "leeway", "replay", "max_age", "name_claim", "login", "bindings")
	r.needs(node, members, "an issuer", "name", "issuer", "audience")
	i := Issuer{
		Name:      r.checked(members["name"], "name", config.MaxNameBytes, checkName),
		URL:       r.checked(members["issuer"], "issuer", maxURL, checkURL),
		Audience:  r.texts(members["audience"], "audience", maxAudiences, nil),
		CA:        r.checked(members["ca"], "ca", maxPath, nil),
		Leeway:    r.duration(members["leeway"], "leeway", maxLeeway),
		Replay:    r.flag(members["replay"], "replay"),
		MaxAge:    r.duration(members["max_age"], "max_age", maxMaxAge),
		NameClaim: r.checked(members["name_claim"], "name_claim", maxClaimName, nil),
		Login:     r.login(members["login"]),
	}
	i.Algorithms = r.texts(members["algorithms"], "algorithms", len(fitting), checkAlgorithm)
	for _, item := range r.list(members["bindings"], "bindings", MaxBindings) {
		i.Bindings = append(i.Bindings, r.binding(item))
	}
	return i
}

func (r *reader) login(node *yaml.Node) *Login {
	if node == nil {
		return nil
	}
	members := r.mapping(node, "login", "client_id", "client_secret_file", "scopes")
	r.needs(node, members, "login", "client_id")
	return &Login{
		ClientID:         r.checked(members["client_id"], "client_id", maxText, nil),
		ClientSecretFile: r.checked(members["client_secret_file"], "client_secret_file", maxPath, nil),
		Scopes:           r.texts(members["scopes"], "scopes", maxScopes, checkScope),
	}
}

func (r *reader) binding(node *yaml.Node) Binding {
	members := r.mapping(node, "a binding", "when", "tenant", "roles", "server_admin")
	r.needs(node, members, "a binding", "when")
	g := r.grant(node, members)
	return Binding{When: r.when(members["when"]), Tenant: g.tenant, Roles: g.roles, ServerAdmin: g.serverAdmin}
}

func (r *reader) certificate(node *yaml.Node) CertificateRule {
	members := r.mapping(node, "a certificate", "spiffe", "dns", "tenant", "roles", "server_admin")
	if (members["spiffe"] == nil) == (members["dns"] == nil) {
		r.fail(node, "write spiffe: or dns:, and a rule each for both", "a certificate is known by spiffe or by dns, one of the two")
	}
	g := r.grant(node, members)
	return CertificateRule{
		SPIFFE: r.checked(members["spiffe"], "spiffe", maxSPIFFE+len(below), checkSPIFFERule),
		DNS:    r.checked(members["dns"], "dns", maxDNS, checkDNS),
		Tenant: g.tenant, Roles: g.roles, ServerAdmin: g.serverAdmin,
	}
}

// grant reads what a binding or a rule gives, which must be something.
func (r *reader) grant(node *yaml.Node, members map[string]*yaml.Node) grant {
	g := grant{
		tenant:      r.checked(members["tenant"], "tenant", config.MaxNameBytes, checkName),
		roles:       r.texts(members["roles"], "roles", maxRoles, checkRole),
		serverAdmin: r.flag(members["server_admin"], "server_admin"),
	}
	slices.Sort(g.roles)
	switch {
	case members["tenant"] == nil && len(g.roles) > 0:
		r.fail(members["roles"], "add tenant:", "roles are of a tenant, and none is named")
	case members["tenant"] == nil && !g.serverAdmin:
		r.fail(node, "add tenant: and roles:, or server_admin: true", "this gives nothing")
	}
	return g
}

// when reads the claims of a binding. No claims at all have to be written out, as
// {}, because they let in everybody whom the issuer knows.
func (r *reader) when(node *yaml.Node) map[string][]string {
	if node == nil {
		return nil
	}
	members := r.anyMapping(node, "when")
	if len(members) > maxConditions {
		r.fail(node, "compare fewer", "when has more than %d claims", maxConditions)
	}
	when := make(map[string][]string, len(members))
	for _, name := range slices.Sorted(maps.Keys(members)) {
		switch {
		case name == "" || len(name) > maxClaimName:
			r.fail(members[name], "name the claim as the token does", "a claim's name has 1 to %d bytes", maxClaimName)
		case slices.Contains(ownClaims, name):
			r.fail(members[name], "compare another claim; issuer and audience have settings of their own", "the claim %s is checked for every token and not compared here", name)
		}
		when[name] = r.values(members[name], name)
	}
	return when
}

// values are what a claim is compared with: texts, and what JSON writes without
// quotes and YAML reads in one way only.
func (r *reader) values(node *yaml.Node, claim string) []string {
	items := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		items = r.list(node, claim, maxValues)
		if len(items) == 0 {
			r.fail(node, "write a value, or leave the claim out", "the claim %q has no values, which no token has", claim)
		}
	}
	var values []string
	for _, item := range items {
		text, ok := r.scalar(item, claim)
		switch tag := item.ShortTag(); {
		case !ok:
			continue
		case tag != "!!str" && text != "true" && text != "false" && !isWhole(text):
			r.fail(item, `put it in quotes, as the token writes it`, "%s is not clearly text", claim)
		case text == "" || len(text) > maxValue:
			r.fail(item, "write what the token says", "a value of the claim %q has 1 to %d bytes", claim, maxValue)
		case slices.Contains(values, text):
			r.fail(item, "keep one", "a value of the claim %q stands twice", claim)
		}
		values = append(values, text)
	}
	return values
}

// isWhole says whether text is a whole number as every reader reads it.
func isWhole(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || len(digits) > 15 || digits[0] == '0' && text != "0" {
		return false
	}
	return strings.Trim(digits, "0123456789") == ""
}

// duration reads from a second to most; zero when it is not there.
func (r *reader) duration(node *yaml.Node, what string, most time.Duration) time.Duration {
	if node == nil {
		return 0
	}
	text, ok := r.scalar(node, what)
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > most {
		r.fail(node, "write a time such as 30s, or leave the line out", "%s is no time from 1s to %s", what, most)
	}
	return d
}
