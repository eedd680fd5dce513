// Package client is the Go SDK of LLM-Config-Manager. A [Client] has a method
// for every verb of the server; a [Store] is a live local copy of the documents
// that a service runs on. This is all that a service needs:
//
//	c, err := client.New(os.Getenv("LLM_CONFIG_ADDR"),
//		client.WithToken(os.Getenv("LLM_CONFIG_TOKEN")), client.WithTenant(os.Getenv("LLM_CONFIG_TENANT")))
//	// …
//	store, err := client.OpenStore(ctx, c, client.StoreOptions{Environment: "production"}, "gateway/chat")
//	// …
//	defer store.Close()
//	chat, err := client.Bind[Chat](store, "gateway/chat")
//	// …
//	model := chat.Get().Model // as often as it is needed: no lock, no allocation, always the newest
//
// The server need not be there for a Store to serve, only for it to be opened:
// while it is away the service goes on with what it last had, and catches up by
// itself. [Value.OnChange] tells of changes, [Store.Status] of the copy's health.
//
// Secrets come in two ways. With Reveal in [StoreOptions] a document holds their
// values where it refers to them; a field of the type [Secret] takes one up and
// shows it to nobody who does not ask for it. And a secret that StoreOptions name
// is there by [Store.Secret]: its version in use and, while a rotation is under
// way, the one before, which is still valid. Both are replaced as soon as the
// server tells of a new version, and the Store tells the server which versions
// the program has, so that an old one is not taken away while somebody needs it.
// A program that copies a secret out of a Store copies it again for each use.
//
// [Client.Audit], [Client.ServerAudit] and [Client.DeletedAudit] are chains of
// audit records, to be searched, counted, exported, followed and verified.
//
// What a method returns as an error is one of: a [*api.Problem], for which there
// are sentinels such as [ErrNotFound] to be used with errors.Is; an
// [*UnexpectedResponse], when something else than the server answered; or a
// wrapped error of the network, after the attempts that [Retry] allows.
package client
