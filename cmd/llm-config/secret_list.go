package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newSecretListCommand(a *app) *cobra.Command {
	c := a.command("ls [PREFIX]", "List secrets",
		`List the secrets that count in an environment, its own and inherited ones, without
their values. PREFIX selects a path and all below it; in --glob a * stands for
anything within a segment, and ** for any number of segments.`,
		`  llm-config secret ls -e production
  llm-config secret ls -e production --label team=search --own
  llm-config secret ls -e production --glob '**/signing' -o value
  llm-config secret ls -e production --deleted`)
	s := a.secretScope(c, listFormats...)
	var list client.SecretList
	var labels []string
	c.Flags().StringVar(&list.Glob, "glob", "", "only paths that match `GLOB`")
	c.Flags().StringArrayVar(&labels, "label", nil, "only with the label `NAME=VALUE`; NAME= asks for the label alone; may be given again")
	c.Flags().BoolVar(&list.Own, "own", false, "only the environment's own, not what it inherits")
	c.Flags().BoolVar(&list.Deleted, "deleted", false, "deleted ones too")
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		if len(args) > 0 {
			list.Prefix = args[0]
		}
		if list.Labels, err = parseLabels(labels); err != nil {
			return err
		}
		from, err := s.client(c)
		if err != nil {
			return err
		}
		all := api.SecretList{Secrets: []api.Secret{}}
		list.Limit = maxPage
		for more := true; more; more = list.Cursor != "" {
			page, err := from.Secrets(c.Context(), s.environment, list)
			if err != nil {
				return err
			}
			all.Secrets, all.Revision, list.Cursor = append(all.Secrets, page.Secrets...), page.Revision, page.Next
		}
		if len(all.Secrets) == 0 && list.Prefix != "" {
			return noSecrets(s.environment, list)
		}
		return s.out.show(secretsView(all))
	}
	return c
}

// noSecrets says that a list below a prefix is empty, and what it was narrowed by.
func noSecrets(environment string, list client.SecretList) error {
	what := "there is no secret"
	if list.Own {
		what = environment + " has no secret of its own"
	}
	what += " at " + list.Prefix + " or below it"
	if !list.Own {
		what += " in " + environment
	}
	var narrowed []string
	if list.Glob != "" {
		narrowed = append(narrowed, "matches "+list.Glob)
	}
	if len(list.Labels) > 0 {
		narrowed = append(narrowed, "has the labels "+labelsText(list.Labels))
	}
	if narrowed == nil {
		return failf("%s", what).hint("`llm-config secret ls` lists what there is")
	}
	return failf("%s that %s", what, strings.Join(narrowed, " and ")).
		hint("a glob is of whole paths; `llm-config secret ls %s` lists what there is below the prefix", list.Prefix)
}

func secretsView(list api.SecretList) view {
	v := view{data: list}
	for _, secret := range list.Secrets {
		v.values = append(v.values, secret.Path)
	}
	v.people = func(p *printer) {
		t := newTable("PATH", "FROM", "CURRENT", "ALSO", "NEXT ROTATION", "OWNER", "LABELS", "CHANGED")
		for _, s := range list.Secrets {
			t.cells(cell{text: s.Path}, cell{text: s.Environment}, currentCell(s), alsoCell(s), nextCell(s),
				cell{text: cmp.Or(s.Owner, "-")}, cell{text: cmp.Or(labelsText(s.Labels), "-")}, cell{text: when(s.Time)})
		}
		t.print(p)
	}
	return v
}

// currentCell is the version in use, or what became of it.
func currentCell(s api.Secret) cell {
	if s.Current == 0 && s.Refused != "" {
		return cell{s.Refused, styleRed}
	}
	return cell{text: versionText(s.Current)}
}

func versionText(version int64) string {
	if version == 0 {
		return "-"
	}
	return number(version)
}

// alsoCell is what there is beside the version in use.
func alsoCell(s api.Secret) cell {
	var also []string
	if s.Previous != 0 {
		also = append(also, number(s.Previous)+" in grace")
	}
	if s.Staged != 0 {
		also = append(also, number(s.Staged)+" staged")
	}
	if s.Deleted != nil {
		return cell{"deleted", styleRed}
	}
	if s.Failure != nil {
		return cell{strings.Join(append(also, "rotation failed "+when(s.Failure.Time)), ", "), styleRed}
	}
	return cell{text: cmp.Or(strings.Join(also, ", "), "-")}
}

func nextCell(s api.Secret) cell {
	if s.NextRotate == nil {
		return cell{text: "-"}
	}
	return cell{text: when(*s.NextRotate)}
}

func labelsText(labels map[string]string) string {
	texts := make([]string, 0, len(labels))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		texts = append(texts, name+"="+labels[name])
	}
	return strings.Join(texts, ", ")
}

// printSecret prints what is known of a secret, line by line.
func printSecret(p *printer, s *api.Secret) {
	p.printf("%s\n", p.paint(styleBold, layerKey{s.Environment, s.Path}.String()))
	line := func(name, value string) {
		if value != "" {
			p.printf("  %-14s %s\n", name, clean(value))
		}
	}
	line("description", s.Description)
	line("owner", s.Owner)
	line("labels", labelsText(s.Labels))
	line("rotation", rotationText(s.Rotation))
	if s.NextRotate != nil {
		line("next rotation", when(*s.NextRotate))
	}
	if s.Failure != nil {
		line("last rotation", "failed "+when(s.Failure.Time)+": "+s.Failure.Reason)
	}
	if s.Refused != "" {
		line("refused", "the last version in use is "+s.Refused+"; a new value, or another version activated, ends that")
	}
	if s.Deleted != nil {
		line("deleted", when(*s.Deleted))
	}
	line("changed", when(s.Time)+" by "+s.Author+", revision "+number(s.Revision))
}

// rotationText is how a secret is rotated, in a few words.
func rotationText(r *api.SecretRotation) string {
	if r == nil {
		return ""
	}
	var texts []string
	if r.EverySeconds != 0 {
		texts = append(texts, "every "+secondsText(r.EverySeconds))
	} else {
		texts = append(texts, "by hand")
	}
	if r.Webhook != nil {
		texts = append(texts, "by webhook "+r.Webhook.URL+" signed with "+r.Webhook.Signing)
	}
	if r.Generator != nil {
		texts = append(texts, "drawn as "+generatorText(r.Generator))
	}
	if r.GraceSeconds != 0 {
		texts = append(texts, "grace "+secondsText(r.GraceSeconds))
	}
	if r.Overlap == "adoption" {
		texts = append(texts, "grace ends when every client has the new version")
	}
	return strings.Join(texts, ", ")
}

func secondsText(seconds int64) string {
	return new(days(time.Duration(seconds) * time.Second)).String()
}

func newSecretHistoryCommand(a *app) *cobra.Command {
	c := a.command("history PATH", "List the versions of a secret",
		"List the versions of the environment's own secret at PATH, newest first, without\ntheir values.",
		`  llm-config secret history -e production openai`)
	s := a.secretScope(c, listFormats...)
	c.RunE = func(c *cobra.Command, args []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		history, err := from.SecretHistory(c.Context(), s.environment, args[0])
		if err != nil {
			return err
		}
		v := view{data: history, people: func(p *printer) { printVersions(p, history.Versions, time.Now()) }}
		for _, version := range history.Versions {
			v.values = append(v.values, number(version.Version))
		}
		return s.out.show(v)
	}
	return c
}

func printVersions(p *printer, versions []api.SecretVersion, now time.Time) {
	t := newTable("VERSION", "STATE", "SOURCE", "FIELDS", "CREATED", "AUTHOR", "ENDS", "MESSAGE")
	for _, v := range versions {
		state := stateText(v, now)
		t.cells(cell{text: number(v.Version)}, cell{state, versionStyle(state)}, cell{text: v.Source}, cell{text: strings.Join(v.Fields, ", ")},
			cell{text: when(v.Created)}, cell{text: v.Author}, cell{text: endText(v)}, cell{text: p.value(weakText(v))})
	}
	t.print(p)
}

// stateText is what a version is now: one that expired is given to nobody,
// whatever it was until then.
func stateText(v api.SecretVersion, now time.Time) string {
	over := v.ExpiresAt != nil && !now.Before(*v.ExpiresAt)
	if over && slices.Contains([]string{"staged", "active", "grace"}, v.State) {
		return "expired"
	}
	return v.State
}

func versionStyle(state string) style {
	switch state {
	case "active":
		return styleGreen
	case "staged", "grace":
		return styleYellow
	case "revoked", "destroyed", "expired":
		return styleRed
	}
	return styleDim
}

// endText is when a version ended, or will.
func endText(v api.SecretVersion) string {
	for _, at := range []*time.Time{v.Ended, v.GraceUntil, v.ExpiresAt} {
		if at != nil {
			return when(*at)
		}
	}
	return "-"
}

func weakText(v api.SecretVersion) string {
	if v.Weak == "" {
		return v.Message
	}
	return strings.TrimSpace(v.Message + " (weak, taken because: " + v.Weak + ")")
}
