package settings

import (
	"strconv"

	"github.com/spf13/pflag"
)

// AddFlags declares a flag for every setting.
func AddFlags(flags *pflag.FlagSet) {
	for _, o := range options {
		value := &flagValue{option: o, text: o.fallback}
		flag := flags.VarPF(value, o.name, "", o.usage+" ("+o.env()+")")
		if o.boolean {
			flag.NoOptDefVal = strconv.FormatBool(true)
		}
	}
}

// FlagsOf are the settings that were given as flags, for Load.
func FlagsOf(flags *pflag.FlagSet) map[string]string {
	found := map[string]string{}
	flags.Visit(func(flag *pflag.Flag) {
		if _, ours := flag.Value.(*flagValue); ours {
			found[flag.Name] = flag.Value.String()
		}
	})
	return found
}

// flagValue keeps the text; Load parses it, so that all places are read alike.
type flagValue struct {
	option option
	text   string
}

var _ pflag.Value = (*flagValue)(nil)

func (v *flagValue) String() string        { return v.text }
func (v *flagValue) Set(text string) error { v.text = text; return nil }
func (v *flagValue) Type() string          { return v.option.value }
