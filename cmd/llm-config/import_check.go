package main

import (
	"context"
	"errors"
	"strings"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
)

// What is known of the place of a secret before it is written. Values are not
// compared: that would put a read of each on record.
const (
	secretNew      = "new"
	secretExists   = "exists"
	secretKept     = "kept"     // an import that was cut short wrote it
	secretReplaced = "replaced" // by a new version
)

// look finds which secrets are there already.
func (d *dotenvImport) look(ctx context.Context) error {
	if len(d.values) == 0 {
		return nil
	}
	there := map[string]api.Secret{}
	list := client.SecretList{Prefix: d.prefix, Own: true, Page: client.Page{Limit: maxPage}}
	for s, err := range d.to.AllSecrets(ctx, d.environment, list) {
		if errors.Is(err, client.ErrForbidden) {
			d.plan.Notes = append(d.plan.Notes, "your token may not list secrets, so those that are there already are found only when they are written")
			return nil
		}
		if err != nil {
			return err
		}
		there[s.Path] = s
	}
	for i := range d.plan.Variables {
		v := &d.plan.Variables[i]
		if v.Secret == "" {
			continue
		}
		s, exists := there[v.Secret]
		switch {
		case !exists:
			v.There = secretNew
		case d.replace:
			v.There = secretReplaced
		case s.Current == 1 && s.Description == d.provenance(*v) && v.Change != "same":
			v.There = secretKept
			d.plan.Notes = append(d.plan.Notes, v.Secret+" was written by an import into "+d.path+" that came to no end, and is kept as it is; --replace gives it the value in the file")
		default:
			v.There = secretExists
		}
	}
	return nil
}

// provenance is the description of a secret that an import makes, by which a
// later one knows it again.
func (d *dotenvImport) provenance(v dotenvVariable) string {
	return "imported from the variable " + v.Name + " for " + d.path
}

// refused is what the server would refuse, as far as that can be told before
// anything is written; it knows more, and judges again.
func (d *dotenvImport) refused() (refused importRefusal) {
	for _, v := range d.plan.Variables {
		switch {
		case v.Secret == "" || v.There == secretKept:
			continue
		case v.There == secretExists:
			refused.exists(v)
			continue
		case d.weak != "":
			continue
		}
		fields := secret.TextFields(map[string][]byte{config.SecretField: []byte(d.values[v.Secret])})
		words := append(strings.Split(v.Secret, "/"), d.tenant, d.environment)
		if weakness := secret.Check(fields, secret.Personal{Words: words}); weakness != nil {
			refused.guessable(v, weakness.Reasons)
		}
		fields.Wipe()
	}
	return refused
}

// importRefusal is why secrets are not taken, a line for each.
type importRefusal struct {
	lines       []string
	weak, there bool
}

func (r *importRefusal) exists(v dotenvVariable) {
	r.there = true
	r.lines = append(r.lines, v.Name+": there is a secret at "+v.Secret+" already")
}

func (r *importRefusal) guessable(v dotenvVariable, reasons []string) {
	r.weak = true
	r.lines = append(r.lines, v.Name+": the value could be guessed: "+strings.Join(reasons, "; "))
}

// failure says what is refused, and what is done all the same.
func (r *importRefusal) failure(done string) error {
	f := failf("%s not taken, so %s", counted(len(r.lines), "secret")+map[bool]string{true: " was", false: " were"}[len(r.lines) == 1], done)
	f.details = r.lines
	var next []string
	if r.weak {
		next = append(next, "--allow-weak REASON takes values that could be guessed, and --plain NAME leaves one in the document")
	}
	if r.there {
		next = append(next, "--replace gives secrets that are there the values of the file, as new versions")
	}
	return f.hint("%s", strings.Join(next, "; "))
}
