package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newAuditCheckpointCommand(a *app) *cobra.Command {
	return a.group("checkpoint", "Signed notes of where a chain stood",
		`At intervals the server signs how many records a chain has and the hash of the last
one. A checkpoint that is kept where the server cannot write, and given to
`+"`audit verify --checkpoint`"+` later, shows whether anything before it was altered since.`,
		`  llm-config audit checkpoint ls
  llm-config audit checkpoint save -f kept/2026-11-22.note`,
		newAuditCheckpointListCommand(a), newAuditCheckpointSaveCommand(a))
}

func newAuditCheckpointListCommand(a *app) *cobra.Command {
	c := a.command("ls", "List checkpoints",
		`List the newest checkpoints of a chain; -o json has the notes themselves. Of those that
are older than audit-hot the server keeps the last of each day, and those that two of its
keys signed.`,
		`  llm-config audit checkpoint ls
  llm-config audit checkpoint ls --server -n 100 -o json`)
	s, out := a.auditScope(c), a.outputFlag(c, asTable, asJSON, asYAML, asTOML)
	page := client.Page{}
	c.Flags().IntVarP(&page.Limit, "number", "n", 20, "how many, up to 1000")
	c.Flags().StringVar(&page.Cursor, "cursor", "", "go on where the `CURSOR` of an earlier answer points")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if page.Limit < 1 || page.Limit > maxPage {
			return failf("-n is from 1 to %d, and %d is not", maxPage, page.Limit).hint("--cursor goes on with the next ones")
		}
		from, err := s.chain(c)
		if err != nil {
			return err
		}
		list, err := from.Checkpoints(c.Context(), page)
		if err != nil {
			return err
		}
		err = out.show(view{data: list, people: func(p *printer) {
			t := newTable("RECORD", "TIME")
			for _, checkpoint := range list.Checkpoints {
				t.row(number(checkpoint.Sequence), when(checkpoint.Time))
			}
			t.print(p)
		}})
		if err == nil && list.Next != "" && out.format == asTable {
			a.note("there are more; the same with --cursor %s goes on", list.Next)
		}
		return err
	}
	return c
}

func newAuditCheckpointSaveCommand(a *app) *cobra.Command {
	c := a.command("save", "Save the newest checkpoint",
		`Write the newest checkpoint of a chain into a file, as it is: a signed note. Keep it
where the server cannot write.`,
		`  llm-config audit checkpoint save -f kept/2026-11-22.note
  llm-config audit checkpoint save --server -f - | ssh vault tee server.note`)
	s, out := a.auditScope(c), a.outputFlag(c, listFormats...)
	var file string
	c.Flags().StringVarP(&file, "file", "f", "", "`FILE` to write, - for standard output (required)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case file == "":
			return failf("no file is given").hint("name the one to write with -f FILE")
		case file == "-" && c.Flags().Changed("output"):
			return failf("-o is how to print what was written, and to standard output the checkpoint itself goes").hint("name a file with -f, or leave -o out")
		}
		from, err := s.chain(c)
		if err != nil {
			return err
		}
		list, err := from.Checkpoints(c.Context(), client.Page{Limit: 1})
		if err != nil {
			return err
		}
		if len(list.Checkpoints) == 0 {
			return failf("this chain has no checkpoint yet").hint("the server signs one at intervals; `llm-config audit status` shows the newest")
		}
		newest := list.Checkpoints[0]
		write := func(w io.Writer) error {
			_, err := io.WriteString(w, newest.Note)
			return err
		}
		if file == "-" {
			return write(a.stdout)
		}
		if err := writeWhole(file, write); err != nil {
			return err
		}
		return out.show(view{data: newest, values: []string{file}, people: func(p *printer) {
			p.printf("%s holds the checkpoint of record %d, %s\n", clean(file), newest.Sequence, when(newest.Time))
		}})
	}
	return c
}

func newAuditKeyCommand(a *app) *cobra.Command {
	return a.group("key", "The keys that sign checkpoints",
		`Checkpoints are signed with a key that the server keeps sealed. Its public half is for
everybody, and old versions count for what they signed.`,
		`  llm-config audit key ls -o value > audit.keys
  llm-config audit key rotate`,
		newAuditKeyListCommand(a), newAuditKeyRotateCommand(a))
}

func newAuditKeyListCommand(a *app) *cobra.Command {
	c := a.command("ls", "List the public keys of checkpoints",
		`List the public keys, oldest first. -o value prints them alone, one a line: what
`+"`audit verify --key @FILE`"+` and llm-config-verify take.`,
		`  llm-config audit key ls
  llm-config audit key ls -o value > audit.keys`)
	s, out := a.serverFlags(c), a.outputFlag(c, listFormats...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		keys, err := from.AuditKeys(c.Context())
		if err != nil {
			return err
		}
		return out.show(auditKeysView(keys))
	}
	return c
}

func auditKeysView(keys *api.AuditKeys) view {
	v := view{data: keys}
	for _, key := range keys.Keys {
		v.values = append(v.values, key.Public)
	}
	v.people = func(p *printer) {
		t := newTable("VERSION", "CREATED", "KEY")
		for _, key := range keys.Keys {
			t.row(number(key.Version), when(key.Created), key.Public)
		}
		t.print(p)
	}
	return v
}

func newAuditKeyRotateCommand(a *app) *cobra.Command {
	c := a.command("rotate", "Sign checkpoints with a new key",
		`Make a new key for checkpoints, as an administrator of the server. The first
checkpoint of each chain after it is signed by both, so that who trusts the old one
can tell the new one. Save the new public key with the others.`,
		`  llm-config audit key rotate
  llm-config audit key rotate -o value > audit.keys`)
	s, out := a.serverFlags(c), a.outputFlag(c, changeFormats...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		keys, err := to.RotateAuditKey(c.Context())
		if err != nil {
			return err
		}
		return out.show(auditKeysView(keys))
	}
	return c
}
