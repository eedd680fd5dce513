package policy

import (
	"embed"
	"sync"
)

//go:embed builtin/*.cedar
var builtinTexts embed.FS

// builtinNames are the files of the built-in policies, in the order in which
// they are asked.
var builtinNames = []string{"viewer", "application", "operator", "admin", "server"}

// Builtin are the policies that hold in every tenant and on the server. They are
// compiled into the program: nobody writes them at run time.
func Builtin() []File {
	files := make([]File, len(builtinNames))
	for i, name := range builtinNames {
		text, err := builtinTexts.ReadFile("builtin/" + name + ".cedar")
		if err != nil {
			panic("policy: " + err.Error())
		}
		files[i] = File{Name: name, Text: string(text)}
	}
	return files
}

// builtin are the same, compiled once for all tenants.
var builtin = sync.OnceValue(func() *body {
	all, err := parseFiles(Builtin())
	if err != nil {
		panic("policy: the built-in policies do not parse: " + err.Error())
	}
	for i := range all {
		all[i].File = ""
	}
	return newBody(all, "")
})
