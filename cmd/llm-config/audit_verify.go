package main

import (
	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newAuditVerifyCommand(a *app) *cobra.Command {
	c := a.command("verify", "Prove that no audit record was altered, removed or slipped in",
		`Follow a whole chain from its first record and hold it against the signed checkpoints.
It exits 2 when the chain does not hold, and names the first record that is wrong.

The server does this by itself, which is of use as long as it is trusted. With
--checkpoint, notes that were kept elsewhere count, and it is this program that
follows the chain, through an export: a server that wrote its records anew cannot
hide it. With --file an export is verified that was made before, or a segment of the
archive (.zst), and no server is asked. llm-config-verify does the same, and shares
no code with this program.

Keys are those of `+"`audit key ls`"+`. Keep them where you keep the checkpoints: a server
that lies has other keys to show.`,
		`  llm-config audit verify
  llm-config audit verify --server -o json
  llm-config audit verify --checkpoint kept/2026-10-31.note --key @kept/audit.keys
  llm-config audit verify --file acme.ndjson --key @kept/audit.keys --checkpoint kept/2026-10-31.note`)
	s, out := a.auditScope(c), a.outputFlag(c, asTable, asJSON, asYAML, asTOML)
	check := &auditCheck{app: a}
	var keys, notes []string
	c.Flags().StringArrayVar(&notes, "checkpoint", nil, "a signed checkpoint that was kept elsewhere, in a `FILE`; may be given again")
	c.Flags().StringArrayVar(&keys, "key", nil, "the public `KEY` of checkpoints, @FILE with one a line; may be given again (default those that the server names)")
	c.Flags().StringVar(&check.file, "file", "", "verify an export in a `FILE`, - for standard input, and ask no server")
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		if check.file == "" && len(notes) == 0 {
			if err := needs(c, "checkpoint", "key"); err != nil {
				return err
			}
			return s.verifyThere(c, out)
		}
		if check.keys, err = readKeys(keys); err != nil {
			return err
		}
		if check.notes, err = readNotes(notes); err != nil {
			return err
		}
		if check.file == "" {
			return s.verifyHere(c, out, check)
		}
		for _, name := range []string{"tenant", "server", "deleted", "addr", "token-file", "ca-file", "client-cert", "client-key"} {
			if err := exclusive(c, "file", name); err != nil {
				return err
			}
		}
		if len(check.notes) > 0 && len(check.keys) == 0 {
			return failf("a checkpoint proves nothing without the key that signed it").hint("give it with --key; `llm-config audit key ls -o value` prints the server's")
		}
		report, err := check.exportFile()
		if err != nil {
			return err
		}
		return out.showReport(report)
	}
	return c
}

// verifyThere has the server verify the chain.
func (s *auditScope) verifyThere(c *cobra.Command, out *output) error {
	from, err := s.chain(c)
	if err != nil {
		return err
	}
	shown := s.app.telling()
	report, err := from.Verify(c.Context(), func(now api.AuditProgress) {
		shown.tell("verifying: %d of %d records (%d%%)", now.Checked, now.Of, 100*now.Checked/max(now.Of, 1))
	})
	shown.end()
	if err != nil {
		return err
	}
	return out.showReport(checked{AuditReport: report})
}

// verifyHere verifies what the server exports.
func (s *auditScope) verifyHere(c *cobra.Command, out *output, check *auditCheck) error {
	from, err := s.client(c)
	if err != nil {
		return err
	}
	if len(check.keys) == 0 {
		known, err := from.AuditKeys(c.Context())
		if err != nil {
			return err
		}
		for _, key := range known.Keys {
			check.keys = append(check.keys, key.Public)
		}
	}
	body, err := s.chainOf(from).Export(c.Context(), client.ExportOptions{})
	if err != nil {
		return err
	}
	report, err := check.export(body)
	if closed := body.Close(); err == nil {
		err = closed
	}
	switch {
	case err != nil:
		return err
	case report.begins > 0:
		return failf("the server answers an export that begins behind record %d, although all was asked for", report.begins).
			hint("a checkpoint of an earlier record cannot be held against it; ask whoever runs the server why")
	}
	return out.showReport(report)
}

// showReport prints what verifying found. A chain that does not hold ends as
// errDifference.
func (o *output) showReport(r checked) error {
	err := o.show(view{data: r.AuditReport, people: func(p *printer) { printReport(p, r) }})
	if err == nil && !r.Holds {
		return errDifference
	}
	return err
}

func printReport(p *printer, r checked) {
	if r.Broken != nil {
		p.printf("%s\n", p.paint(styleRed, clean(r.Origin+" is broken at record "+number(r.Broken.Sequence)+": "+r.Broken.Reason)))
		p.printf("  %s\n", holdText(r))
		return
	}
	verdict := "holds"
	if r.begins > 0 {
		verdict = "holds from record " + number(int64(r.begins)+1)
	}
	p.printf("%s %s\n", clean(r.Origin), p.paint(styleGreen, verdict))
	p.printf("  %s\n", holdText(r))
	switch {
	case r.Disposed > 0 && r.unsigned:
		p.printf("  %s before them were disposed of, as later records say; as no key was given, it was not checked that the server signed this\n", counted(int(r.Disposed), "record"))
	case r.Disposed > 0:
		p.printf("  %s before them were disposed of, as later records attest\n", counted(int(r.Disposed), "record"))
	}
	switch {
	case r.unsigned:
		p.printf("  %s no key was given, so checkpoints were not looked at, and nothing proves that the chain was not written anew as a whole; --key has them checked\n", p.paint(styleYellow, "note:"))
	case r.Signed == 0:
		p.printf("  %s no checkpoint was found, so nothing proves that the chain was not written anew as a whole\n", p.paint(styleYellow, "note:"))
	default:
		p.printf("  %s; signed up to record %d, %s\n", holds(r.Checkpoints, "checkpoint"), r.Signed, orDash(r.SignedAt))
		if behind := r.Last - r.Signed; behind > 0 {
			p.printf("  %s behind that are not signed yet\n", counted(int(behind), "record"))
		}
	}
	if r.unchecked > 0 {
		p.printf("  %s %s of records that are not here, or stand far before them, could not be checked\n", p.paint(styleYellow, "note:"), counted(r.unchecked, "checkpoint"))
	}
}

// holdText says which records hold.
func holdText(r checked) string {
	if r.Records == 0 {
		return "no record was read"
	}
	return holds(r.Records, "record") + ", " + number(r.First) + " to " + number(r.Last)
}

func holds(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing + " holds"
	}
	return counted(int(n), thing) + " hold"
}
