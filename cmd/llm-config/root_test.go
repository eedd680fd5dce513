package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func everyCommand(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, below := range c.Commands() {
		everyCommand(below, visit)
	}
}

func TestEveryHelpTextHasAnExampleOfItself(t *testing.T) {
	found := 0
	root := newRootCommand(&app{})
	everyCommand(root, func(c *cobra.Command) {
		if c.Name() == "completion" || c.Parent() != nil && c.Parent().Name() == "completion" {
			return // cobra's own
		}
		found++
		if c.Short == "" || c.Long == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: help is %q and %q", c.CommandPath(), c.Short, c.Long)
		}
		if !strings.Contains(c.Example, "llm-config ") {
			t.Errorf("%s has no example", c.CommandPath())
		}
		if c.Runnable() && !strings.Contains(c.Example, strings.TrimPrefix(c.CommandPath(), "llm-config ")) {
			t.Errorf("%s: its example %q is of something else", c.CommandPath(), c.Example)
		}
	})
	if found < 40 {
		t.Errorf("only %d commands were looked at", found)
	}
}

// What an example shows must at least parse.
func TestExamplesParse(t *testing.T) {
	everyCommand(newRootCommand(&app{}), func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			_, line, ok := strings.Cut(line, "llm-config ")
			if !ok || strings.ContainsAny(line, `'"$`) {
				continue // takes a shell to read
			}
			for _, end := range []string{" | ", " > ", ")"} {
				line, _, _ = strings.Cut(line, end)
			}
			root := newRootCommand(&app{})
			at, args, err := root.Find(strings.Fields(line))
			if err == nil {
				err = at.ParseFlags(args)
			}
			if err == nil {
				err = at.ValidateArgs(at.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: the example %q: %v", c.CommandPath(), strings.TrimSpace(line), err)
			}
		}
	})
}
