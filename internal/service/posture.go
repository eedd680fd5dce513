package service

// Posture is what checks of compliance ask of the process that the service runs in.
type Posture struct {
	Known              bool // it is told at all
	Development        bool
	TLS                bool     // the API is served over TLS
	Loopback           bool     // only this machine reaches it
	Proxies            bool     // over plain HTTP, only trusted proxies reach it
	ClientAuth         string   // none, optional or required
	Keeper             string   // the scheme of the master key's keeper
	KeyBeside          bool     // the master key is a file beside the data
	Anchors            []string // where checkpoints are kept besides the database
	AnchorsBeside      []string // those of them that are on the database's own disk
	Sinks              []string // where records are streamed to
	AlertHooks         int      // receivers of alerts
	RequestsLimited    bool     // of each tenant, in a minute
	ConnectionsLimited bool     // of each tenant, at once
	Version            string   // of the program
}
