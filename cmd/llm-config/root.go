package main

import (
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Groups of verbs in the help text.
const (
	groupDocuments = "documents"
	groupHistory   = "history"
	groupFolders   = "folders"
	groupSecrets   = "secrets"
	groupAccess    = "access"
	groupAudit     = "audit"
	groupManage    = "manage"
)

func newRootCommand(a *app) *cobra.Command {
	root := a.group("llm-config", "Every setting that LLM applications run on, in one place",
		`One place for every setting that LLM applications run on: layered by environment,
versioned, and followed live by whoever runs on it.

The server, the tenant, the environment and the token come from flags or from
LLM_CONFIG_ADDR, LLM_CONFIG_TENANT, LLM_CONFIG_ENV and LLM_CONFIG_TOKEN; without a
token, the login of `+"`llm-config login`"+` counts.
LLM_CONFIG_CA_FILE names authorities for the server's certificate.

Exit status: 0 done, 1 failed, 2 there is a difference (diff, dry runs), a denial
(authz explain) or a broken chain (audit verify).`,
		`  llm-config serve --dev
  llm-config set -e base gateway/limits requests_per_minute=600
  llm-config get -e production gateway/limits`)
	root.Version = buildVersion()
	root.SetVersionTemplate(versionLine(root.Version, runtime.Version()))
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.AddGroup(
		&cobra.Group{ID: groupDocuments, Title: "Documents:"},
		&cobra.Group{ID: groupHistory, Title: "History:"},
		&cobra.Group{ID: groupFolders, Title: "Folders and processes:"},
		&cobra.Group{ID: groupSecrets, Title: "Secrets and keys:"},
		&cobra.Group{ID: groupAccess, Title: "Access:"},
		&cobra.Group{ID: groupAudit, Title: "Audit:"},
		&cobra.Group{ID: groupManage, Title: "Server and tenants:"},
	)
	root.SetHelpCommand(newHelpCommand(a))
	root.SetHelpCommandGroupID(groupManage)
	root.SetCompletionCommandGroupID(groupManage)
	for group, commands := range verbs(a) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		onlyHolds(completion)
	}
	onlyOnce(root)
	return root
}

func newHelpCommand(a *app) *cobra.Command {
	c := a.command("help [COMMAND…]", "Show the help of a command", "Show the help of a command.", `  llm-config help set
  llm-config help tenant create`)
	c.RunE = func(c *cobra.Command, args []string) error {
		at, rest, err := c.Root().Find(args)
		if err != nil {
			return err
		}
		if len(rest) > 0 {
			return unknownCommand(at, rest[0])
		}
		return at.Help()
	}
	return c
}

// verbs are all commands below the root, by their group in the help text.
func verbs(a *app) map[string][]*cobra.Command {
	return map[string][]*cobra.Command{
		groupDocuments: {
			newSetCommand(a), newUnsetCommand(a), newPutCommand(a), newGetCommand(a),
			newListCommand(a), newEditCommand(a), newDeleteCommand(a),
		},
		groupHistory: {
			newHistoryCommand(a), newDiffCommand(a), newLogCommand(a), newRollbackCommand(a),
			newRevertCommand(a), newPromoteCommand(a), newTagCommand(a),
		},
		groupFolders: {newApplyCommand(a), newExportCommand(a), newImportCommand(a), newWatchCommand(a), newRunCommand(a)},
		groupSecrets: {newSecretCommand(a), newClientsCommand(a), newKeyCommand(a)},
		groupAccess: {
			newTokenCommand(a), newPolicyCommand(a), newRoleCommand(a), newAuthzCommand(a), newGrantCommand(a), newLoginCommand(a), newLogoutCommand(a), newWhoamiCommand(a),
		},
		groupAudit: {newAuditCommand(a), newComplianceCommand(a)},
		groupManage: {
			newServeCommand(a), newDevCertCommand(a), newTenantCommand(a), newQuotaCommand(a), newEnvironmentCommand(a), newLayerCommand(a), newVersionCommand(a),
		},
	}
}

// command makes a verb. The words behind its name in use are its arguments:
// PATH is required, [PATH] may be left out, PATH… stands for one or more.
func (a *app) command(use, short, long, example string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Example: example,
		Args: argumentsOf(use),
	}
}

// group makes a command that only holds others.
func (a *app) group(name, short, long, example string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short, Long: long, Example: example}
	c.AddCommand(commands...)
	onlyHolds(c)
	return c
}

// onlyHolds makes a command show its help, and refuse what it does not hold.
func onlyHolds(c *cobra.Command) {
	c.SuggestionsMinimumDistance = 2
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		return unknownCommand(c, args[0])
	}
}

func unknownCommand(c *cobra.Command, name string) error {
	unknown := failf("%s has no command %q", c.CommandPath(), name)
	if near := c.SuggestionsFor(name); len(near) > 0 {
		slices.Sort(near)
		return unknown.hint("did you mean %s?", strings.Join(near, " or "))
	}
	return unknown.hint("`%s --help` lists them", c.CommandPath())
}

// flagError says what is wrong with a flag. Where a command is unknown, so are
// its flags, and then it is the command that is said.
func flagError(c *cobra.Command, args []string, err error) error {
	if c.HasSubCommands() {
		if _, rest, _ := c.Root().Find(args); len(commandWords(rest)) > 0 {
			return unknownCommand(c, commandWords(rest)[0])
		}
	}
	f := failf("%v", err).hint("`%s --help` lists the flags", c.CommandPath())
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if ok && errors.Is(err, errTwice) {
		return failf("--%s is given twice", invalid.GetFlag().Name).hint("give it once")
	}
	if !ok || !errors.As(err, new(*strconv.NumError)) {
		return f
	}
	what := "--" + invalid.GetFlag().Name + " takes a number"
	if strings.HasSuffix(invalid.GetFlag().Name, "version") {
		what = "a version is a number"
	}
	f.what = what + ", and " + strconv.Quote(invalid.GetValue()) + " is none"
	return f
}

// commandWords are the arguments that are neither flags nor, as far as can be
// told of flags that nobody knows, their values.
func commandWords(args []string) (words []string) {
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--":
			return words
		case !strings.HasPrefix(arg, "-"):
			words = append(words, arg)
		case !strings.Contains(arg, "="):
			i++
		}
	}
	return words
}

// onlyOnce has flags of one value refuse a second one: of two, nobody knows
// which was meant.
func onlyOnce(c *cobra.Command) {
	c.Flags().VisitAll(func(flag *pflag.Flag) {
		_, several := flag.Value.(pflag.SliceValue)
		if _, setting := flag.Annotations[settingFlag]; !several && !setting && flag.Value.Type() != "bool" {
			flag.Value = &once{Value: flag.Value}
		}
	})
	for _, below := range c.Commands() {
		onlyOnce(below)
	}
}

var errTwice = errors.New("given twice")

// once is a flag's value that is set once.
type once struct {
	pflag.Value
	given bool
}

func (o *once) Set(text string) error {
	if o.given {
		return errTwice
	}
	o.given = true
	return o.Value.Set(text)
}

// argumentsOf checks arguments against a use line.
func argumentsOf(use string) cobra.PositionalArgs {
	words := strings.Fields(use)[1:]
	required, most := 0, len(words)
	for _, word := range words {
		if !strings.HasPrefix(word, "[") {
			required++
		}
		if strings.HasSuffix(strings.TrimSuffix(word, "]"), "…") {
			most = -1
		}
	}
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < required:
			return failf("%s is missing", words[len(args)]).hint("`%s --help` has an example", c.CommandPath())
		case most >= 0 && len(args) > most:
			return failf("%q is one argument too many for %s", args[most], c.CommandPath()).
				hint("`%s --help` has an example; quote what holds spaces", c.CommandPath())
		}
		for i, arg := range args {
			if err := checkArgument(words[min(i, len(words)-1)], arg); err != nil {
				return inArgument(arg, err)
			}
		}
		return nil
	}
}

// checkArgument refuses what cannot be a path before it gets near a URL.
func checkArgument(word, arg string) (err error) {
	switch word = strings.Trim(word, "[]…"); {
	case strings.HasPrefix(word, "PATH"):
		path, _, _ := strings.Cut(arg, "#")
		if word == "PATH" {
			path = arg
		}
		_, err = config.ParsePath(path)
	case word == "PREFIX":
		_, err = config.ParsePrefix(arg)
	}
	return err
}

// exclusive refuses flags that contradict each other.
func exclusive(c *cobra.Command, flags ...string) error {
	var given []string
	for _, name := range flags {
		if c.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	if len(given) > 1 {
		return failf("%s exclude each other", strings.Join(given, " and ")).hint("give one of them")
	}
	return nil
}

// needs refuses flags that mean nothing without another.
func needs(c *cobra.Command, other string, flags ...string) error {
	for _, name := range flags {
		if c.Flags().Changed(name) {
			return failf("--%s means nothing without --%s", name, other).hint("give both, or neither")
		}
	}
	return nil
}
