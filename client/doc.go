// Package client is the Go SDK of LLM-Config-Manager: [Client] has a method for
// every verb of the server.
package client
